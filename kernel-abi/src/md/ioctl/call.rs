//! The calls themselves: ioctl-sys computes the request numbers, nix makes the call.
//!
//! # Safety
//! Every request here reads or writes exactly the struct named beside it (sizes are asserted in `structs`), passed by
//! reference for the length of the call, on a descriptor that a borrow keeps open. The kernel keeps no pointer.
#![allow(
    unsafe_code,
    reason = "ioctl(2) is unsafe by nature; this file is the only one of `md` that makes it"
)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use ioctl_sys::{io, ior, iow};
use nix::errno::Errno;

use super::structs::{ArrayInfo, DiskInfo, RaidVersion};
use crate::DevNum;

/// `MD_MAJOR`, the type of all requests.
const MD: u32 = 9;

const RAID_VERSION: u32 = ior!(MD, 0x10, size_of::<RaidVersion>());
const GET_ARRAY_INFO: u32 = ior!(MD, 0x11, size_of::<ArrayInfo>());
const GET_DISK_INFO: u32 = ior!(MD, 0x12, size_of::<DiskInfo>());
const ADD_NEW_DISK: u32 = iow!(MD, 0x21, size_of::<DiskInfo>());
const HOT_REMOVE_DISK: u32 = io!(MD, 0x22);
const SET_ARRAY_INFO: u32 = iow!(MD, 0x23, size_of::<ArrayInfo>());
const SET_DISK_FAULTY: u32 = io!(MD, 0x29);
/// `mdu_param_t` is three ints; the kernel does not look at it.
const RUN_ARRAY: u32 = iow!(MD, 0x30, size_of::<[i32; 3]>());
const STOP_ARRAY: u32 = io!(MD, 0x32);
const RESTART_ARRAY_RW: u32 = io!(MD, 0x34);

mod request {
    nix::ioctl_read_bad!(raid_version, super::RAID_VERSION, super::RaidVersion);
    nix::ioctl_read_bad!(get_array_info, super::GET_ARRAY_INFO, super::ArrayInfo);
    nix::ioctl_read_bad!(get_disk_info, super::GET_DISK_INFO, super::DiskInfo);
    nix::ioctl_write_ptr_bad!(add_new_disk, super::ADD_NEW_DISK, super::DiskInfo);
    nix::ioctl_write_int_bad!(hot_remove_disk, super::HOT_REMOVE_DISK);
    nix::ioctl_write_ptr_bad!(set_array_info, super::SET_ARRAY_INFO, super::ArrayInfo);
    nix::ioctl_write_int_bad!(set_disk_faulty, super::SET_DISK_FAULTY);
    nix::ioctl_write_ptr_bad!(run_array, super::RUN_ARRAY, [i32; 3]);
    nix::ioctl_none_bad!(stop_array, super::STOP_ARRAY);
    nix::ioctl_none_bad!(restart_array_rw, super::RESTART_ARRAY_RW);
}

pub(super) fn raid_version(node: &File) -> Result<RaidVersion, Errno> {
    let mut version = RaidVersion::default();
    // SAFETY: see the head of this file.
    unsafe { request::raid_version(node.as_raw_fd(), &raw mut version) }?;
    Ok(version)
}

pub(super) fn get_array_info(node: &File) -> Result<ArrayInfo, Errno> {
    let mut info = ArrayInfo::default();
    // SAFETY: see the head of this file.
    unsafe { request::get_array_info(node.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

pub(super) fn get_disk_info(node: &File, number: u32) -> Result<DiskInfo, Errno> {
    let mut info = DiskInfo { number: number.cast_signed(), ..DiskInfo::default() };
    // SAFETY: see the head of this file.
    unsafe { request::get_disk_info(node.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

pub(super) fn add_new_disk(node: &File, disk: &DiskInfo) -> Result<(), Errno> {
    // SAFETY: see the head of this file.
    unsafe { request::add_new_disk(node.as_raw_fd(), ptr::from_ref(disk)) }.map(drop)
}

pub(super) fn set_array_info(node: &File, info: &ArrayInfo) -> Result<(), Errno> {
    // SAFETY: see the head of this file.
    unsafe { request::set_array_info(node.as_raw_fd(), ptr::from_ref(info)) }.map(drop)
}

pub(super) fn run_array(node: &File) -> Result<(), Errno> {
    // SAFETY: see the head of this file; the null pointer says "no parameters".
    unsafe { request::run_array(node.as_raw_fd(), ptr::null()) }.map(drop)
}

pub(super) fn stop_array(node: &File) -> Result<(), Errno> {
    // SAFETY: see the head of this file; there is no argument.
    unsafe { request::stop_array(node.as_raw_fd()) }.map(drop)
}

pub(super) fn restart_array_rw(node: &File) -> Result<(), Errno> {
    // SAFETY: see the head of this file; there is no argument.
    unsafe { request::restart_array_rw(node.as_raw_fd()) }.map(drop)
}

pub(super) fn hot_remove_disk(node: &File, dev: DevNum) -> Result<(), Errno> {
    // SAFETY: see the head of this file; the argument is a number, not a pointer.
    unsafe { request::hot_remove_disk(node.as_raw_fd(), encoded(dev)) }.map(drop)
}

pub(super) fn set_disk_faulty(node: &File, dev: DevNum) -> Result<(), Errno> {
    // SAFETY: see the head of this file; the argument is a number, not a pointer.
    unsafe { request::set_disk_faulty(node.as_raw_fd(), encoded(dev)) }.map(drop)
}

/// `include/linux/kdev_t.h`, `new_encode_dev`: minor bits 0-7, major, minor bits 8-19.
const fn encoded(dev: DevNum) -> i32 {
    let low = dev.minor & 0xff;
    let high = (dev.minor & !0xff) << 12;
    (low | (dev.major << 8) | high).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_kernels_numbers() {
        assert_eq!(RAID_VERSION, 0x800c_0910);
        assert_eq!(GET_ARRAY_INFO, 0x8048_0911);
        assert_eq!(GET_DISK_INFO, 0x8014_0912);
        assert_eq!(ADD_NEW_DISK, 0x4014_0921);
        assert_eq!(HOT_REMOVE_DISK, 0x922);
        assert_eq!(SET_ARRAY_INFO, 0x4048_0923);
        assert_eq!(SET_DISK_FAULTY, 0x929);
        assert_eq!(RUN_ARRAY, 0x400c_0930);
        assert_eq!(STOP_ARRAY, 0x932);
        assert_eq!(RESTART_ARRAY_RW, 0x934);
    }

    #[test]
    fn device_numbers_are_encoded_as_the_kernel_decodes_them() {
        assert_eq!(encoded(DevNum { major: 8, minor: 1 }), 0x801);
        assert_eq!(encoded(DevNum { major: 259, minor: 0x123 }), 0x0011_0323);
    }

    #[test]
    fn a_file_that_is_no_array_answers_enotty() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(get_array_info(&file), Err(Errno::ENOTTY));
        assert_eq!(stop_array(&file), Err(Errno::ENOTTY));
    }
}
