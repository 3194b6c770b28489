//! Comparing a new copy with an old one of a running array.
//!
//! Windows are read from both members, around the page cache; the application goes on meanwhile. Where they differ, a
//! write may just be under way: such a window is looked at again, and in the end the kernel's own `check` decides about
//! it, which waits for writes. Nothing has to be undone when this is abandoned. Which windows, the plan has chosen (`plan/windows.rs`).

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

/// Compares the members in `windows` of sectors of their data.
pub(super) fn compare(
    root: &Root,
    pair: &Pair,
    size: Bytes,
    windows: &[Range<u64>],
    how: Verify,
    abandoned: &Abandoned,
) -> Result<Outcome, StepFailure> {
    let mut mismatched_sectors = 0;
    for window in windows {
        give_way(abandoned)?;
        if how == Verify::Full || differs(&pair.good, &pair.new, window)? {
            mismatched_sectors += check(root, &pair.name, window.clone(), size.sectors(), abandoned)?;
        }
    }
    let sectors: u64 = windows.iter().map(|window| window.end - window.start).sum();
    Ok(Outcome::Compared { bytes: Bytes(sectors * 512), mismatched_sectors })
}

/// Whether a window differs and goes on differing. Members differ for a moment around every write: such a place is read
/// again until it settles, then the rest of the window.
fn differs(good: &Path, new: &Path, window: &Range<u64>) -> Result<bool, StepFailure> {
    let at = |sector: u64| (sector + geometry::DATA_OFFSET) * geometry::SECTOR_BYTES;
    let mut rest = at(window.start)..at(window.end);
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use kernel_abi::fs::{ext4, xfs};
    use uuid::Uuid;

    use super::*;
    use crate::domain::FsType;
    use crate::plan::windows::{self, Column};

    /// A file of so many bytes, nothing of which was written.
    fn image(bytes: u64) -> tempfile::NamedTempFile {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(bytes).unwrap();
        image
    }

    fn read<const N: usize>(file: &File, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    fn is_compared(fs: FsType, size: u64) -> impl Fn(u64) -> bool {
        let column = Column { size: Bytes(size), columns: 1, fs };
        let windows = windows::of(Verify::Sampled, column, Uuid::nil());
        move |byte| windows.iter().any(|window| window.contains(&(byte / geometry::SECTOR_BYTES)))
    }

    /// Every copy of the superblock is looked for where a group of 128 MiB begins.
    #[test]
    fn copies_of_an_ext4_superblock_are_compared() {
        const GROUP: u64 = 128 << 20;
        const SIZE: u64 = 1 << 40;
        let image = image(SIZE);
        let options = ext4::Ext4Options::new(Uuid::nil(), Uuid::nil(), 1);
        let options = ext4::Ext4Options { lazy: true, known_zero: true, ..options };
        ext4::format(image.path(), &options).unwrap();
        let starts = (1..SIZE / GROUP).map(|group| group * GROUP);
        let copies: Vec<u64> =
            starts.filter(|start| read::<2>(image.as_file(), start + 0x38) == [0x53, 0xef]).collect();
        assert!(copies.len() > 10, "{copies:?}");
        let is_compared = is_compared(FsType::Ext4, SIZE);
        assert!(copies.iter().all(|copy| is_compared(*copy)), "{copies:?}");
    }

    /// Where they are says the superblock.
    #[test]
    fn headers_of_every_xfs_group_are_compared() {
        for size in [1 << 30, (1 << 30) + (5 << 20), 5 << 40] {
            let image = image(size);
            let options = xfs::XfsOptions::new(Uuid::from_u128(1), 1);
            xfs::format(image.path(), &xfs::XfsOptions { known_zero: true, ..options }).unwrap();
            let number = |at| u64::from(u32::from_be_bytes(read(image.as_file(), at)));
            let (blocks, groups) = (number(84), number(88));
            assert!(groups >= 4, "{groups} groups of {blocks} blocks");
            let is_compared = is_compared(FsType::Xfs, size);
            for start in (0..groups).map(|group| group * blocks * 4096) {
                assert_eq!(&read::<4>(image.as_file(), start), b"XFSB");
                assert!(is_compared(start) && is_compared(start + 40 * 1024 - 1), "{start} of {size}");
            }
        }
    }
}
