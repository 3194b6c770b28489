//! All records in memory, kept up to date by the store's watch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::domain::Revision;
use crate::ports::{Change, Listing, Store, StoreError};
use crate::store::pause::pause;

/// The first pause before everything is listed again.
const RECONNECT: Duration = Duration::from_secs(1);
/// The longest one while the store does not answer: nobody is heard before it is found again, and most tries cost it little.
const LONGEST_LOST: Duration = Duration::from_secs(4);
/// The longest one while changes are missed again and again: each time everything is listed.
const LONGEST_LAGGED: Duration = Duration::from_secs(30);
/// What went well for this long was no failure, whatever ended it.
const STOOD: Duration = Duration::from_mins(1);

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

/// Follows the store for as long as somebody listens: lists, watches, lists again when something was missed. Never without a
/// pause before, and a longer one each time in a row.
pub async fn follow(store: Arc<dyn Store>, out: mpsc::Sender<Cache>) {
    let (mut seen, mut failures) = (Revision(0), 0u32);
    loop {
        let begun = Instant::now();
        let Err(error) = follow_once(&*store, &out, &mut seen).await else { return };
        failures = if begun.elapsed() >= STOOD { 0 } else { failures };
        let longest = if matches!(error, StoreError::Lagged) { LONGEST_LAGGED } else { LONGEST_LOST };
        if !tell(&out, &error).await {
            return;
        }
        tokio::time::sleep(pause(RECONNECT, failures, longest)).await;
        failures = failures.saturating_add(1);
    }
}

/// `false` when nobody listens any more. That something was missed is nobody's business: it comes with the next listing.
async fn tell(out: &mpsc::Sender<Cache>, error: &StoreError) -> bool {
    match error {
        StoreError::Lagged => !out.is_closed(),
        error => out.send(Cache::Lost(error.to_string())).await.is_ok(),
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::domain::{Key, Kind, Lease, Record, Versioned};
    use crate::ports::{PortFuture, Watch};
    use crate::store::LocalStore;

    /// A store that lists nothing, for one and the same reason, and counts how often it is asked to.
    struct Never {
        asked: AtomicU32,
        lagged: bool,
    }

    impl Store for Never {
        fn get(&self, _: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
            unreachable!("nobody asks for one record")
        }

        fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            assert!(asked < 10_000, "it is asked without a pause");
            let why = || StoreError::Unavailable { store: self.name(), call: "list", why: "no".to_owned() };
            let error = if self.lagged { StoreError::Lagged } else { why() };
            Box::pin(async { Err(error) })
        }

        fn watch(&self, _: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
            unreachable!("nothing was listed")
        }

        fn put(
            &self,
            _: &Key,
            _: Option<&Record>,
            _: Revision,
        ) -> PortFuture<'_, Result<Revision, StoreError>> {
            unreachable!("nothing is written")
        }

        fn name(&self) -> String {
            "never".to_owned()
        }
    }

    /// How often a store is asked for everything within ten minutes.
    async fn asked_in_ten_minutes(lagged: bool) -> u32 {
        let store = Arc::new(Never { asked: AtomicU32::new(0), lagged });
        let (out, mut told) = mpsc::channel(8);
        let listen = async { while told.recv().await.is_some() {} };
        let both = async { tokio::join!(follow(Arc::clone(&store) as Arc<dyn Store>, out), listen) };
        assert!(tokio::time::timeout(Duration::from_mins(10), both).await.is_err(), "it ended");
        store.asked.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_not_asked_for_everything_back_to_back() {
        let (lagged, lost) = (asked_in_ten_minutes(true).await, asked_in_ten_minutes(false).await);
        assert!((20..=46).contains(&lagged), "{lagged}");
        assert!((150..=304).contains(&lost), "{lost}");
    }

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
