//! Superblocks for members that the kernel has not seen yet.

use uuid::Uuid;

use super::{
    BadBlockLog, DevFlags, FeatureMap, MAX_ROLES, RESYNC_DONE, Reshape, Role, SetName, Superblock, Timestamp,
};
use crate::md::geometry;

/// Roles written at creation, as mdadm does; more only when a `dev_number` needs them.
const USUAL_ROLES: usize = 128;
/// Bits that speak of a member's own state and must not be inherited from another.
const OWN_STATE: FeatureMap = FeatureMap::RECOVERY_OFFSET
    .with(FeatureMap::BAD_BLOCKS)
    .with(FeatureMap::REPLACEMENT)
    .with(FeatureMap::RECOVERY_BITMAP);

/// A member present at creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// Index into the role table, below 1920.
    pub dev_number: u32,
    /// Slot, below `raid_disks`.
    pub slot: u16,
}

/// A RAID1 to create. The same value serves all its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArray {
    /// The array.
    pub set_uuid: Uuid,
    /// For people.
    pub name: SetName,
    /// Now.
    pub ctime: Timestamp,
    /// Slots, missing ones included; at least 1.
    pub raid_disks: u16,
    /// Who is there from the start; the other slots are missing.
    pub present: Vec<Seat>,
    /// Component size, sectors; `None` takes all that this member has, which is right only when the members are
    /// equally large.
    pub component_size: Option<u64>,
}

/// The device that gets a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember {
    /// Index into the role table, below 1920. For a member that joins: one that no member of the running array has.
    pub dev_number: u32,
    /// Fresh and random.
    pub device_uuid: Uuid,
    /// Whether reads should go elsewhere while they can.
    pub write_mostly: bool,
    /// The whole device, sectors.
    pub device_sectors: u64,
}

/// A superblock that was asked for and cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The device does not hold the header and `component` sectors of data.
    #[error("device of {device} sectors has no room for {component} sectors of data at sector {data_offset}")]
    TooSmall {
        /// Device, sectors.
        device: u64,
        /// Wanted component size, sectors.
        component: u64,
        /// Where data begins, sectors.
        data_offset: u64,
    },
    /// An array without slots.
    #[error("an array has at least one slot")]
    NoSlots,
    /// A slot that the array does not have.
    #[error("slot {slot} is not one of {raid_disks}")]
    Slot {
        /// The slot.
        slot: u16,
        /// Slots there are.
        raid_disks: u32,
    },
    /// The superblock copied from holds this slot itself.
    #[error("slot {slot} is held by the member copied from")]
    SlotTaken {
        /// The slot.
        slot: u16,
    },
    /// A number beyond the role table.
    #[error("dev_number {dev_number} is beyond the role table")]
    DevNumber {
        /// The number.
        dev_number: u32,
    },
    /// Two members with one number, or a joining member with the number of the one copied from.
    #[error("dev_number {dev_number} is taken")]
    DevNumberTaken {
        /// The number.
        dev_number: u32,
    },
    /// Two members for one slot, at creation.
    #[error("slot {slot} is given twice")]
    SlotTwice {
        /// The slot.
        slot: u16,
    },
    /// A member that `present` does not list.
    #[error("dev_number {dev_number} is not among the members present")]
    NotPresent {
        /// The number.
        dev_number: u32,
    },
}

impl Superblock {
    /// The superblock of `member` in a new array that is taken as clean.
    ///
    /// Assumptions: the members' data areas are equal already (zeroed). Nothing is resynced, ever.
    pub fn create(array: &NewArray, member: &NewMember) -> Result<Self, LayoutError> {
        let size = array.component_size.or(geometry::component_size(member.device_sectors)).unwrap_or(0);
        let mut superblock = Self::blank(array, size);
        superblock.seat_all(array)?;
        if !array.present.iter().any(|seat| seat.dev_number == member.dev_number) {
            return Err(LayoutError::NotPresent { dev_number: member.dev_number });
        }
        superblock.take_identity(member)?;
        Ok(superblock)
    }

    /// The superblock with which `member` joins the running array of `self` (an in-sync member) as a spare that gets
    /// a full copy, whatever it held before. Write it, then `ADD_NEW_DISK` with no state.
    ///
    /// Guarantees: no event count and no slot, so the kernel cannot take the bitmap for it (`super_1_validate`).
    pub fn joining(&self, member: &NewMember) -> Result<Self, LayoutError> {
        let mut superblock = self.inherit(member)?;
        superblock.events = 0;
        Ok(superblock)
    }

