//! All records in memory, kept up to date by the store's watch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

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
}

/// Follows the store for as long as somebody listens: lists, watches, lists again when something was missed.
pub async fn follow(store: Arc<dyn Store>, out: mpsc::Sender<Cache>) {
    while let Err(error) = follow_once(&*store, &out).await {
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
async fn follow_once(store: &dyn Store, out: &mpsc::Sender<Cache>) -> Result<(), StoreError> {
    let listing = store.list().await?;
    let mut watch = store.watch(listing.revision).await?;
    if out.send(Cache::Listed(listing)).await.is_err() {
        return Ok(());
    }
    loop {
        let changes = watch.next().await?;
        if out.send(Cache::Changed(changes)).await.is_err() {
            return Ok(());
        }
    }
}
