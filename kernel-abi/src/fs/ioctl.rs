//! The ioctls of block devices and mounted file systems, as safe functions on an open file.

#![allow(
    unsafe_code,
    reason = "ioctl(2) takes raw pointers; each call here passes a live value of the right size"
)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::Result;

/// `struct xfs_fsop_geom` (`fs/xfs/libxfs/xfs_fs.h`), 256 bytes; only what is used is named. Counts are FS blocks.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct XfsGeom {
    pub(super) blocksize: u32,
    rtextsize: u32,
    pub(super) agblocks: u32,
    pub(super) agcount: u32,
    logblocks: u32,
    sectsize: u32,
    inodesize: u32,
    /// Percent of the space that inodes may take.
    pub(super) imaxpct: u32,
    pub(super) datablocks: u64,
    rest: [u64; 27],
}

const _: () = {
    assert!(size_of::<XfsGeom>() == 256);
    assert!(std::mem::offset_of!(XfsGeom, imaxpct) == 28);
    assert!(std::mem::offset_of!(XfsGeom, datablocks) == 32);
};

/// `struct xfs_growfs_data`.
#[repr(C)]
struct XfsGrow {
    newblocks: u64,
    imaxpct: u32,
    pad: u32,
}

const _: () = assert!(size_of::<XfsGrow>() == 16);

/// `struct fstrim_range` (`include/uapi/linux/fs.h`), bytes.
#[repr(C)]
struct TrimRange {
    start: u64,
    len: u64,
    minlen: u64,
}

const _: () = assert!(size_of::<TrimRange>() == 24);

mod raw {
    use super::{TrimRange, XfsGeom, XfsGrow};
    use nix::{
        ioctl_none_bad, ioctl_read, ioctl_readwrite, ioctl_write_ptr, ioctl_write_ptr_bad, request_code_none,
    };

    // BLKZEROOUT is _IO(0x12, 127) although it takes a pointer to {start, length}.
    ioctl_write_ptr_bad!(blkzeroout, request_code_none!(0x12, 127), [u64; 2]);
    ioctl_write_ptr!(ext4_resize, b'f', 16, u64);
    ioctl_read!(xfs_geometry, b'X', 126, XfsGeom);
    ioctl_write_ptr!(xfs_grow_data, b'X', 110, XfsGrow);
    // XFS_IOC_GOINGDOWN is the same call. Declared as one that writes, although the kernel reads the value.
    ioctl_read!(ext4_shutdown, b'X', 125, u32);
    ioctl_readwrite!(fitrim, b'X', 121, TrimRange);
    // _IOWR('X', 119|120, int), but the argument is not read (fs/ioctl.c, ioctl_fsfreeze).
    ioctl_none_bad!(fifreeze, super::FIFREEZE);
    ioctl_none_bad!(fithaw, super::FITHAW);
}

const FIFREEZE: libc::c_ulong = nix::request_code_readwrite!(b'X', 119, size_of::<i32>());
const FITHAW: libc::c_ulong = nix::request_code_readwrite!(b'X', 120, size_of::<i32>());

/// `EXT4_GOING_FLAGS_NOLOGFLUSH` (`include/uapi/linux/ext4.h`) and `XFS_FSOP_GOING_FLAGS_NOLOGFLUSH`.
const NO_LOG_FLUSH: u32 = 2;

/// Makes `length` bytes from `start` read as zeros, without unmapping them (`block/ioctl.c`, `blk_ioctl_zeroout`).
#[doc(alias = "BLKZEROOUT")]
pub(super) fn zero_out(device: &File, start: u64, length: u64) -> Result<()> {
    // SAFETY: the kernel reads two u64 from a live array.
    unsafe { raw::blkzeroout(device.as_raw_fd(), &raw const *&[start, length]) }.map(drop)
}

/// Grows a mounted ext4 to `blocks` file system blocks in all.
#[doc(alias = "EXT4_IOC_RESIZE_FS")]
pub(super) fn ext4_resize(directory: &File, blocks: u64) -> Result<()> {
    // SAFETY: the kernel reads one u64.
    unsafe { raw::ext4_resize(directory.as_raw_fd(), &raw const blocks) }.map(drop)
}

