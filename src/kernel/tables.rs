//! What was read from drives, kept until something happens to them: partition tables and signatures are on the disk, and
//! an idle disk is not to be read again and again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel_abi::DevNum;
use kernel_abi::block::gpt::GptState;

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

/// By device number.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<BTreeMap<DevNum, Content>>);

impl Tables {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DevNum, Content>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of a disk, read with `read` unless it is known.
    pub(super) fn of(
        &self,
        number: DevNum,
        disk_sequence: Option<u64>,
        read: impl FnOnce() -> Content,
    ) -> Content {
        if let Some(known) = self.lock().get(&number).filter(|known| known.disk_sequence == disk_sequence) {
            return known.clone();
        }
        let content = read();
        self.lock().insert(number, content.clone());
        content
    }

    /// Reads this disk again at the next look.
    pub(super) fn forget(&self, number: DevNum) {
        self.lock().remove(&number);
    }

    /// Reads every disk again at the next look.
    pub(super) fn forget_all(&self) {
        self.lock().clear();
    }
}
