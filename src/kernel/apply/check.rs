//! The kernel's own comparison of a range of an array, `check`, and `repair` that makes the copies equal, too.
//!
//! The application goes on meanwhile: the kernel waits for writes in the window it reads. Every copy in sync is read; what the one in
//! the lowest slot has is what the others are held against (`process_checks`, drivers/md/raid1.c). A `check` writes nothing but over what a copy
//! could not read.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use kernel_abi::md::NodeName;
use kernel_abi::md::sysfs::{self, SyncAction, SyncCompleted, SyncLimit, SyncVerb};
use kernel_abi::{CallError, Root};

use super::{failure, retry};
use crate::kernel::calls::Abandoned;
use crate::plan::{FailureKind, StepFailure};

/// Between two looks at a running check: its end is not always announced (`md_do_sync` waits at `sync_max`).
const LOOK: Duration = Duration::from_millis(5);
/// A check that runs to the end of the array goes idle by itself; between being asked for and running it may look so too.
const IDLE_LOOKS: u32 = 20;

/// A check that was begun. Sectors are those of one member's data.
pub(super) struct Check<'a> {
    root: &'a Root,
    name: &'a NodeName,
    size: u64,
    degraded: Option<u32>,
    abandoned: &'a Abandoned,
}

impl<'a> Check<'a> {
    /// Compares `range` of an array of `size` sectors; `verb` is check or repair.
    pub(super) fn begin(
        root: &'a Root,
        name: &'a NodeName,
        verb: SyncVerb,
        range: Range<u64>,
        size: u64,
        abandoned: &'a Abandoned,
    ) -> Result<Self, StepFailure> {
        let degraded = observe(root, name)?.degraded;
        let check = Self { root, name, size, degraded, abandoned };
        check.set(verb, range).map_err(|error| retry(&error))?;
        Ok(check)
    }

    fn set(&self, verb: SyncVerb, range: Range<u64>) -> Result<(), CallError> {
        clear(self.root, self.name)?;
        sysfs::set_sync_min(self.root, self.name, range.start)?;
        self.set_limit(range.end)?;
        sysfs::set_sync_action(self.root, self.name, verb)
    }

    fn set_limit(&self, to: u64) -> Result<(), CallError> {
        let limit = if to < self.size { SyncLimit::At(to) } else { SyncLimit::Max };
        sysfs::set_sync_max(self.root, self.name, limit)
    }

    /// Lets it go on up to `to`. A running check's end may only be moved on: less than before is EBUSY (`max_sync_store`,
    /// drivers/md/md.c).
    pub(super) fn extend(&self, to: u64) -> Result<(), StepFailure> {
        self.set_limit(to).map_err(|error| retry(&error))
    }

    /// Waits until it stands at `to`. Sectors that differed since it was begun. One that ends early (a member was lost) proves
    /// nothing; what was counted then is wrong (KERNEL2.md, row 10).
    pub(super) fn wait(&self, to: u64) -> Result<u64, StepFailure> {
        let mut idle_looks = 0;
        while idle_looks < IDLE_LOOKS {
            give_way(self.abandoned)?;
            let seen = observe(self.root, self.name)?;
            if let Some(SyncCompleted::Sectors { done, .. }) = seen.activity.sync_completed
                && done >= to
            {
                return self.counted(&seen);
            }
            let runs = matches!(seen.activity.sync_action, Some(SyncAction::Check | SyncAction::Repair));
            idle_looks = if runs { 0 } else { idle_looks + 1 };
            thread::sleep(LOOK);
        }
        let seen = observe(self.root, self.name)?;
        if seen.component_size_kib.is_some_and(|kib| kib * 2 <= to) {
            return self.counted(&seen);
        }
        let message = format_args!("the check of {} ended before sector {to}", self.name);
        Err(failure(FailureKind::Retry, message))
    }

    fn counted(&self, seen: &sysfs::ArrayObservation) -> Result<u64, StepFailure> {
        if seen.degraded == self.degraded {
            return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
        }
        let message = format_args!("{} lost a member while it was checked", self.name);
        Err(failure(FailureKind::Retry, message))
    }

    /// Ends it and takes the range away again, so that the next recovery covers everything.
    pub(super) fn end(self) -> Result<(), StepFailure> {
        clear(self.root, self.name).map_err(|error| retry(&error))
    }
}

/// Ends whatever check runs, with its range.
fn clear(root: &Root, name: &NodeName) -> Result<(), CallError> {
    sysfs::set_sync_action(root, name, SyncVerb::Idle)?;
    sysfs::set_sync_max(root, name, SyncLimit::Max)?;
    sysfs::set_sync_min(root, name, 0)
}

/// Ends a comparison that was told to give way.
pub(super) fn give_way(abandoned: &Abandoned) -> Result<(), StepFailure> {
    if abandoned.is_set() {
        return Err(failure(FailureKind::Abandoned, "it gives way to something that was asked for"));
    }
    Ok(())
}

fn observe(root: &Root, name: &NodeName) -> Result<sysfs::ArrayObservation, StepFailure> {
    let seen = sysfs::array(root, name).map_err(|error| retry(&error))?;
    seen.ok_or_else(|| failure(FailureKind::Retry, format_args!("{name} is gone")))
}
