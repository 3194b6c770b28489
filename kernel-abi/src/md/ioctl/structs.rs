//! What the ioctls pass (`include/uapi/linux/raid/md_u.h`).

use std::mem::offset_of;

use super::NewDisk;
use crate::DevNum;

/// `mdu_version_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "mdu_version_t")]
pub struct RaidVersion {
    /// 0.
    pub major: i32,
    /// 90.
    pub minor: i32,
    /// 3.
    pub patchlevel: i32,
}

/// `mdu_array_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "mdu_array_info_t")]
pub struct ArrayInfo {
    /// Metadata version, 1.
    pub major_version: i32,
    /// Metadata version, 2.
    pub minor_version: i32,
    /// Of the driver.
    pub patch_version: i32,
    /// Created, seconds since 1970.
    pub ctime: u32,
    /// 1 is RAID1.
    pub level: i32,
    /// Component size, KiB; -1 when it does not fit.
    pub size: i32,
    /// Members bound.
    pub nr_disks: i32,
    /// Slots.
    pub raid_disks: i32,
    /// Minor number of the array.
    pub md_minor: i32,
    /// 1 when no superblock is kept.
    pub not_persistent: i32,
    /// Last superblock update, seconds since 1970.
    pub utime: u32,
    /// Bit 0 clean, bit 8 has a bitmap.
    pub state: i32,
    /// Members in sync.
    pub active_disks: i32,
    /// Members not faulty.
    pub working_disks: i32,
    /// Members faulty.
    pub failed_disks: i32,
    /// Members neither in sync nor faulty.
    pub spare_disks: i32,
    /// 0 for RAID1.
    pub layout: i32,
    /// Bytes; 0 for RAID1.
    pub chunk_size: i32,
}

/// `mdu_disk_info_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "mdu_disk_info_t")]
pub struct DiskInfo {
    /// `dev_number`.
    pub number: i32,
    /// Device.
    pub major: i32,
    /// Device.
    pub minor: i32,
    /// Slot; negative without one.
    pub raid_disk: i32,
    /// What it is.
    pub state: DiskState,
}

impl DiskInfo {
    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Option<u32> {
        u32::try_from(self.raid_disk).ok()
    }

    /// The device; `None` when nobody has the number asked for.
    #[must_use]
    pub fn dev(&self) -> Option<DevNum> {
        let (major, minor) = (u32::try_from(self.major).ok()?, u32::try_from(self.minor).ok()?);
        (major, minor).ne(&(0, 0)).then_some(DevNum { major, minor })
    }
}

impl From<NewDisk> for DiskInfo {
    fn from(disk: NewDisk) -> Self {
        Self {
            number: disk.number.cast_signed(),
            major: disk.dev.major.cast_signed(),
            minor: disk.dev.minor.cast_signed(),
            raid_disk: disk.raid_disk.cast_signed(),
            state: disk.state,
        }
    }
}

/// A set of `MD_DISK_*` bits (`include/uapi/linux/raid/md_p.h` numbers them).
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskState(pub i32);

impl DiskState {
    /// A new member: spare, then full copy.
    pub const NONE: Self = Self(0);
    /// Failed.
    pub const FAULTY: Self = Self(1 << 0);
    /// Holds a slot.
    pub const ACTIVE: Self = Self(1 << 1);
    /// In sync; when adding: a re-add by bitmap.
    pub const SYNC: Self = Self(1 << 2);
    /// Nobody has this number.
    pub const REMOVED: Self = Self(1 << 3);
    /// Reads go elsewhere while they can.
    pub const WRITE_MOSTLY: Self = Self(1 << 9);
    /// Fails at the first error. Never set by us.
    pub const FAIL_FAST: Self = Self(1 << 10);
    /// Replaces another in the same slot.
    pub const REPLACEMENT: Self = Self(1 << 17);
    /// Write journal.
    pub const JOURNAL: Self = Self(1 << 18);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Bits of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const _: () = {
    assert!(size_of::<RaidVersion>() == 12);
    assert!(offset_of!(RaidVersion, major) == 0);
    assert!(offset_of!(RaidVersion, minor) == 4);
    assert!(offset_of!(RaidVersion, patchlevel) == 8);
    assert!(size_of::<ArrayInfo>() == 72);
    assert!(offset_of!(ArrayInfo, major_version) == 0);
    assert!(offset_of!(ArrayInfo, minor_version) == 4);
    assert!(offset_of!(ArrayInfo, patch_version) == 8);
    assert!(offset_of!(ArrayInfo, ctime) == 12);
    assert!(offset_of!(ArrayInfo, level) == 16);
    assert!(offset_of!(ArrayInfo, size) == 20);
    assert!(offset_of!(ArrayInfo, nr_disks) == 24);
    assert!(offset_of!(ArrayInfo, raid_disks) == 28);
    assert!(offset_of!(ArrayInfo, md_minor) == 32);
    assert!(offset_of!(ArrayInfo, not_persistent) == 36);
    assert!(offset_of!(ArrayInfo, utime) == 40);
    assert!(offset_of!(ArrayInfo, state) == 44);
    assert!(offset_of!(ArrayInfo, active_disks) == 48);
    assert!(offset_of!(ArrayInfo, working_disks) == 52);
    assert!(offset_of!(ArrayInfo, failed_disks) == 56);
    assert!(offset_of!(ArrayInfo, spare_disks) == 60);
    assert!(offset_of!(ArrayInfo, layout) == 64);
    assert!(offset_of!(ArrayInfo, chunk_size) == 68);
    assert!(size_of::<DiskInfo>() == 20);
    assert!(offset_of!(DiskInfo, number) == 0);
    assert!(offset_of!(DiskInfo, major) == 4);
    assert!(offset_of!(DiskInfo, minor) == 8);
    assert!(offset_of!(DiskInfo, raid_disk) == 12);
    assert!(offset_of!(DiskInfo, state) == 16);
};
