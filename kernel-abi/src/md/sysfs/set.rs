//! What may be told to arrays and members.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use nix::errno::Errno;

use super::{ArrayVerb, MemberVerb, SyncVerb};
use crate::md::{MemberDir, NodeName};
use crate::{CallError, DevNum, Root};

const NEW_ARRAY: &str = "sys/module/md_mod/parameters/new_array";
const START_RO: &str = "sys/module/md_mod/parameters/start_ro";
/// Most bytes in one write: kernfs passes a page less one byte, and cuts the rest off without a word.
const MAX_WRITE_BYTES: usize = 4000;

/// Whether something was made or was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Made by this call.
    Created,
    /// It was there.
    AlreadySo,
}

/// How far a check or resync goes, sectors of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncLimit {
    /// Up to here.
    At(u64),
    /// To the end.
    Max,
}

impl SyncLimit {
    /// Reads `max` or a number of sectors.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "max" => Some(Self::Max),
            sectors => sectors.parse().ok().map(Self::At),
        }
    }
}

/// Bounds of the resync speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeedLimit {
    /// The machine's (`/proc/sys/dev/raid/speed_limit_*`).
    System,
    /// This array's own, KiB/s.
    KibPerSec(u32),
}

/// Where the bitmap is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitmapLocation {
    /// Nowhere.
    None,
    /// Inside the members, sectors from the superblock.
    Internal(i32),
}

/// Makes an empty array with its node. Only names that begin with `md_`, and `mdN`, are taken; ENOENT without the
/// module `md_mod`. An array of that name that exists already may be in use: look at it.
pub fn create_node(root: &Root, name: &NodeName) -> Result<Made, CallError> {
    match root.write(NEW_ARRAY, name.as_str()) {
        Ok(()) => Ok(Made::Created),
        Err(error) if error.is(Errno::EEXIST) => Ok(Made::AlreadySo),
        Err(error) => Err(error),
    }
}

/// Whether arrays start as read-auto, with recovery waiting for the first write (Debian's mdadm switches it on).
pub fn set_start_ro(root: &Root, read_auto: bool) -> Result<(), CallError> {
    root.write(START_RO, if read_auto { "1" } else { "0" })
}

/// Says that superblocks of version 1.2 follow. On an array without members only.
pub fn set_metadata_version_1_2(root: &Root, name: &NodeName) -> Result<(), CallError> {
    set(root, name, "metadata_version", "1.2")
}

/// Binds a member, whose superblock is written already, to an array that does not run yet.
///
/// Caveats: on an array that runs it is accepted, and means a full copy whatever the superblock says (`new_dev_store`
/// never validates it): use `ADD_NEW_DISK`.
pub fn new_dev(root: &Root, name: &NodeName, dev: DevNum) -> Result<(), CallError> {
    set(root, name, "new_dev", dev)
}

/// Starts, stops or quiesces the array.
pub fn set_array_state(root: &Root, name: &NodeName, verb: ArrayVerb) -> Result<(), CallError> {
    set(root, name, "array_state", verb.as_str())
}

/// Starts or stops a check, resync or recovery.
pub fn set_sync_action(root: &Root, name: &NodeName, verb: SyncVerb) -> Result<(), CallError> {
    set(root, name, "sync_action", verb.as_str())
}

/// Changes the number of slots. EBUSY when more members are active than would be left. Going down renumbers slots.
pub fn set_raid_disks(root: &Root, name: &NodeName, slots: u32) -> Result<(), CallError> {
    set(root, name, "raid_disks", slots)
}

/// Changes what is used of every member, KiB. EINVAL when a member offers less ([`set_member_size_max`]).
///
/// Caveats: with a bitmap the kernel may skip the resync of the new area; make the members equal there before.
pub fn set_component_size_kib(root: &Root, name: &NodeName, kib: u64) -> Result<(), CallError> {
    set(root, name, "component_size", kib)
}

/// Where the next check or repair begins, sectors.
pub fn set_sync_min(root: &Root, name: &NodeName, sectors: u64) -> Result<(), CallError> {
    set(root, name, "sync_min", sectors)
}

