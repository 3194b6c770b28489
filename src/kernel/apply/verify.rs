//! Comparing a new copy with an old one of a running array.
//!
//! Windows are read from both members, around the page cache; the application goes on meanwhile. Where they differ, a
//! write may just be under way: such a window is looked at again, and in the end the kernel's own `check` decides about
//! it, which waits for writes. Nothing has to be undone when this is abandoned.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kernel_abi::block::compare::first_difference;
use kernel_abi::md::sysfs::{self, SyncAction, SyncCompleted, SyncLimit, SyncVerb};
use kernel_abi::md::{NodeName, geometry};
use kernel_abi::{CallError, Root};

use super::array::node;
use super::{failure, retry};
use crate::domain::{Bytes, Verify};
use crate::kernel::calls::Abandoned;
use crate::kernel::device;
use crate::plan::{Dev, FailureKind, Outcome, StepFailure};

/// Sectors in a sampled window: 1 MiB.
const WINDOW_SECTORS: u64 = 2048;
/// Windows between the first and the last one.
const WINDOWS: u64 = 64;
/// What is read again where members differ: the largest logical sector.
const PLACE_BYTES: u64 = 4096;
/// How often such a place is read again before the kernel is asked, each time after twice the wait: 1.3 s in all.
const LOOKS: u32 = 8;
/// Before the first look at a place that differs, and between two looks at a running check (its end is not always
/// announced: `md_do_sync` waits at `sync_max`).
const LOOK: Duration = Duration::from_millis(5);
/// A check that runs to the end of the array goes idle by itself; between being asked for and running it may look so too.
const IDLE_LOOKS: u32 = 20;

/// The array and the two members that are compared.
pub(super) struct Pair {
    name: NodeName,
    good: PathBuf,
    new: PathBuf,
}

impl Pair {
    pub(super) fn new(root: &Root, array: &str, good: Dev, new: Dev) -> Result<Self, StepFailure> {
        let path = |dev| device::node(root, dev).map_err(|error| retry(&error));
        Ok(Self { name: node(array)?, good: path(good)?, new: path(new)? })
    }
}

pub(super) fn compare(
    root: &Root,
    pair: &Pair,
    size: Bytes,
    how: Verify,
    abandoned: &Abandoned,
) -> Result<Outcome, StepFailure> {
    let windows = match how {
        Verify::Off => Vec::new(),
        Verify::Full => vec![(0, size.sectors())],
        Verify::Sampled => sampled(size.sectors()),
    };
    let mut mismatched_sectors = 0;
    let mut sectors = 0;
    for (from, to) in windows {
        give_way(abandoned)?;
        let doubtful = how == Verify::Full || differs(&pair.good, &pair.new, from, to)?;
        if doubtful {
            mismatched_sectors += check(root, &pair.name, (from, to), size.sectors(), abandoned)?;
        }
        sectors += to - from;
    }
    Ok(Outcome::Compared { bytes: Bytes(sectors * 512), mismatched_sectors })
}

/// Ends a comparison that was told to give way.
fn give_way(abandoned: &Abandoned) -> Result<(), StepFailure> {
    let told = abandoned.is_set();
    if told {
        Err(failure(FailureKind::Abandoned, "it gives way to something that was asked for"))
    } else {
        Ok(())
    }
}

/// Both ends, and windows spread evenly with an offset that differs from run to run.
fn sampled(size: u64) -> Vec<(u64, u64)> {
    let stride = (size / (WINDOWS + 1)).max(WINDOW_SECTORS);
    let jitter = u64::from(std::process::id()) * WINDOW_SECTORS % stride;
    let starts = (0..WINDOWS).map(|index| (index * stride + jitter) / WINDOW_SECTORS * WINDOW_SECTORS);
    let last = size.saturating_sub(WINDOW_SECTORS) / WINDOW_SECTORS * WINDOW_SECTORS;
    let mut starts: Vec<u64> =
        starts.chain([0, last]).filter(|start| start + WINDOW_SECTORS <= size).collect();
    starts.sort_unstable();
    starts.dedup();
    starts.into_iter().map(|start| (start, start + WINDOW_SECTORS)).collect()
}

