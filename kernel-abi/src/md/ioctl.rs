//! The ioctls of an array's node (drivers/md/md.c, `md_ioctl`).
//!
//! Deliberately absent: `SET_BITMAP_FILE` and the reshape forms of `SET_ARRAY_INFO`; sysfs does what we need of them.
//! `HOT_ADD_DISK` is a relic of metadata 0.90.

mod call;
mod structs;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

pub use structs::{ArrayInfo, DiskInfo, DiskState, RaidVersion};

use super::NodeName;
use crate::{CallError, DevNum, Root};

/// A member to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDisk {
    /// The superblock's `dev_number`; 0 while the array is being assembled.
    pub number: u32,
    /// The device.
    pub dev: DevNum,
    /// The slot it should have by its own superblock; 0 unless `state` has [`DiskState::SYNC`].
    pub raid_disk: u32,
    /// [`DiskState::SYNC`] asks for a re-add by bitmap. It drops write-mostly unless [`DiskState::WRITE_MOSTLY`] is
    /// there too: the flag in the superblock does not count.
    pub state: DiskState,
}

/// An open array node.
///
/// Caveats: an array cannot be stopped while another holds its node open; drop this as soon as it is not needed.
#[derive(Debug)]
pub struct MdNode {
    file: File,
    path: String,
}

impl MdNode {
    /// Opens `/dev/NAME`. ENOENT when there is no such node, ENODEV while the array is being stopped.
    pub fn open(root: &Root, name: &NodeName) -> Result<Self, CallError> {
        let path = root.path(format!("dev/{name}"));
        let _in_call = crate::call::enter("open", path.display());
        let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(&path);
        let file = opened.map_err(|source| CallError::new("open", path.display(), source))?;
        Ok(Self { file, path: path.display().to_string() })
    }

    /// The version of the MD driver's interface (0.90.3 for ever).
    #[doc(alias = "RAID_VERSION")]
    pub fn raid_version(&self) -> Result<RaidVersion, CallError> {
        let _in_call = self.enter("RAID_VERSION");
        call::raid_version(&self.file).map_err(|errno| self.failed("RAID_VERSION", errno))
    }

    /// The array's state. ENODEV before members were added. `size` is KiB in 31 bits: use sysfs for sizes.
    #[doc(alias = "GET_ARRAY_INFO")]
    pub fn get_array_info(&self) -> Result<ArrayInfo, CallError> {
        let _in_call = self.enter("GET_ARRAY_INFO");
        call::get_array_info(&self.file).map_err(|errno| self.failed("GET_ARRAY_INFO", errno))
    }

    /// The member with this `dev_number`; [`DiskState::REMOVED`] and device 0:0 when nobody has it.
    #[doc(alias = "GET_DISK_INFO")]
    pub fn get_disk_info(&self, number: u32) -> Result<DiskInfo, CallError> {
        let _in_call = self.enter("GET_DISK_INFO");
        let info = call::get_disk_info(&self.file, number);
        info.map_err(|errno| self.failed("GET_DISK_INFO", errno).with_value(number))
    }

    /// Says that metadata 1.2 follows; the geometry comes from the superblocks. First call on a new node.
    #[doc(alias = "SET_ARRAY_INFO")]
    pub fn set_array_info(&self) -> Result<(), CallError> {
        let version = ArrayInfo { major_version: 1, minor_version: 2, ..ArrayInfo::default() };
        let _in_call = self.enter("SET_ARRAY_INFO");
        call::set_array_info(&self.file, &version).map_err(|errno| self.failed("SET_ARRAY_INFO", errno))
    }

    /// Adds a member, whose superblock is written already.
    ///
    /// On an array that runs: EINVAL when a SYNC re-add is too old for the bitmap (or the slot is not its own), EBUSY
    /// while a faulty member of the same number is still bound.
    #[doc(alias = "ADD_NEW_DISK")]
    pub fn add_new_disk(&self, disk: NewDisk) -> Result<(), CallError> {
        let _in_call = self.enter("ADD_NEW_DISK");
        let done = call::add_new_disk(&self.file, &disk.into());
        done.map_err(|errno| self.failed("ADD_NEW_DISK", errno).with_value(format_args!("{disk:?}")))
    }

    /// Starts the array.
    #[doc(alias = "RUN_ARRAY")]
    pub fn run_array(&self) -> Result<(), CallError> {
        let _in_call = self.enter("RUN_ARRAY");
        call::run_array(&self.file).map_err(|errno| self.failed("RUN_ARRAY", errno))
    }

    /// Stops the array; its node vanishes when this is dropped. EBUSY while open elsewhere or mounted.
    #[doc(alias = "STOP_ARRAY")]
    pub fn stop_array(&self) -> Result<(), CallError> {
        let _in_call = self.enter("STOP_ARRAY");
        call::stop_array(&self.file).map_err(|errno| self.failed("STOP_ARRAY", errno))
    }

    /// Makes a read-only or read-auto array writable.
    #[doc(alias = "RESTART_ARRAY_RW")]
    pub fn restart_array_rw(&self) -> Result<(), CallError> {
        let _in_call = self.enter("RESTART_ARRAY_RW");
        call::restart_array_rw(&self.file).map_err(|errno| self.failed("RESTART_ARRAY_RW", errno))
    }

    /// Removes a faulty member or a spare. EBUSY while it holds a slot.
    #[doc(alias = "HOT_REMOVE_DISK")]
    pub fn hot_remove_disk(&self, dev: DevNum) -> Result<(), CallError> {
        let _in_call = self.enter("HOT_REMOVE_DISK");
        call::hot_remove_disk(&self.file, dev)
            .map_err(|errno| self.failed("HOT_REMOVE_DISK", errno).with_value(dev))
    }

    /// Fails a member. Unlike `faulty` in sysfs it takes no lock of the array (`md_ioctl` answers it before it does), so it
    /// returns at once even while a superblock write is held.
    ///
    /// Caveats: EBUSY on the last in-sync member is not "nothing happened": the array is broken from then on
    /// (`md_error` sets `MD_BROKEN`). Look before.
    #[doc(alias = "SET_DISK_FAULTY")]
    pub fn set_disk_faulty(&self, dev: DevNum) -> Result<(), CallError> {
        let _in_call = self.enter("SET_DISK_FAULTY");
        call::set_disk_faulty(&self.file, dev)
            .map_err(|errno| self.failed("SET_DISK_FAULTY", errno).with_value(dev))
    }

    fn enter(&self, call: &'static str) -> crate::call::Entered {
        crate::call::enter(call, &self.path)
    }

    fn failed(&self, call: &'static str, errno: nix::errno::Errno) -> CallError {
        CallError::new(call, &self.path, errno)
    }
}
