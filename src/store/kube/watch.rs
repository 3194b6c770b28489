//! The changes of all kinds, each from a watch of its own.
//!
//! ```text
//! open --event, bookmark--> open                        where it is, it goes on from
//!      --ended by the server--> opened again from there, unless the server has gone back behind it
//!      --410 Gone, gone back, or an object that cannot be read any more--> over: everything is listed again
//!      --nothing for DEAF, or our own write is not shown within ECHO--> over: it is deaf, whatever TCP says
//! ```
//!
//! What could not be read when everything was listed is told by then: as long as that is so its changes are none.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failure::Failed;
use super::list::label;
use super::place::Place;
use super::{KubeStore, copies, form, parse_revision, revision};
use crate::domain::{Key, Kind, Record, Revision, Versioned};
use crate::ports::{Change, PortFuture, StoreError, Watch};
use crate::store::pause::pause;

/// A watch that shows nothing for this long, not even a bookmark, is deaf: those come every minute.
const DEAF: Duration = Duration::from_secs(90);
/// A watch that does not show for this long what was written here is deaf.
const ECHO: Duration = Duration::from_secs(5);
/// How long the API server keeps a watch open, seconds.
const OPEN_SECONDS: u32 = 240;
/// One that was open for this long ended because its time was over.
const FULL_TERM: Duration = Duration::from_secs(OPEN_SECONDS as u64 - 1);
/// How often in a row opening a watch may fail, with a longer pause each time: an API server that restarts is not asked for
/// everything again.
const TRIES: u32 = 4;
/// A watch that was open for this long was a good one, whether it had anything to show or not.
const SERVED: Duration = Duration::from_secs(10);
/// The first of the pauses, and the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Changes that may wait for whoever follows.
const QUEUED: usize = 256;

type Events = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>;
type Batch = Result<Vec<Change>, StoreError>;

/// A merged watch. A `next` that was dropped before it was ready loses nothing. Dropping it ends all its watches.
pub(super) struct KubeWatch {
    batches: mpsc::Receiver<Batch>,
    _followers: JoinSet<()>,
}

/// Starts one watch per kind. One that would begin in the future is refused, as [`StoreError::Lagged`].
pub(super) async fn start(store: &KubeStore, from: Revision) -> Result<KubeWatch, StoreError> {
    let heard = store.inner.newest.load(Ordering::Relaxed);
    if from.0 > heard && store.revision_now("watch", Place::Lease).await? < from {
        return Err(StoreError::Lagged);
    }
    let (out, batches) = mpsc::channel(QUEUED);
    let (unreadable, back) = (store.unreadable_at(from), store.inner.back.subscribe());
    let follow = |place| {
        let (store, out) = (store.clone(), out.clone());
        Follower { store, place, at: from, out, unreadable: unreadable.clone(), back: back.clone() }.run()
    };
    let followers = Place::ALL.into_iter().map(follow).collect();
    Ok(KubeWatch { batches, _followers: followers })
}

impl Watch for KubeWatch {
    fn next(&mut self) -> PortFuture<'_, Batch> {
        Box::pin(async move {
            let closed = || StoreError::Unavailable {
                store: "Kubernetes".to_owned(),
                call: "watch",
                why: "it was closed".to_owned(),
            };
            self.batches.recv().await.unwrap_or_else(|| Err(closed()))
        })
    }
}

/// The watch of one kind.
struct Follower {
    store: KubeStore,
    place: Place,
    /// Everything up to here was shown.
    at: Revision,
    out: mpsc::Sender<Batch>,
    /// What cannot be read, as whoever follows was told.
    unreadable: BTreeSet<Key>,
    /// Rings when the API server is at an earlier revision than it was.
    back: latest::Receiver<()>,
}

impl Follower {
    async fn run(mut self) {
        if let Err(error) = self.follow().await {
            let _ = self.out.send(Err(error)).await;
        }
    }