/// Where the next check or repair ends.
pub fn set_sync_max(root: &Root, name: &NodeName, limit: SyncLimit) -> Result<(), CallError> {
    match limit {
        SyncLimit::At(sectors) => set(root, name, "sync_max", sectors),
        SyncLimit::Max => set(root, name, "sync_max", "max"),
    }
}

/// The speed a resync keeps even while the array is in use.
pub fn set_sync_speed_min(root: &Root, name: &NodeName, limit: SpeedLimit) -> Result<(), CallError> {
    set_speed(root, name, "sync_speed_min", limit)
}

/// The speed a resync never exceeds.
pub fn set_sync_speed_max(root: &Root, name: &NodeName, limit: SpeedLimit) -> Result<(), CallError> {
    set_speed(root, name, "sync_speed_max", limit)
}

/// Says that the members are equal everywhere ("assume clean"). With `sync_action` frozen only.
pub fn set_resync_start_none(root: &Root, name: &NodeName) -> Result<(), CallError> {
    set(root, name, "resync_start", "none")
}

/// How long after the last write the array is marked clean; milliseconds count.
pub fn set_safe_mode_delay(root: &Root, name: &NodeName, delay: Duration) -> Result<(), CallError> {
    set(root, name, "safe_mode_delay", format_args!("{}.{:03}", delay.as_secs(), delay.subsec_millis()))
}

/// Removes or places the bitmap of an array that runs. A valid bitmap already there is used as it is.
pub fn set_bitmap_location(root: &Root, name: &NodeName, location: BitmapLocation) -> Result<(), CallError> {
    match location {
        BitmapLocation::None => set(root, name, "bitmap/location", "none"),
        BitmapLocation::Internal(sectors) => set(root, name, "bitmap/location", format_args!("{sectors:+}")),
    }
}

/// Marks chunks as written, so that the next recovery by bitmap copies them. In several writes when there are many
/// ranges; what was marked before an error stays marked.
pub fn bitmap_set_bits(
    root: &Root,
    name: &NodeName,
    chunks: &[RangeInclusive<u64>],
) -> Result<(), CallError> {
    batches(chunks).iter().try_for_each(|batch| set(root, name, "bitmap_set_bits", batch))
}

/// Tells a member something.
pub fn set_member_state(
    root: &Root,
    name: &NodeName,
    dir: &MemberDir,
    verb: MemberVerb,
) -> Result<(), CallError> {
    set(root, name, format_args!("{dir}/state"), verb.as_str())
}

/// Lets the array know of all that a member's device, which grew, has now.
pub fn set_member_size_max(root: &Root, name: &NodeName, dir: &MemberDir) -> Result<(), CallError> {
    set(root, name, format_args!("{dir}/size"), "0")
}

fn set_speed(root: &Root, name: &NodeName, attribute: &str, limit: SpeedLimit) -> Result<(), CallError> {
    match limit {
        SpeedLimit::System => set(root, name, attribute, "system"),
        SpeedLimit::KibPerSec(kib) => set(root, name, attribute, kib),
    }
}

fn set(root: &Root, name: &NodeName, attribute: impl Display, value: impl Display) -> Result<(), CallError> {
    root.write(name.attribute(attribute), &value.to_string())
}

/// `900-915 32`, cut into writes that the kernel takes whole. Empty ranges are left out.
fn batches(chunks: &[RangeInclusive<u64>]) -> Vec<String> {
    let mut batches: Vec<String> = Vec::new();
    for words in chunks.iter().filter(|range| !range.is_empty()).map(words) {
        match batches.last_mut() {
            Some(batch) if batch.len() + 1 + words.len() <= MAX_WRITE_BYTES => {
                batch.push(' ');
                batch.push_str(&words);
            }
            _ => batches.push(words),
        }
    }
    batches
}

fn words(range: &RangeInclusive<u64>) -> String {
    match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ranges_go_in_writes_that_fit_a_page() {
        assert_eq!(batches(&[900..=915, 32..=32]), ["900-915 32"]);
        assert!(batches(&[]).is_empty());
        let many: Vec<_> = (0..5000).map(|at| at * 10..=at * 10 + 3).collect();
        let batches = batches(&many);
        assert!(batches.iter().all(|batch| batch.len() <= MAX_WRITE_BYTES));
        assert_eq!(batches.join(" ").split(' ').count(), many.len());
    }
}