    /// The superblock with which `member` joins the running array of `self` (an in-sync member) in `slot`, to be
    /// copied only where the bitmap has bits. Write it and a copy of the bitmap, then `ADD_NEW_DISK` with SYNC.
    ///
    /// Assumptions: every chunk whose bit is clear is equal on `member` already; that is, the member is zeroed and the
    /// array began zeroed, degraded in `slot`, with a clear bitmap.
    /// Caveats: the kernel believes all of it (drivers/md/md.c, `super_1_validate`).
    pub fn thin(&self, member: &NewMember, slot: u16) -> Result<Self, LayoutError> {
        if u32::from(slot) >= self.raid_disks {
            return Err(LayoutError::Slot { slot, raid_disks: self.raid_disks });
        }
        if self.slot() == Some(slot) {
            return Err(LayoutError::SlotTaken { slot });
        }
        let mut superblock = self.inherit(member)?;
        let former = superblock.roles.iter_mut().filter(|role| **role == Role::Active(slot));
        former.for_each(|role| *role = Role::Spare);
        superblock.assign(member.dev_number, Role::Active(slot))?;
        Ok(superblock)
    }

    fn blank(array: &NewArray, size: u64) -> Self {
        Self {
            feature_map: FeatureMap::BITMAP_OFFSET,
            set_uuid: array.set_uuid,
            name: array.name,
            ctime: array.ctime,
            level: 1,
            layout: 0,
            size,
            chunk: 0,
            raid_disks: array.raid_disks.into(),
            bitmap_offset: geometry::BITMAP_OFFSET,
            reshape: Reshape::default(),
            data_offset: geometry::DATA_OFFSET,
            data_size: 0,
            recovery_offset: 0,
            dev_number: 0,
            corrected_reads: 0,
            device_uuid: Uuid::nil(),
            devflags: DevFlags::default(),
            bad_block_log: BadBlockLog::default(),
            utime: array.ctime,
            events: 0,
            resync_offset: RESYNC_DONE,
            roles: vec![Role::Spare; USUAL_ROLES],
        }
    }

    fn seat_all(&mut self, array: &NewArray) -> Result<(), LayoutError> {
        if array.raid_disks == 0 {
            return Err(LayoutError::NoSlots);
        }
        array.present.iter().try_for_each(|seat| self.seat(*seat))
    }

    fn seat(&mut self, Seat { dev_number, slot }: Seat) -> Result<(), LayoutError> {
        if u32::from(slot) >= self.raid_disks {
            return Err(LayoutError::Slot { slot, raid_disks: self.raid_disks });
        }
        if self.roles.contains(&Role::Active(slot)) {
            return Err(LayoutError::SlotTwice { slot });
        }
        if self.role_of(dev_number) != Role::Spare {
            return Err(LayoutError::DevNumberTaken { dev_number });
        }
        self.assign(dev_number, Role::Active(slot))
    }

    /// A copy of `self` for another device, as a spare.
    ///
    /// Caveats: a role under `member`'s number is no sign that somebody has it. An array that was started without a member keeps that
    /// member's role until its superblocks are written next, which an idle array never does (`super_1_sync`, drivers/md/md.c); it
    /// may be `member`'s own. Who is there the kernel knows: it refuses a number that is in use (`bind_rdev_to_array`).
    fn inherit(&self, member: &NewMember) -> Result<Self, LayoutError> {
        let dev_number = member.dev_number;
        if dev_number == self.dev_number {
            return Err(LayoutError::DevNumberTaken { dev_number });
        }
        let mut superblock = self.clone();
        superblock.take_identity(member)?;
        superblock.assign(dev_number, Role::Spare)?;
        Ok(superblock)
    }

    /// Makes everything that speaks of the device speak of `member`.
    fn take_identity(&mut self, member: &NewMember) -> Result<(), LayoutError> {
        let (device, data_offset) = (member.device_sectors, self.data_offset);
        let data_size = device.saturating_sub(data_offset);
        if self.size == 0 || data_size < self.size {
            return Err(LayoutError::TooSmall { device, component: self.size, data_offset });
        }
        self.feature_map = self.feature_map.without(OWN_STATE);
        self.data_size = data_size;
        self.recovery_offset = 0;
        self.dev_number = member.dev_number;
        self.corrected_reads = 0;
        self.device_uuid = member.device_uuid;
        self.devflags = DevFlags::for_member(member.write_mostly);
        self.bad_block_log = BadBlockLog::default();
        Ok(())
    }

    /// Records a role, with a longer table where that is needed.
    fn assign(&mut self, dev_number: u32, role: Role) -> Result<(), LayoutError> {
        let wrong = LayoutError::DevNumber { dev_number };
        let at = usize::try_from(dev_number).ok().filter(|&at| at < MAX_ROLES).ok_or(wrong)?;
        if self.roles.len() <= at {
            self.roles.resize(at + 1, Role::Spare);
        }
        *self.roles.get_mut(at).ok_or(wrong)? = role;
        Ok(())
    }
}