    /// Ends only with an error, or where nobody listens any more.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let (mut failures, mut broke) = (0, false);
        while !self.out.is_closed() {
            let (came_from, opened_at) = (self.at, Instant::now());
            match self.open().await {
                Ok(events) => {
                    if broke {
                        self.check_not_back().await?;
                    }
                    self.listen(events).await?;
                }
                Err(failed) if failures == TRIES || is_over(&failed) => return Err(self.over(failed)),
                Err(_) => {}
            }
            let stood = opened_at.elapsed();
            let served = self.at > came_from || stood > SERVED;
            failures = if served { 0 } else { failures + 1 };
            if failures > TRIES {
                return Err(self.over(Failed::Silent("it is closed again and again".to_owned())));
            }
            if failures > 0 {
                tokio::time::sleep(pause(PAUSE, failures - 1, LONGEST_PAUSE)).await;
            }
            broke = stood < FULL_TERM;
        }
        Ok(())
    }

    /// A watch that ended before its time may have ended because the API server was restored from a backup: opened from a revision that is to
    /// come it shows nothing, and no error.
    async fn check_not_back(&self) -> Result<(), StoreError> {
        let now = self.store.revision_now("watch", Place::Lease).await;
        if now.is_ok_and(|now| now < self.at) { Err(StoreError::Lagged) } else { Ok(()) }
    }

    fn over(&self, failed: Failed) -> StoreError {
        failed.of_read(&self.store.inner.name, "watch")
    }

    async fn open(&self) -> Result<Events, Failed> {
        let mut params = WatchParams::default().timeout(OPEN_SECONDS);
        if self.place == Place::Lease {
            params = params.labels(&label());
        }
        let (api, at) = (self.store.api(self.place), self.at.0.to_string());
        let events = self.store.ask(async { api.watch(&params, &at).await }).await?;
        Ok(Box::pin(events))
    }

    /// Passes on what one stream shows, to its end.
    async fn listen(&mut self, mut events: Events) -> Result<(), StoreError> {
        let mut written = self.store.written(self.place).subscribe();
        let mut patience = Patience::new();
        loop {
            patience.owe(*written.borrow_and_update(), self.at);
            tokio::select! {
                // What is there to be shown was in time, however late it is taken.
                biased;
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        let taken_at = Instant::now();
                        if !self.take(event).await? {
                            return Ok(());
                        }
                        patience.heard(taken_at.elapsed());
                    }
                    Some(Err(kube::Error::Api(status))) => return Err(self.over(Failed::Said(status))),
                    // The stream ended, or its connection broke: it is opened again, and what it has to show comes then.
                    None | Some(Err(_)) => return Ok(()),
                },
                _ = written.changed() => {}
                _ = self.back.changed() => return Err(StoreError::Lagged),
                () = self.out.closed() => return Ok(()),
                () = tokio::time::sleep_until(patience.until()) => return Err(self.deaf(&patience)),
            }
        }
    }

    fn deaf(&self, patience: &Patience) -> StoreError {
        let kind = self.place.resource().plural;
        self.store.said("watch", format!("the watch of {kind} is deaf: {}", patience.why()))
    }

    /// `false` when nobody listens any more.
    async fn take(&mut self, event: WatchEvent<DynamicObject>) -> Result<bool, StoreError> {
        let (object, is_there) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(bookmark) => {
                self.at = self.at.max(parse_revision(Some(&bookmark.metadata.resource_version)));
                return Ok(true);
            }
            WatchEvent::Error(status) => return Err(self.over(Failed::Said(status))),
        };
        let changes = self.changes(&object, is_there)?;
        self.store.inner.held.note(self.place, &object, is_there);
        if !is_there && self.place == Place::Volume {
            self.store.inner.told.forget(&form::key(Kind::VolumeStatus, &object).name);
        }
        if let Some(volume) = copies::concerned(self.place, &object) {
            self.store.show_copies(Some(&volume));
        }
        self.at = self.at.max(revision(&object));
        Ok(changes.is_empty() || self.out.send(Ok(changes)).await.is_ok())
    }

    /// What an object's records are now. One that never was there is not removed.
    fn changes(&mut self, object: &DynamicObject, is_there: bool) -> Result<Vec<Change>, StoreError> {
        self.store.inner.copies.note(&self.store.inner.me, self.place, object, is_there);
        let changes = form::kinds(self.place).iter().map(|kind| self.change(*kind, object, is_there));
        changes.filter_map(Result::transpose).collect()
    }

    /// What one of an object's records is now, if that is news. One that could be read before and cannot be now is told by listing everything.
    fn change(
        &mut self,
        kind: Kind,
        object: &DynamicObject,
        is_there: bool,
    ) -> Result<Option<Change>, StoreError> {
        let (key, revision) = (form::key(kind, object), revision(object));
        let record = form::read(kind, object);
        let (known, shown) = (&self.store.inner.known, record.is_some());
        let record = record.filter(|_| is_there);
        let was_there = known.was_there(&key, revision) || shown;
        known.note(&key, revision, record.as_ref(), form::is_ours_alone(object));
        if let Some(Ok(Record::VolumeStatus(status))) = &record {
            self.store.inner.told.note(&key.name, status, object);
        }
        let value = match record {
            Some(Err(_)) if self.unreadable.contains(&key) => return Ok(None),
            Some(Err(_)) => return Err(StoreError::Lagged),
            Some(Ok(value)) => Some(Versioned { revision, value }),
            None if was_there => None,
            None => return Ok(None),
        };
        self.unreadable.remove(&key);
        Ok(Some(Change { key, value, revision }))
    }
}

/// Whether it is of no use to try that again.
fn is_over(failed: &Failed) -> bool {
    matches!(failed, Failed::Said(status) if matches!(status.code, 401 | 403 | 404 | 410))
}

/// How long a watch may go on showing nothing.
struct Patience {
    heard_at: Instant,
    /// What was written here and is to be shown, and since when. Whatever is written after it is waited for after it.
    owed: Option<(Revision, Instant)>,
}

impl Patience {
    fn new() -> Self {
        Self { heard_at: Instant::now(), owed: None }
    }

    /// Something was shown, and taking it in took so long: nobody listened meanwhile.
    fn heard(&mut self, taken_in: Duration) {
        self.heard_at = Instant::now();
        if let Some((_, since)) = &mut self.owed {
            *since += taken_in;
        }
    }

    /// The last that was written here, and what was shown up to now.
    fn owe(&mut self, written: Revision, shown: Revision) {
        let still = self.owed.filter(|(owed, _)| *owed > shown);
        self.owed = still.or_else(|| (written > shown).then(|| (written, Instant::now())));
    }

    fn until(&self) -> Instant {
        let deaf = self.heard_at + DEAF;
        self.owed.map_or(deaf, |(_, since)| deaf.min(since + ECHO))
    }

    fn why(&self) -> String {
        match self.owed {
            Some(_) => format!("it does not show what was written here within {} s", ECHO.as_secs()),
            None => format!("it has shown nothing for {} s", DEAF.as_secs()),
        }
    }
}
