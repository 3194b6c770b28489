//! The changes of all kinds, each from a watch of its own.
//!
//! ```text
//! open --event, bookmark--> open                        where it is, it goes on from
//!      --ended by the server--> opened again from there
//!      --410 Gone--> over: changes were missed, everything is listed again
//!      --nothing for DEAF, or our own write is not shown within ECHO--> over: it is deaf, whatever TCP says
//! ```

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{DynamicObject, WatchEvent, WatchParams};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failure::Failed;
use super::list::label;
use super::place::Place;
use super::{KubeStore, copies, form, parse_revision, revision};
use crate::domain::{Record, Revision, Versioned};
use crate::ports::{Change, PortFuture, StoreError, Watch};

/// A watch that shows nothing for this long, not even a bookmark, is deaf: those come every minute.
const DEAF: Duration = Duration::from_secs(90);
/// A watch that does not show for this long what was written here is deaf.
const ECHO: Duration = Duration::from_secs(5);
/// How long the API server keeps a watch open, seconds.
const OPEN_SECONDS: u32 = 240;
/// How often in a row opening a watch may fail, with a longer pause each time: an API server that restarts is not asked for
/// everything again.
const TRIES: u32 = 4;
/// A watch that was open for this long was a good one, whether it had anything to show or not.
const SERVED: Duration = Duration::from_secs(10);
/// The first of the pauses.
const PAUSE: Duration = Duration::from_millis(250);
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
    let follow = |place| Follower { store: store.clone(), place, at: from, out: out.clone() }.run();
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
}

impl Follower {
    /// An API server that was started again has forgotten what all daemons saw last: they shall not all list everything in the same
    /// moment.
    async fn run(mut self) {
        if let Err(error) = self.follow().await {
            if matches!(error, StoreError::Lagged) {
                tokio::time::sleep(pause(1)).await;
            }
            let _ = self.out.send(Err(error)).await;
        }
    }

    /// Ends only with an error, or where nobody listens any more.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let mut failures = 0;
        while !self.out.is_closed() {
            let (came_from, opened_at) = (self.at, Instant::now());
            match self.open().await {
                Ok(events) => self.listen(events).await?,
                Err(failed) if failures == TRIES || is_over(&failed) => return Err(self.over(failed)),
                Err(_) => {}
            }
            let served = self.at > came_from || opened_at.elapsed() > SERVED;
            failures = if served { 0 } else { failures + 1 };
            if failures > TRIES {
                return Err(self.over(Failed::Silent("it is closed again and again".to_owned())));
            }
            if failures > 0 {
                tokio::time::sleep(pause(failures)).await;
            }
        }
        Ok(())
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
            patience.owed(*written.borrow_and_update() > self.at);
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        patience.heard();
                        if !self.take(event).await? {
                            return Ok(());
                        }
                    }
                    Some(Err(kube::Error::Api(status))) => return Err(self.over(Failed::Said(status))),
                    // The stream ended, or its connection broke: it is opened again, and what it has to show comes then.
                    None | Some(Err(_)) => return Ok(()),
                },
                _ = written.changed() => {}
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
        if is_there {
            self.store.tell_held(self.place, &object);
        }
        if let Some(volume) = copies::concerned(self.place, &object) {
            self.store.show_copies(Some(&volume));
        }
        self.at = self.at.max(revision(&object));
        Ok(changes.is_empty() || self.out.send(Ok(changes)).await.is_ok())
    }

    /// What an object's records are now. One that never was there is not removed.
    fn changes(&self, object: &DynamicObject, is_there: bool) -> Result<Vec<Change>, StoreError> {
        let now = revision(object);
        self.store.inner.copies.note(&self.store.inner.me, self.place, object, is_there);
        let mut changes = Vec::new();
        for kind in form::kinds(self.place) {
            let key = form::key(*kind, object);
            let record = form::read(*kind, object);
            let (known, shown) = (&self.store.inner.known, record.is_some());
            let record = record.filter(|_| is_there);
            let was_there = known.was_there(&key, now) || shown;
            known.note(&key, now, record.as_ref());
            if let Some(Ok(Record::VolumeStatus(status))) = &record {
                self.store.inner.told.note(&key.name, status, object);
            }
            let value = match record {
                Some(Ok(value)) => Some(Versioned { revision: now, value }),
                Some(Err(why)) => return Err(StoreError::Corrupt { key, why }),
                None if was_there => None,
                None => continue,
            };
            changes.push(Change { key, value, revision: now });
        }
        Ok(changes)
    }
}

/// Whether it is of no use to try that again.
fn is_over(failed: &Failed) -> bool {
    matches!(failed, Failed::Said(status) if matches!(status.code, 401 | 403 | 404 | 410))
}

/// A longer pause after every failure, up to twice as long as everybody else's: they shall not all come at once.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE * 2u32.pow(failures.min(TRIES));
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    longest / 2 + longest * u32::from(byte) / 512
}

/// How long a watch may go on showing nothing.
struct Patience {
    heard_at: Instant,
    owed_since: Option<Instant>,
}

impl Patience {
    fn new() -> Self {
        Self { heard_at: Instant::now(), owed_since: None }
    }

    fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    /// Whether something was written here that it has not shown.
    fn owed(&mut self, owed: bool) {
        self.owed_since = if owed { self.owed_since.or(Some(Instant::now())) } else { None };
    }

    fn until(&self) -> Instant {
        let deaf = self.heard_at + DEAF;
        self.owed_since.map_or(deaf, |since| deaf.min(since + ECHO))
    }

    fn why(&self) -> String {
        match self.owed_since {
            Some(_) => format!("it does not show what was written here within {} s", ECHO.as_secs()),
            None => format!("it has shown nothing for {} s", DEAF.as_secs()),
        }
    }
}
