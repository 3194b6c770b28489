//! The kernel's own comparison of a range of an array, `check`, and `repair` that makes the copies equal, too.
//!
//! The application goes on meanwhile: the kernel waits for writes in the window it reads. Every copy in sync is read; what the one in
//! the lowest slot has is what the others are held against (`process_checks`, drivers/md/raid1.c). A `check` writes nothing but over what a copy
//! could not read.
//!
//! How far it came and how much differed up to there are one only where it stands at an end that was set for it: all that was read is
//! compared then, and nothing behind. `md_do_sync` (drivers/md/md.c) tells of it on `sync_completed`.

use std::ops::Range;
use std::os::fd::AsFd;

use kernel_abi::md::NodeName;
use kernel_abi::md::sysfs::{self, SyncAction, SyncCompleted, SyncLimit, SyncVerb};
use kernel_abi::md::watch::{Watch, Watched};
use kernel_abi::{CallError, Root};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{failure, retry};
use crate::kernel::calls::Abandoned;
use crate::plan::{FailureKind, StepFailure};

/// How long the kernel's word is waited for before one looks whether somebody wants the check to give way, ms.
const PATIENCE_MILLIS: u8 = 100;

/// A check that was begun. Sectors are those of one member's data.
pub(super) struct Check<'a> {
    root: &'a Root,
    name: &'a NodeName,
    size: u64,
    degraded: Option<u32>,
    abandoned: &'a Abandoned,
    watches: Vec<Watch>,
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
        let watches = watches(root, name).map_err(|error| retry(&error))?;
        let check = Self { root, name, size, degraded, abandoned, watches };
        check.start(verb, &range).map_err(|error| retry(&error))?;
        Ok(check)
    }

    fn start(&self, verb: SyncVerb, range: &Range<u64>) -> Result<(), CallError> {
        set_range(self.root, self.name, range.start, SyncLimit::At(range.end))?;
        sysfs::set_sync_action(self.root, self.name, verb)
    }

    /// Lets it go on up to `to`. A running check's end may only be moved on: less than before is EBUSY (`max_sync_store`,
    /// drivers/md/md.c).
    pub(super) fn extend(&self, to: u64) -> Result<(), StepFailure> {
        sysfs::set_sync_max(self.root, self.name, SyncLimit::At(to)).map_err(|error| retry(&error))
    }

    /// Waits until it stands at `to`. Sectors that differed since it was begun. One that ends early (a member was lost) proves
    /// nothing; what was counted then is wrong (KERNEL2.md, row 10).
    pub(super) fn wait(&mut self, to: u64) -> Result<u64, StepFailure> {
        loop {
            give_way(self.abandoned)?;
            self.rearm()?;
            let activity = sysfs::activity(self.root, self.name).map_err(|error| retry(&error))?;
            let activity = activity.ok_or_else(|| gone(self.name))?;
            if let Some(SyncCompleted::Sectors { done, .. }) = activity.sync_completed
                && done >= to
            {
                return self.counted();
            }
            if !matches!(activity.sync_action, Some(SyncAction::Check | SyncAction::Repair)) {
                return self.ended(to);
            }
            self.listen()?;
        }
    }

    /// One that was not interrupted takes its range away with it (`md_do_sync`), and only at the array's end does one end by itself.
    fn ended(&self, to: u64) -> Result<u64, StepFailure> {
        let limit = sysfs::sync_limit(self.root, self.name).map_err(|error| retry(&error))?;
        if to == self.size && limit == Some(SyncLimit::Max) {
            return self.counted();
        }
        let message = format_args!("the check of {} ended before sector {to}", self.name);
        Err(failure(FailureKind::Retry, message))
    }

    fn counted(&self) -> Result<u64, StepFailure> {
        let seen = observe(self.root, self.name)?;
        if seen.degraded == self.degraded {
            return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
        }
        let message = format_args!("{} lost a member while it was checked", self.name);
        Err(failure(FailureKind::Retry, message))
    }

    /// From here on the kernel's word is heard.
    fn rearm(&mut self) -> Result<(), StepFailure> {
        let arm = |watch: &mut Watch| watch.rearm().map(drop);
        self.watches.iter_mut().try_for_each(arm).map_err(|error| retry(&error))
    }

    fn listen(&self) -> Result<(), StepFailure> {
        let mut fds: Vec<PollFd<'_>> = self.watches.iter().map(priority).collect();
        match poll(&mut fds, PollTimeout::from(PATIENCE_MILLIS)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => {
                Err(retry(&CallError::new("poll", format_args!("the check of {}", self.name), errno)))
            }
        }
    }

    /// Ends it and takes the range away again, so that the next recovery covers everything.
    pub(super) fn end(self) -> Result<(), StepFailure> {
        end(self.root, self.name).map_err(|error| retry(&error))
    }
}

/// Ends whatever check runs, or whatever holds the array, with its range.
pub(super) fn end(root: &Root, name: &NodeName) -> Result<(), CallError> {
    set_range(root, name, 0, SyncLimit::Max)?;
    sysfs::set_sync_action(root, name, SyncVerb::Idle)
}

/// A beginning is taken only while the kernel does nothing (`min_sync_store`: EBUSY), and after everything that ends it looks for a
/// moment whether there is something else to do; not so while it is frozen (`md_check_recovery`, drivers/md/md.c). Whatever is written to
/// `sync_action` next ends that.
fn set_range(root: &Root, name: &NodeName, from: u64, to: SyncLimit) -> Result<(), CallError> {
    sysfs::set_sync_action(root, name, SyncVerb::Frozen)?;
    sysfs::set_sync_max(root, name, SyncLimit::Max)?;
    sysfs::set_sync_min(root, name, from)?;
    sysfs::set_sync_max(root, name, to)
}

fn priority(watch: &Watch) -> PollFd<'_> {
    PollFd::new(watch.as_fd(), PollFlags::POLLPRI | PollFlags::POLLERR)
}

/// How far it is, and that it ended.
fn watches(root: &Root, name: &NodeName) -> Result<Vec<Watch>, CallError> {
    let both = [Watched::SyncCompleted(name.clone()), Watched::SyncAction(name.clone())];
    both.into_iter()
        .filter_map(|what| Watch::open(root, what).transpose())
        .map(|opened| Ok(opened?.0))
        .collect()
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
    seen.ok_or_else(|| gone(name))
}

fn gone(name: &NodeName) -> StepFailure {
    failure(FailureKind::Retry, format_args!("{name} is gone"))
}
