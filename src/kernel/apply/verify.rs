//! Comparing a new copy with an old one of a running array.
//!
//! Windows are read from both members, around the page cache; the application goes on meanwhile. Where they differ, a
//! write may just be under way: such a window is looked at again, and in the end the kernel's own `check` decides about
//! it, which waits for writes. Nothing has to be undone when this is abandoned.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kernel_abi::Root;
use kernel_abi::block::compare::first_difference;
use kernel_abi::md::sysfs::SyncVerb;
use kernel_abi::md::{NodeName, geometry};

use super::array::node;
use super::check::{Check, give_way};
use super::retry;
use crate::domain::{Bytes, Verify};
use crate::kernel::calls::Abandoned;
use crate::kernel::device;
use crate::plan::{Dev, Outcome, StepFailure};

/// Sectors in a sampled window: 1 MiB.
const WINDOW_SECTORS: u64 = 2048;
/// Windows between the first and the last one.
const WINDOWS: u64 = 64;
/// What is read again where members differ: the largest logical sector.
const PLACE_BYTES: u64 = 4096;
/// How often such a place is read again before the kernel is asked, each time after twice the wait: 1.3 s in all.
const LOOKS: u32 = 8;
/// Before the first look at a place that differs.
const LOOK: Duration = Duration::from_millis(5);

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
            mismatched_sectors += check(root, &pair.name, from..to, size.sectors(), abandoned)?;
        }
        sectors += to - from;
    }
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
    range: Range<u64>,
    size: u64,
    abandoned: &Abandoned,
) -> Result<u64, StepFailure> {
    let mut check = Check::begin(root, name, SyncVerb::Check, range.clone(), size, abandoned)?;
    let mismatched = check.wait(range.end);
    check.end()?;
    mismatched
}
