#![allow(unsafe_code, reason = "ioctl(2) on block devices; each call passes a live fd and a value it owns")]
//! The block layer's ioctls, with nothing unsafe left outside this file. Numbers: include/uapi/linux/fs.h, blkpg.h.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::Result;

use super::blkpg::Partition;

mod raw {
    nix::ioctl_read_bad!(blkroget, nix::request_code_none!(0x12, 94), libc::c_int);
    nix::ioctl_none!(blkrrpart, 0x12, 95);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_write_ptr_bad!(blkpg, nix::request_code_none!(0x12, 105), super::BlkpgIoctlArg);
    // The kernel's header says size_t; the value is a u64 on every word size (block/ioctl.c, blkdev_common_ioctl).
    nix::ioctl_read!(blkgetsize64, 0x12, 114, libc::size_t);
    nix::ioctl_write_ptr_bad!(blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_read_bad!(blkpbszget, nix::request_code_none!(0x12, 123), libc::c_uint);
    nix::ioctl_write_ptr_bad!(blkzeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
}

/// `struct blkpg_ioctl_arg` (include/uapi/linux/blkpg.h).
#[repr(C)]
struct BlkpgIoctlArg {
    op: i32,
    flags: i32,
    datalen: i32,
    data: *const Partition,
}

const PARTITION_BYTES: i32 = 152;

const _: () = {
    assert!(size_of::<Partition>() == 152);
    assert!(size_of::<BlkpgIoctlArg>() == 24);
    assert!(std::mem::offset_of!(BlkpgIoctlArg, data) == 16);
};

/// Size in bytes.
pub(super) fn size_bytes(device: &File) -> Result<u64> {
    let mut bytes = 0;
    // SAFETY: the fd is open for the call and the kernel writes one u64 (size_t here) into `bytes`.
    unsafe { raw::blkgetsize64(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(bytes as u64)
}

/// Logical sector in bytes.
pub(super) fn logical_sector_bytes(device: &File) -> Result<u32> {
    let mut bytes = 0;
    // SAFETY: the fd is open for the call and the kernel writes one int into `bytes`.
    unsafe { raw::blksszget(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(bytes.unsigned_abs())
}

/// Physical sector in bytes.
pub(super) fn physical_sector_bytes(device: &File) -> Result<u32> {
    let mut bytes = 0;
    // SAFETY: the fd is open for the call and the kernel writes one unsigned int into `bytes`.
    unsafe { raw::blkpbszget(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(bytes)
}

/// Whether the device refuses writes.
pub(super) fn is_read_only(device: &File) -> Result<bool> {
    let mut flag = 0;
    // SAFETY: the fd is open for the call and the kernel writes one int into `flag`.
    unsafe { raw::blkroget(device.as_raw_fd(), &raw mut flag) }?;
    Ok(flag != 0)
}

/// Reads the partition table again.
pub(super) fn reread_partitions(disk: &File) -> Result<()> {
    // SAFETY: the fd is open for the call; there is no argument.
    unsafe { raw::blkrrpart(disk.as_raw_fd()) }.map(drop)
}

/// Adds, removes or resizes one partition in the kernel's view.
pub(super) fn blkpg(disk: &File, op: i32, partition: &Partition) -> Result<()> {
    let argument = BlkpgIoctlArg { op, flags: 0, datalen: PARTITION_BYTES, data: partition };
    // SAFETY: the fd is open for the call; `argument` and the `partition` it points to outlive it and are only read.
    unsafe { raw::blkpg(disk.as_raw_fd(), &raw const argument) }.map(drop)
}

/// Discards `bytes` bytes at `offset`.
pub(super) fn discard(device: &File, offset: u64, bytes: u64) -> Result<()> {
    let range = [offset, bytes];
    // SAFETY: the fd is open for the call and the kernel reads two u64 from `range`.
    unsafe { raw::blkdiscard(device.as_raw_fd(), &raw const range) }.map(drop)
}

/// Zeroes `bytes` bytes at `offset`.
pub(super) fn zero_out(device: &File, offset: u64, bytes: u64) -> Result<()> {
    let range = [offset, bytes];
    // SAFETY: the fd is open for the call and the kernel reads two u64 from `range`.
    unsafe { raw::blkzeroout(device.as_raw_fd(), &raw const range) }.map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(nix::request_code_none!(0x12, 105), 0x1269);
        assert_eq!(nix::request_code_none!(0x12, 127), 0x127f);
        assert_eq!(nix::request_code_none!(0x12, 119), 0x1277);
        assert_eq!(nix::request_code_none!(0x12, 95), 0x125f);
        assert_eq!(nix::request_code_none!(0x12, 104), 0x1268);
        assert_eq!(nix::request_code_read!(0x12, 114, 8), 0x8008_1272);
    }
}
