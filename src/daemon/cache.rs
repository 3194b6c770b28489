//! All records in memory, kept up to date by the store's watch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::Revision;
use crate::ports::{Change, Listing, Store, StoreError};

/// Wait between two tries to reach a store that does not answer.
const RECONNECT: Duration = Duration::from_secs(1);

/// Whether the store answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreHealth {
    /// Not reached yet.
    #[default]
    Starting,
    /// Answers.
    Good,
    /// Does not: what it said.
    Lost(String),
}

/// What the follower has to say.
#[derive(Debug)]
pub enum Cache {
    /// Everything, anew.
    Listed(Listing),
    /// Some records changed.
    Changed(Vec<Change>),
    /// The store does not answer.
    Lost(String),
    /// The store is older than it was: it was restored from a backup. Everything comes anew.
    WentBack,
}

/// Follows the store for as long as somebody listens: lists, watches, lists again when something was missed.
pub async fn follow(store: Arc<dyn Store>, out: mpsc::Sender<Cache>) {
    let mut seen = Revision(0);
    while let Err(error) = follow_once(&*store, &out, &mut seen).await {
        match error {
            StoreError::Lagged => continue,
            error => {
                if out.send(Cache::Lost(error.to_string())).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// `Ok` when nobody listens any more.
async fn follow_once(
    store: &dyn Store,
    out: &mpsc::Sender<Cache>,
    seen: &mut Revision,
) -> Result<(), StoreError> {
    let listing = store.list().await?;
    let mut watch = store.watch(listing.revision).await?;
    let went_back = listing.revision < *seen;
    *seen = listing.revision;
    if went_back && out.send(Cache::WentBack).await.is_err() {
        return Ok(());
    }
    if out.send(Cache::Listed(listing)).await.is_err() {
        return Ok(());
    }
    loop {
        let changes = watch.next().await?;
        *seen = changes.iter().map(|change| change.revision).fold(*seen, Revision::max);
        if out.send(Cache::Changed(changes)).await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Key, Kind, Lease, Record};
    use crate::store::LocalStore;

    async fn write(store: &LocalStore, times: u64) {
        let (key, mut revision) = (Key::new(Kind::Lease, "a"), Revision(0));
        for renewals in 0..times {
            let lease = Lease { holder: "n1".parse().unwrap(), renewals, term_millis: 1 };
            revision = store.put(&key, Some(&Record::Lease(lease)), revision).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_store_that_went_back_is_told_before_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let newer = LocalStore::open(&directory.path().join("newer")).unwrap();
        let older = LocalStore::open(&directory.path().join("older")).unwrap();
        write(&newer, 3).await;
        write(&older, 1).await;
        let (out, mut told) = mpsc::channel(8);
        let mut seen = Revision(0);
        for (store, back) in [(newer, false), (older, true)] {
            let follow = async { drop(follow_once(&store, &out, &mut seen).await) };
            tokio::select! {
                () = follow => panic!("it ended"),
                first = told.recv() => assert_eq!(matches!(first, Some(Cache::WentBack)), back),
            }
            if back {
                assert!(matches!(told.recv().await, Some(Cache::Listed(_))));
            }
        }
    }
}