/// Whether a window differs and goes on differing. Members differ for a moment around every write: such a place is read
/// again until it settles, then the rest of the window.
fn differs(good: &Path, new: &Path, from: u64, to: u64) -> Result<bool, StepFailure> {
    let at = |sector: u64| (sector + geometry::DATA_OFFSET) * geometry::SECTOR_BYTES;
    let mut rest = at(from)..at(to);
    while let Some(place) = difference(good, new, rest.clone())? {
        let start = place / PLACE_BYTES * PLACE_BYTES;
        let place = start..rest.end.min(start + PLACE_BYTES);
        if !settles(good, new, &place)? {
            return Ok(true);
        }
        rest.start = place.end;
    }
    Ok(false)
}

/// Whether a place becomes equal within a second or so.
fn settles(good: &Path, new: &Path, place: &Range<u64>) -> Result<bool, StepFailure> {
    for look in 0..LOOKS {
        thread::sleep(LOOK * (1 << look));
        if difference(good, new, place.clone())?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn difference(good: &Path, new: &Path, bytes: Range<u64>) -> Result<Option<u64>, StepFailure> {
    first_difference(good, new, bytes).map_err(|error| retry(&error))
}

/// Sectors that differ in a range, counted by the kernel.
fn check(
    root: &Root,
    name: &NodeName,
    (from, to): (u64, u64),
    size: u64,
    abandoned: &Abandoned,
) -> Result<u64, StepFailure> {
    let degraded = observe(root, name)?.degraded;
    let begin = || {
        end(root, name)?;
        sysfs::set_sync_min(root, name, from)?;
        if to < size {
            sysfs::set_sync_max(root, name, SyncLimit::At(to))?;
        }
        sysfs::set_sync_action(root, name, SyncVerb::Check)
    };
    begin().map_err(|error| retry(&error))?;
    let mismatched = wait(root, name, to, degraded, abandoned);
    end(root, name).map_err(|error| retry(&error))?;
    mismatched
}

/// Takes the range away again, so that the next recovery covers everything.
fn end(root: &Root, name: &NodeName) -> Result<(), CallError> {
    sysfs::set_sync_action(root, name, SyncVerb::Idle)?;
    sysfs::set_sync_max(root, name, SyncLimit::Max)?;
    sysfs::set_sync_min(root, name, 0)
}

/// Waits until the check stands at its end. A check that ends early (a member was lost) proves nothing.
fn wait(
    root: &Root,
    name: &NodeName,
    to: u64,
    degraded: Option<u32>,
    abandoned: &Abandoned,
) -> Result<u64, StepFailure> {
    let mut idle_looks = 0;
    while idle_looks < IDLE_LOOKS {
        give_way(abandoned)?;
        let seen = observe(root, name)?;
        if let Some(SyncCompleted::Sectors { done, .. }) = seen.activity.sync_completed
            && done >= to
        {
            return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
        }
        idle_looks = if seen.activity.sync_action == Some(SyncAction::Check) { 0 } else { idle_looks + 1 };
        thread::sleep(LOOK);
    }
    let seen = observe(root, name)?;
    let whole = seen.component_size_kib.is_some_and(|kib| kib * 2 <= to);
    if whole && seen.degraded == degraded {
        return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
    }
    Err(failure(FailureKind::Retry, format_args!("the check of {name} ended before sector {to}")))
}

fn observe(root: &Root, name: &NodeName) -> Result<sysfs::ArrayObservation, StepFailure> {
    let seen = sysfs::array(root, name).map_err(|error| retry(&error))?;
    seen.ok_or_else(|| failure(FailureKind::Retry, format_args!("{name} is gone")))
}
