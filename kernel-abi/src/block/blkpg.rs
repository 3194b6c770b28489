//! The kernel's view of a disk's partitions, changed one partition at a time (`BLKPG`), which works on a disk in use.
//!
//! Reading the whole table again (`BLKRRPART`) is refused with EBUSY as soon as one partition is held. Caveat: a partition
//! added here carries no PARTUUID or PARTNAME until such a rescan (block/partitions/core.c passes no `info`), so it is
//! found by table and start, not by udev's links.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;

use super::ioctl;
use crate::{CallError, call};

const BLKPG_ADD_PARTITION: i32 = 1;
const BLKPG_DEL_PARTITION: i32 = 2;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_partition` (include/uapi/linux/blkpg.h). Bytes, not sectors.
#[repr(C)]
pub(super) struct Partition {
    start: i64,
    length: i64,
    pno: i32,
    devname: [u8; 64],
    volname: [u8; 64],
}

const _: () = {
    assert!(size_of::<Partition>() == 152);
    assert!(std::mem::offset_of!(Partition, length) == 8);
    assert!(std::mem::offset_of!(Partition, pno) == 16);
    assert!(std::mem::offset_of!(Partition, devname) == 20);
    assert!(std::mem::offset_of!(Partition, volname) == 84);
};

/// Why the kernel left its view of the partitions as it was (block/ioctl.c `blkpg_do_ioctl`, block/partitions/core.c).
#[derive(Debug, thiserror::Error)]
pub enum BlkpgError {
    /// Add or resize: the range overlaps another partition, or the number is taken (EBUSY).
    #[error("the range or the number belongs to another partition")]
    Occupied(#[source] CallError),
    /// Delete: the partition is open, mounted, a member of something, or exported (EBUSY).
    #[error("the partition is in use")]
    InUse(#[source] CallError),
    /// There is no partition of that number, or the disk is gone (ENXIO).
    #[error("no such partition")]
    NoSuchPartition(#[source] CallError),
    /// Number below one, range not on sector bounds or outside the disk, another start on resize, or not a whole disk
    /// (EINVAL).
    #[error("the kernel does not accept this range")]
    InvalidRange(#[source] CallError),
    /// `CAP_SYS_ADMIN` is missing (EACCES).
    #[error("not permitted")]
    NotPermitted(#[source] CallError),
    /// Any other answer.
    #[error("unexpected answer")]
    Other(#[source] CallError),
}

/// A partition's place as the kernel is to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Partition number, from one.
    pub number: u32,
    /// Start in bytes, on a logical sector.
    pub start_bytes: u64,
    /// Length in bytes, whole logical sectors.
    pub length_bytes: u64,
}

/// Makes a partition known to the kernel. `disk` is the whole disk at `path`, opened without `O_EXCL`.
#[doc(alias = "BLKPG_ADD_PARTITION")]
pub fn add(disk: &File, path: &Path, slice: Slice) -> Result<(), BlkpgError> {
    change(disk, path, BLKPG_ADD_PARTITION, "BLKPG_ADD_PARTITION", slice)
}

/// Makes the kernel forget partition `number`.
#[doc(alias = "BLKPG_DEL_PARTITION")]
pub fn delete(disk: &File, path: &Path, number: u32) -> Result<(), BlkpgError> {
    let slice = Slice { number, start_bytes: 0, length_bytes: 0 };
    change(disk, path, BLKPG_DEL_PARTITION, "BLKPG_DEL_PARTITION", slice)
}

/// Gives a partition another length; its start must be the one the kernel knows. Works while the partition is in use.
///
/// Caveat: the kernel shrinks a partition under its users without any check; this function passes on what it is given.
#[doc(alias = "BLKPG_RESIZE_PARTITION")]
pub fn resize(disk: &File, path: &Path, slice: Slice) -> Result<(), BlkpgError> {
    change(disk, path, BLKPG_RESIZE_PARTITION, "BLKPG_RESIZE_PARTITION", slice)
}

/// Makes the kernel read the whole table again; EBUSY while any partition of the disk is open.
#[doc(alias = "BLKRRPART")]
pub fn reread(disk: &File, path: &Path) -> Result<(), CallError> {
    let _in_call = call::enter("BLKRRPART", path.display());
    ioctl::reread_partitions(disk).map_err(|errno| CallError::new("BLKRRPART", path.display(), errno))
}

fn change(disk: &File, path: &Path, op: i32, call: &'static str, slice: Slice) -> Result<(), BlkpgError> {
    let _in_call = call::enter(call, path.display());
    encode(slice)
        .and_then(|partition| ioctl::blkpg(disk, op, &partition))
        .map_err(|errno| meaning(op, errno, call_error(call, path, slice, errno)))
}

fn call_error(call: &'static str, path: &Path, slice: Slice, errno: Errno) -> CallError {
    let value = format!("{} {}+{}", slice.number, slice.start_bytes, slice.length_bytes);
    CallError::new(call, path.display(), errno).with_value(value)
}

/// Numbers that do not fit the kernel's struct are refused as the kernel would refuse them.
fn encode(slice: Slice) -> Result<Partition, Errno> {
    Ok(Partition {
        start: i64::try_from(slice.start_bytes).map_err(|_| Errno::EINVAL)?,
        length: i64::try_from(slice.length_bytes).map_err(|_| Errno::EINVAL)?,
        pno: i32::try_from(slice.number).map_err(|_| Errno::EINVAL)?,
        devname: [0; 64],
        volname: [0; 64],
    })
}

fn meaning(op: i32, errno: Errno, error: CallError) -> BlkpgError {
    match errno {
        Errno::EBUSY if op == BLKPG_DEL_PARTITION => BlkpgError::InUse(error),
        Errno::EBUSY => BlkpgError::Occupied(error),
        Errno::ENXIO => BlkpgError::NoSuchPartition(error),
        Errno::EINVAL => BlkpgError::InvalidRange(error),
        Errno::EACCES | Errno::EPERM => BlkpgError::NotPermitted(error),
        _ => BlkpgError::Other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(op: i32, errno: Errno) -> BlkpgError {
        meaning(op, errno, CallError::new("BLKPG", "/dev/x", errno))
    }

    #[test]
    fn busy_means_taken_when_adding_and_in_use_when_deleting() {
        assert!(matches!(told(BLKPG_ADD_PARTITION, Errno::EBUSY), BlkpgError::Occupied(_)));
        assert!(matches!(told(BLKPG_DEL_PARTITION, Errno::EBUSY), BlkpgError::InUse(_)));
        assert!(matches!(told(BLKPG_RESIZE_PARTITION, Errno::ENXIO), BlkpgError::NoSuchPartition(_)));
        assert!(matches!(told(BLKPG_ADD_PARTITION, Errno::EIO), BlkpgError::Other(_)));
    }

    #[test]
    fn a_start_beyond_the_kernels_numbers_is_an_invalid_range() {
        let file = File::open("/dev/null").unwrap();
        let slice = Slice { number: 1, start_bytes: u64::MAX, length_bytes: 512 };
        let error = add(&file, Path::new("/dev/null"), slice).unwrap_err();
        assert!(matches!(error, BlkpgError::InvalidRange(_)));
    }

    #[test]
    fn what_is_no_block_device_is_no_partition_verb() {
        let file = File::open("/dev/null").unwrap();
        let error = delete(&file, Path::new("/dev/null"), 1).unwrap_err();
        assert!(matches!(error, BlkpgError::Other(ref call) if call.is(Errno::ENOTTY)), "{error:?}");
    }
}
