//! What was read from drives, kept until something happens to them: partition tables and signatures are on the disk, and
//! an idle disk is not to be read again and again. While a step changes a disk, what was known before it counts: half
//! of a table is no table.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel_abi::DevNum;
use kernel_abi::block::gpt::GptState;

/// How often a disk is read again because a step changed it meanwhile.
const READS: u32 = 3;

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

#[derive(Debug, Default)]
struct Known {
    content: Option<Content>,
    /// A step is changing it.
    changing: bool,
    /// Steps that began or ended since the start.
    changes: u64,
}

/// By device number.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<BTreeMap<DevNum, Known>>);

impl Tables {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DevNum, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a disk, read with `read` unless it is known.
    pub(super) fn of(
        &self,
        number: DevNum,
        disk_sequence: Option<u64>,
        read: impl Fn() -> Content,
    ) -> Content {
        let mut last = None;
        for _ in 0..READS {
            let changes = match self.known(number, disk_sequence) {
                Ok(content) => return content,
                Err(changes) => changes,
            };
            let content = read();
            if self.keep(number, changes, &content) {
                return content;
            }
            last = Some(content);
        }
        last.unwrap_or_else(read)
    }

    /// What is known of the disk, else how often it was changed so far.
    fn known(&self, number: DevNum, disk_sequence: Option<u64>) -> Result<Content, u64> {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        match &known.content {
            Some(content) if content.disk_sequence == disk_sequence => Ok(content.clone()),
            _ => Err(known.changes),
        }
    }

    /// Keeps what was read, unless a step came between.
    fn keep(&self, number: DevNum, changes: u64, content: &Content) -> bool {
        let mut lock = self.lock();
        let known = lock.entry(number).or_default();
        let quiet = known.changes == changes && !known.changing;
        if quiet {
            known.content = Some(content.clone());
        }
        quiet
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
        *known = Known { content: None, changing: false, changes: known.changes + 1 };
    }

    /// Reads every disk again at the next look, but those that are being changed: they are read when that has ended.
    pub(super) fn forget_all(&self) {
        for known in self.lock().values_mut().filter(|known| !known.changing) {
            known.content = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const DISK: DevNum = DevNum { major: 259, minor: 0 };

    fn content(word: &str) -> Content {
        Content { disk_sequence: Some(1), table: Err(word.to_owned()), signatures: Vec::new() }
    }

    fn read(tables: &Tables, word: &str) -> String {
        tables.of(DISK, Some(1), || content(word)).table.unwrap_err()
    }

    #[test]
    fn a_disk_is_read_once_until_something_happens() {
        let tables = Tables::default();
        assert_eq!(read(&tables, "first"), "first");
        assert_eq!(read(&tables, "second"), "first");
        tables.forget_all();
        assert_eq!(read(&tables, "third"), "third");
    }

    #[test]
    fn half_of_a_change_is_never_seen() {
        let tables = Tables::default();
        read(&tables, "before");
        tables.begin_change(DISK);
        tables.forget_all();
        assert_eq!(read(&tables, "half"), "before");
        tables.end_change(DISK);
        assert_eq!(read(&tables, "after"), "after");
    }

    #[test]
    fn what_was_read_while_a_step_ran_is_read_again() {
        let tables = Tables::default();
        let reads = Cell::new(0);
        let seen = tables.of(DISK, Some(1), || {
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                tables.begin_change(DISK);
                tables.end_change(DISK);
            }
            content(&reads.get().to_string())
        });
        assert_eq!(seen.table.unwrap_err(), "2");
    }
}
