//! The member superblock of metadata 1.2 (`include/uapi/linux/raid/md_p.h`, `struct mdp_superblock_1`).

mod codec;
mod fields;
mod member;

#[cfg(test)]
mod tests;

use uuid::Uuid;

pub use codec::SuperblockError;
pub use fields::{BadBlockLog, DevFlags, FeatureMap, NameTooLong, Reshape, Role, SetName, Timestamp};
pub use member::{LayoutError, NewArray, NewMember, Seat};

/// `resync_offset` of an array that needs no initial resync (`MaxSector`).
pub const RESYNC_DONE: u64 = u64::MAX;
/// Most roles that fit: the kernel refuses more (`super_1_load`).
pub const MAX_ROLES: usize = (4096 - 256) / 2;

/// One member's superblock. All sizes and offsets are sectors of 512 bytes unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// What else is stored; the kernel sets and clears most bits itself.
    pub feature_map: FeatureMap,
    /// The array. sysfs `md/uuid` shows the same bytes.
    pub set_uuid: Uuid,
    /// The array's name, for people; the kernel ignores it.
    pub name: SetName,
    /// When the array was created.
    pub ctime: Timestamp,
    /// 1 is RAID1, 10 is RAID10.
    pub level: i32,
    /// 0 for RAID1.
    pub layout: u32,
    /// Component size: what the array uses of every member.
    pub size: u64,
    /// Stripe chunk; 0 for RAID1.
    pub chunk: u32,
    /// Slots, missing ones included.
    pub raid_disks: u32,
    /// Bitmap, sectors from the superblock; meaningful with [`FeatureMap::BITMAP_OFFSET`].
    pub bitmap_offset: i32,
    /// Meaningful with [`FeatureMap::RESHAPE_ACTIVE`]; zero otherwise.
    pub reshape: Reshape,
    /// First data sector of this member.
    pub data_offset: u64,
    /// What this member offers from `data_offset` on; at least `size`.
    pub data_size: u64,
    /// Recovered so far; meaningful with [`FeatureMap::RECOVERY_OFFSET`].
    pub recovery_offset: u64,
    /// This member's index into `roles`, unique in the array.
    pub dev_number: u32,
    /// Read errors corrected by rewriting.
    pub corrected_reads: u32,
    /// This member; stays when its slot changes.
    pub device_uuid: Uuid,
    /// This member's flags.
    pub devflags: DevFlags,
    /// Where known bad blocks are listed; all zero on members of ours.
    pub bad_block_log: BadBlockLog,
    /// Last superblock update.
    pub utime: Timestamp,
    /// Raised with every change of the array's state.
    pub events: u64,
    /// Array resync reached; [`RESYNC_DONE`] when clean.
    pub resync_offset: u64,
    /// By `dev_number` (`max_dev` entries, at most [`MAX_ROLES`]).
    pub roles: Vec<Role>,
}

impl Superblock {
    /// What this member says it is itself.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role_of(self.dev_number)
    }

    /// The slot this member says it holds.
    #[must_use]
    pub fn slot(&self) -> Option<u16> {
        match self.role() {
            Role::Active(slot) => Some(slot),
            Role::Spare | Role::Faulty | Role::Journal => None,
        }
    }

    /// Whether the array needs no resync, by this member's account.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.resync_offset == RESYNC_DONE
    }

    /// The lowest index that no role holds and that is not in `bound` (the numbers of members the kernel has now: a
    /// bound spare's role reads like an unused one).
    #[must_use]
    pub fn free_dev_number(&self, bound: &[u32]) -> Option<u32> {
        let free = |number: u32| number != self.dev_number && !bound.contains(&number);
        let limit = u32::try_from(MAX_ROLES).ok()?;
        (0..limit).find(|&number| self.role_of(number) == Role::Spare && free(number))
    }

    /// The role recorded at index `dev_number`; beyond the table that is "unused".
    #[must_use]
    pub fn role_of(&self, dev_number: u32) -> Role {
        usize::try_from(dev_number).ok().and_then(|at| self.roles.get(at)).copied().unwrap_or(Role::Spare)
    }
}
