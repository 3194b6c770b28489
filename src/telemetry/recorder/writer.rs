//! The queue, and the thread that writes what comes out of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::entry::{Entry, What};
use super::frame;
use super::ring::Ring;
use crate::domain::{Bytes, Timestamp};

/// Entries that may wait for the disk.
const QUEUED: usize = 1024;

/// The way into the recorder. Clones share it; the thread ends with the last one.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder whose files, `size` bytes in all, are in `dir`. Where they cannot be written the log says so once, and
    /// entries are counted until they can.
    #[must_use]
    pub fn start(dir: &Path, size: Bytes) -> Self {
        let (queue, entries) = sync_channel(QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        let mut writer = Writer::new(dir, size, Arc::clone(&dropped));
        let spawned =
            thread::Builder::new().name("mdfabric-record".to_owned()).spawn(move || writer.run(&entries));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for the flight recorder; nothing is recorded");
        }
        Self { queue, dropped }
    }

    /// A recorder that forgets everything: for what is not a daemon.
    #[must_use]
    pub fn none() -> Self {
        let (queue, _) = sync_channel(0);
        Self { queue, dropped: Arc::default() }
    }

    /// Takes an entry, if there is room for it. Never waits.
    pub fn note(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the thread has.
pub(super) struct Writer {
    ring: Ring,
    place: String,
    dropped: Arc<AtomicU64>,
    failing: bool,
}

impl Writer {
    pub(super) fn new(dir: &Path, size: Bytes, dropped: Arc<AtomicU64>) -> Self {
        Self { ring: Ring::new(dir, size.0), place: dir.display().to_string(), dropped, failing: false }
    }

    /// Writes what comes until nobody can send any more; one flush for what came at once.
    pub(super) fn run(&mut self, entries: &Receiver<Entry>) {
        while let Ok(first) = entries.recv() {
            let at = first.at;
            self.report_dropped(at);
            self.write(&first);
            entries.try_iter().take(QUEUED).for_each(|entry| self.write(&entry));
            let synced = self.ring.sync();
            self.said(&synced);
        }
    }

    fn report_dropped(&mut self, at: Timestamp) {
        let entries = self.dropped.swap(0, Ordering::Relaxed);
        if entries > 0 && !self.append(&Entry { at, what: What::Dropped { entries } }) {
            self.dropped.fetch_add(entries, Ordering::Relaxed);
        }
    }

    fn write(&mut self, entry: &Entry) {
        if !self.append(entry) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn append(&mut self, entry: &Entry) -> bool {
        let Some(frame) = frame::encode(entry) else { return false };
        let appended = self.ring.append(&frame);
        self.said(&appended)
    }

    /// Says once that writing fails, and once that it works again.
    fn said(&mut self, result: &std::io::Result<()>) -> bool {
        match result {
            Err(error) if !self.failing => {
                tracing::warn!(dir = self.place, %error, "the flight recorder cannot write; entries are lost");
            }
            Ok(()) if self.failing => tracing::info!(dir = self.place, "the flight recorder writes again"),
            Ok(()) | Err(_) => {}
        }
        self.failing = result.is_err();
        result.is_ok()
    }
}
