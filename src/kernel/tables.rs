//! What was read from drives, kept until something happens to them: partition tables and signatures are on the disk, and
//! an idle disk is not to be read again and again. While a step changes a disk, what was known before it counts: half
//! of a table is no table.
//!
//! Each drive is read on a thread of its own, one at a time: a drive that never answers keeps that thread and nothing else.
//! Until it answers, what it said last is what is known of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kernel_abi::DevNum;
use kernel_abi::block::gpt::GptState;
use kernel_abi::call::{self, Slot};
use tokio::sync::mpsc;

use super::calls;
use crate::plan::{Waiting, timing};

/// How often a disk is read again because a step changed it meanwhile.
const READS: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(timing::DRIVE_LOOK_MILLIS);
const ASK_AGAIN: Duration = Duration::from_millis(timing::DRIVE_ASK_MILLIS);

/// What a disk carries.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// The kernel's count of disks made: tells a reused number from the same disk.
    pub(super) disk_sequence: Option<u64>,
    /// The table, or why it could not be read.
    pub(super) table: Result<GptState, String>,
    /// What else was found, as text.
    pub(super) signatures: Vec<String>,
}

/// A disk that may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) number: DevNum,
    pub(super) disk_sequence: Option<u64>,
    /// It has requests that it has not completed.
    pub(super) busy: bool,
}

/// How a disk is spoken to.
pub(super) trait Speak: Send + 'static {
    /// Reads everything that is to be known of it.
    fn read(&self) -> Content;

    /// Returns when it answers at all.
    fn ping(&self);
}

/// A question that is out.
#[derive(Debug, Clone)]
struct Question {
    slot: Arc<Slot>,
    disk_sequence: Option<u64>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Known {
    content: Option<Content>,
    /// Nothing has happened to the disk since its content was read.
    fresh: bool,
    /// A step is changing it.
    changing: bool,
    /// Steps that began or ended since the start.
    changes: u64,
    question: Option<Question>,
    answered: Option<Instant>,
}

impl Known {
    fn content_of(&self, disk_sequence: Option<u64>) -> Option<&Content> {
        self.content.as_ref().filter(|content| content.disk_sequence == disk_sequence)
    }

    /// Whether what is known holds: while a step changes the disk, what was before.
    fn holds(&self, disk_sequence: Option<u64>) -> bool {
        self.content_of(disk_sequence).is_some() && (self.fresh || self.changing)
    }

    fn question_to(&self, disk_sequence: Option<u64>) -> Option<&Question> {
        self.question.as_ref().filter(|question| question.disk_sequence == disk_sequence)
    }
}

/// By device number.
#[derive(Debug, Default)]
pub(super) struct Tables {
    disks: Mutex<BTreeMap<DevNum, Known>>,
    answered: Condvar,
    /// Told when a drive answered that nobody waited for any more.
    wake: OnceLock<mpsc::Sender<()>>,
}

impl Tables {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DevNum, Known>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to tell that a drive has answered late.
    pub(super) fn wake(&self, wake: mpsc::Sender<()>) {
        drop(self.wake.set(wake));
    }

    /// Asks a disk what is not known of it, on a thread of its own, unless a question is out already.
    pub(super) fn ask(self: &Arc<Self>, disk: Asked, speak: impl Speak) {
        let mut lock = self.lock();
        let known = lock.entry(disk.number).or_default();
        let recently = known.answered.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        let read = !known.holds(disk.disk_sequence);
        if known.question_to(disk.disk_sequence).is_some() || !read && (recently || !disk.busy) {
            return;
        }
        let slot = Arc::<Slot>::default();
        let question =
            Question { slot: Arc::clone(&slot), disk_sequence: disk.disk_sequence, since: Instant::now() };
        known.question = Some(question);
        drop(lock);
        let (own, its_slot) = (Arc::clone(self), Arc::clone(&slot));
        let work = move || {
            call::noted(&its_slot, || if read { own.read(disk.number, &speak) } else { speak.ping() });
            own.answer(disk.number, &its_slot);
        };
        if thread::Builder::new().name("mdfabric-drive".to_owned()).spawn(work).is_err() {
            self.answer(disk.number, &slot);
        }
    }

    /// Reads until no step came between.
    fn read(&self, number: DevNum, speak: &impl Speak) {
        for _ in 0..READS {
            let changes = self.lock().entry(number).or_default().changes;
            let content = speak.read();
            if self.keep(number, changes, content) {
                return;
            }
        }
    }

    /// Keeps what was read; it is fresh unless a step came between.
    fn keep(&self, number: DevNum, changes: u64, content: Content) -> bool {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        known.fresh = known.changes == changes && !known.changing;
        if known.fresh || !known.changing {
            known.content = Some(content);
        }
        known.fresh
    }

    fn answer(&self, number: DevNum, slot: &Arc<Slot>) {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        let ours = known.question.take_if(|question| Arc::ptr_eq(&question.slot, slot));
        known.answered = Some(Instant::now());
        drop(lock);
        self.answered.notify_all();
        let late = ours.is_some_and(|question| question.since.elapsed() >= PATIENCE);
        if let Some(wake) = self.wake.get().filter(|_| late) {
            let _ = wake.try_send(());
        }
    }

    /// Waits a moment for the disks that were asked in this look.
    pub(super) fn wait(&self, asked: &[Asked]) {
        let begun = Instant::now();
        let mut lock = self.lock();
        loop {
            let waits = |disk: &Asked| {
                let known = lock.get(&disk.number);
                let question = known.and_then(|known| known.question_to(disk.disk_sequence));
                question.is_some_and(|question| question.since.elapsed() < PATIENCE)
            };
            let rest = PATIENCE.saturating_sub(begun.elapsed());
            if rest.is_zero() || !asked.iter().any(waits) {
                return;
            }
            (lock, _) = self.answered.wait_timeout(lock, rest).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is known of a disk, and for how long it has owed an answer.
    pub(super) fn known(&self, disk: Asked) -> (Option<Content>, Option<Waiting>) {
        let mut lock = self.lock();
        let known = lock.entry(disk.number).or_default();
        let waiting = known.question_to(disk.disk_sequence).map(|question| calls::waiting(&question.slot));
        (known.content_of(disk.disk_sequence).cloned(), waiting)
    }

    /// A step begins to change the disk.
    pub(super) fn begin_change(&self, number: DevNum) {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        known.changing = true;
        known.changes += 1;
    }

    /// The step has ended, well or not: the disk is read again at the next look.
    pub(super) fn end_change(&self, number: DevNum) {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        known.fresh = false;
        known.changing = false;
        known.changes += 1;
    }

    /// Reads every disk again at the next look, but those that are being changed: they are read when that has ended.
    pub(super) fn forget_all(&self) {
        for known in self.lock().values_mut().filter(|known| !known.changing) {
            known.fresh = false;
        }
    }
}

#[cfg(test)]
mod tests;
