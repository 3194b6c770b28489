//! Comparing the copies of a running array, with the kernel's own `check`: it waits for writes chunk by chunk, so it never
//! sees a difference that is only a write under way, and it can be abandoned at any moment.

use std::thread;
use std::time::Duration;

use kernel_abi::md::NodeName;
use kernel_abi::md::sysfs::{self, ArrayObservation, SyncAction, SyncCompleted, SyncLimit, SyncVerb};
use kernel_abi::{CallError, Root};

use super::array::node;
use super::{failure, retry};
use crate::domain::{Bytes, Verify};
use crate::plan::{FailureKind, Outcome, StepFailure};

/// Sectors in a sampled window: 1 MiB.
const WINDOW_SECTORS: u64 = 2048;
/// Windows between the first and the last one.
const WINDOWS: u64 = 64;
/// How often a running check is looked at: its end is not always announced (`md_do_sync` waits at `sync_max`).
const LOOK: Duration = Duration::from_millis(4);
/// A check that runs to the end of the array goes idle by itself; between being asked for and running it may look idle too.
const IDLE_LOOKS: u32 = 5;

pub(super) fn compare(root: &Root, array: &str, size: Bytes, how: Verify) -> Result<Outcome, StepFailure> {
    let name = node(array)?;
    let windows = match how {
        Verify::Off => Vec::new(),
        Verify::Full => vec![(0, size.sectors())],
        Verify::Sampled => sampled(size.sectors()),
    };
    let mut mismatched_sectors = 0;
    let mut sectors = 0;
    for (from, to) in windows {
        mismatched_sectors += check(root, &name, from, to, size.sectors())?;
        sectors += to - from;
    }
    unlimited(root, &name).map_err(|error| retry(&error))?;
    Ok(Outcome::Compared { bytes: Bytes(sectors * 512), mismatched_sectors })
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

/// Sectors that differ in a range.
fn check(root: &Root, name: &NodeName, from: u64, to: u64, size: u64) -> Result<u64, StepFailure> {
    let start = || {
        unlimited(root, name)?;
        sysfs::set_sync_min(root, name, from)?;
        if to < size {
            sysfs::set_sync_max(root, name, SyncLimit::At(to))?;
        }
        sysfs::set_sync_action(root, name, SyncVerb::Check)
    };
    let degraded = observe(root, name)?.degraded;
    start().map_err(|error| retry(&error))?;
    let mismatched = wait(root, name, to.min(size), degraded)?;
    sysfs::set_sync_action(root, name, SyncVerb::Idle).map_err(|error| retry(&error))?;
    Ok(mismatched)
}

fn unlimited(root: &Root, name: &NodeName) -> Result<(), CallError> {
    sysfs::set_sync_max(root, name, SyncLimit::Max)?;
    sysfs::set_sync_min(root, name, 0)
}

/// Waits until the check stands at its end. A check that ends early (a member was lost) proves nothing.
fn wait(root: &Root, name: &NodeName, to: u64, degraded: Option<u32>) -> Result<u64, StepFailure> {
    let mut idle_looks = 0;
    while idle_looks < IDLE_LOOKS {
        let seen = observe(root, name)?;
        if let Some(SyncCompleted::Sectors { done, .. }) = seen.sync_completed
            && done >= to
        {
            return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
        }
        idle_looks = if seen.sync_action == Some(SyncAction::Check) { 0 } else { idle_looks + 1 };
        thread::sleep(LOOK);
    }
    let seen = observe(root, name)?;
    let whole = seen.component_size_kib.is_some_and(|kib| kib * 2 <= to);
    if whole && seen.degraded == degraded {
        return Ok(seen.mismatch_sectors.unwrap_or(u64::MAX));
    }
    Err(failure(FailureKind::Retry, format_args!("the check of {name} ended before sector {to}")))
}

fn observe(root: &Root, name: &NodeName) -> Result<ArrayObservation, StepFailure> {
    let seen = sysfs::array(root, name).map_err(|error| retry(&error))?;
    seen.ok_or_else(|| failure(FailureKind::Retry, format_args!("{name} is gone")))
}
