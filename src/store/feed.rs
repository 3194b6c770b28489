//! The last changes of a store that lives in this process, for its watches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::Revision;
use crate::ports::{Change, PortFuture, StoreError, Watch};

/// How many changes are kept.
pub(super) const RING_CHANGES: usize = 4096;
/// How many bytes of stored records the kept changes may stand for.
pub(super) const RING_BYTES: usize = 16 << 20;

/// What is kept. Every change has a revision above `floor`; none above it is missing.
struct Ring {
    /// Changes up to this one are not kept.
    floor: Revision,
    /// Revision of the last change.
    last: Revision,
    changes: VecDeque<(Change, usize)>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, change: Change, bytes: usize) {
        self.last = change.revision;
        self.bytes += bytes;
        self.changes.push_back((change, bytes));
        while self.changes.len() > RING_CHANGES || self.bytes > RING_BYTES {
            let Some((dropped, bytes)) = self.changes.pop_front() else { break };
            self.floor = dropped.revision;
            self.bytes -= bytes;
        }
    }

    fn after(&self, seen: Revision) -> Result<Vec<Change>, StoreError> {
        if seen < self.floor || seen > self.last {
            return Err(StoreError::Lagged);
        }
        let first = self.changes.partition_point(|(change, _)| change.revision <= seen);
        Ok(self.changes.iter().skip(first).map(|(change, _)| change.clone()).collect())
    }
}

/// The side that makes changes. Dropping it ends every watch.
pub(super) struct Feed {
    ring: Arc<Mutex<Ring>>,
    bell: watch::Sender<Revision>,
    store: String,
}

impl Feed {
    /// A feed of the store called `store`, which is at `now`.
    pub(super) fn new(store: String, now: Revision) -> Self {
        let ring = Ring { floor: now, last: now, changes: VecDeque::new(), bytes: 0 };
        Self { ring: Arc::new(Mutex::new(ring)), bell: watch::Sender::new(now), store }
    }

    /// A committed change; `bytes` is the length of its record. Changes come in the order of their revisions.
    pub(super) fn push(&self, change: Change, bytes: usize) {
        let revision = change.revision;
        lock(&self.ring).push(change, bytes);
        self.bell.send_replace(revision);
    }

    /// The changes after `from`.
    pub(super) fn watch(&self, from: Revision) -> Result<FeedWatch, StoreError> {
        lock(&self.ring).after(from)?;
        Ok(FeedWatch {
            ring: Arc::clone(&self.ring),
            bell: self.bell.subscribe(),
            seen: from,
            store: self.store.clone(),
        })
    }
}

/// A panic elsewhere does not leave the ring half written.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One watch. A `next` that was dropped before it was ready loses nothing.
pub(super) struct FeedWatch {
    ring: Arc<Mutex<Ring>>,
    bell: watch::Receiver<Revision>,
    seen: Revision,
    store: String,
}

impl FeedWatch {
    fn take(&mut self) -> Result<Vec<Change>, StoreError> {
        self.bell.mark_unchanged();
        let changes = lock(&self.ring).after(self.seen)?;
        if let Some(last) = changes.last() {
            self.seen = last.revision;
        }
        Ok(changes)
    }

    fn closed(&self) -> StoreError {
        StoreError::Unavailable { store: self.store.clone(), call: "watch", why: "it was closed".to_owned() }
    }
}

impl Watch for FeedWatch {
    fn next(&mut self) -> PortFuture<'_, Result<Vec<Change>, StoreError>> {
        Box::pin(async move {
            loop {
                let changes = self.take()?;
                if !changes.is_empty() {
                    return Ok(changes);
                }
                if self.bell.changed().await.is_err() {
                    return Err(self.closed());
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::key;

    fn push(feed: &Feed, revision: u64, bytes: usize) {
        feed.push(Change { key: key("a"), value: None, revision: Revision(revision) }, bytes);
    }

    fn reaches_back_to(feed: &Feed, revision: u64) -> bool {
        feed.watch(Revision(revision)).is_ok()
    }

    #[test]
    fn the_ring_is_bounded_by_count_and_by_bytes_and_says_so() {
        let feed = Feed::new("test".to_owned(), Revision(10));
        assert!(reaches_back_to(&feed, 10) && !reaches_back_to(&feed, 9) && !reaches_back_to(&feed, 11));
        let last = 10 + RING_CHANGES as u64;
        (11..=last).for_each(|revision| push(&feed, revision, 1));
        assert!(reaches_back_to(&feed, 10));
        push(&feed, last + 1, 1);
        assert!(reaches_back_to(&feed, 11) && !reaches_back_to(&feed, 10));
        push(&feed, last + 2, RING_BYTES);
        assert!(reaches_back_to(&feed, last + 1) && !reaches_back_to(&feed, last));
    }

    #[tokio::test]
    async fn a_watch_that_was_overtaken_is_told() {
        let feed = Feed::new("test".to_owned(), Revision(0));
        let mut watch = feed.watch(Revision(0)).unwrap();
        push(&feed, 1, 1);
        assert_eq!(watch.next().await.unwrap().len(), 1);
        push(&feed, 2, RING_BYTES);
        push(&feed, 3, RING_BYTES);
        assert!(matches!(watch.next().await, Err(StoreError::Lagged)));
    }
}