/// What a mounted XFS looks like.
#[doc(alias = "XFS_IOC_FSGEOMETRY")]
pub(super) fn xfs_geometry(directory: &File) -> Result<XfsGeom> {
    let mut geometry = XfsGeom {
        blocksize: 0,
        rtextsize: 0,
        agblocks: 0,
        agcount: 0,
        logblocks: 0,
        sectsize: 0,
        inodesize: 0,
        imaxpct: 0,
        datablocks: 0,
        rest: [0; 27],
    };
    // SAFETY: the kernel fills in 256 bytes, the size asserted above; every bit pattern is valid.
    unsafe { raw::xfs_geometry(directory.as_raw_fd(), &raw mut geometry) }?;
    Ok(geometry)
}

/// Grows a mounted XFS to `blocks` file system blocks in all.
#[doc(alias = "XFS_IOC_FSGROWFSDATA")]
pub(super) fn xfs_grow(directory: &File, blocks: u64, imaxpct: u32) -> Result<()> {
    let request = XfsGrow { newblocks: blocks, imaxpct, pad: 0 };
    // SAFETY: the kernel reads 16 bytes, the size asserted above.
    unsafe { raw::xfs_grow_data(directory.as_raw_fd(), &raw const request) }.map(drop)
}

/// Waits for writes, then lets none begin until [`thaw`].
#[doc(alias = "FIFREEZE")]
pub(super) fn freeze(directory: &File) -> Result<()> {
    // SAFETY: no argument.
    unsafe { raw::fifreeze(directory.as_raw_fd()) }.map(drop)
}

/// Undoes [`freeze`].
#[doc(alias = "FITHAW")]
pub(super) fn thaw(directory: &File) -> Result<()> {
    // SAFETY: no argument.
    unsafe { raw::fithaw(directory.as_raw_fd()) }.map(drop)
}

/// Fails everything from now on; writes nothing but the error mark of ext4's journal.
#[doc(alias = "EXT4_IOC_SHUTDOWN")]
#[doc(alias = "XFS_IOC_GOINGDOWN")]
pub(super) fn shut_down(directory: &File) -> Result<()> {
    let mut how = NO_LOG_FLUSH;
    // SAFETY: the kernel reads one u32.
    unsafe { raw::ext4_shutdown(directory.as_raw_fd(), &raw mut how) }.map(drop)
}

/// Discards free ranges of at least `minimum` bytes; says how many bytes that were.
#[doc(alias = "FITRIM")]
pub(super) fn trim(directory: &File, minimum: u64) -> Result<u64> {
    let mut range = TrimRange { start: 0, len: u64::MAX, minlen: minimum };
    // SAFETY: the kernel reads and writes 24 bytes, the size asserted above.
    unsafe { raw::fitrim(directory.as_raw_fd(), &raw mut range) }?;
    Ok(range.len)
}

#[cfg(test)]
mod tests {
    use super::{FIFREEZE, FITHAW, TrimRange, XfsGeom, XfsGrow};
    use nix::{request_code_none, request_code_read, request_code_readwrite, request_code_write};

    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(request_code_none!(0x12, 127), 0x127f);
        assert_eq!(request_code_write!(b'f', 16, size_of::<u64>()), 0x4008_6610);
        assert_eq!(request_code_read!(b'X', 126, size_of::<XfsGeom>()), 0x8100_587e);
        assert_eq!(request_code_write!(b'X', 110, size_of::<XfsGrow>()), 0x4010_586e);
        assert_eq!(request_code_readwrite!(b'X', 121, size_of::<TrimRange>()), 0xc018_5879);
        assert_eq!(request_code_read!(b'X', 125, size_of::<u32>()), 0x8004_587d);
        assert_eq!((FIFREEZE, FITHAW), (0xc004_5877, 0xc004_5878));
    }
}
