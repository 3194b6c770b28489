//! The superblock's fields that are more than a number.

use std::fmt;

/// The seat of one `dev_number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds this slot.
    Active(u16),
    /// Spare, or nobody has this number.
    Spare,
    /// Failed.
    Faulty,
    /// Write journal of a RAID5 (none of ours).
    Journal,
}

impl From<u16> for Role {
    fn from(wire: u16) -> Self {
        match wire {
            0xffff => Self::Spare,
            0xfffe => Self::Faulty,
            0xfffd => Self::Journal,
            slot => Self::Active(slot),
        }
    }
}

impl From<Role> for u16 {
    fn from(role: Role) -> Self {
        match role {
            Role::Spare => 0xffff,
            Role::Faulty => 0xfffe,
            Role::Journal => 0xfffd,
            Role::Active(slot) => slot,
        }
    }
}

/// `feature_map`: a set of `MD_FEATURE_*` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeatureMap(pub u32);

impl FeatureMap {
    /// An internal bitmap at `bitmap_offset`.
    pub const BITMAP_OFFSET: Self = Self(1);
    /// `recovery_offset` counts: the member is being rebuilt.
    pub const RECOVERY_OFFSET: Self = Self(2);
    /// The reshape fields count.
    pub const RESHAPE_ACTIVE: Self = Self(4);
    /// The bad-block log has entries.
    pub const BAD_BLOCKS: Self = Self(8);
    /// The member replaces another in the same slot.
    pub const REPLACEMENT: Self = Self(16);
    /// The rebuild is guided by the bitmap.
    pub const RECOVERY_BITMAP: Self = Self(128);
    /// Every bit that Linux 6.12 knows (`MD_FEATURE_ALL`); it refuses a superblock with any other.
    pub const KNOWN: Self = Self(0x1fff);

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

    /// Bits of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// `devflags`: a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DevFlags(pub u8);

impl DevFlags {
    /// Reads go to other members while there are any.
    pub const WRITE_MOSTLY: Self = Self(1);
    /// Fail at the first error. Never set by us: the write that fails is acknowledged before anyone can record it.
    pub const FAIL_FAST: Self = Self(2);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn for_member(write_mostly: bool) -> Self {
        if write_mostly { Self::WRITE_MOSTLY } else { Self(0) }
    }
}

/// A time as superblocks store it: seconds since 1970 in the low 40 bits, microseconds above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    const SECONDS: u64 = (1 << 40) - 1;

    /// Whole seconds since 1970; what does not fit into 40 bits is cut.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs & Self::SECONDS)
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 & Self::SECONDS
    }

    /// Microseconds into that second.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0 >> 40
    }

    pub(super) const fn from_wire(wire: u64) -> Self {
        Self(wire)
    }

    pub(super) const fn to_wire(self) -> u64 {
        self.0
    }
}

/// The array's name: at most 32 bytes, NUL-padded on disk. mdadm writes `HOMEHOST:NAME`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetName([u8; 32]);

/// A name that has more than 32 bytes or a NUL among them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("array name {name:?} has a NUL or more than 32 bytes")]
pub struct NameTooLong {
    /// The name.
    pub name: String,
}

impl SetName {
    /// The name `text`.
    pub fn new(text: &str) -> Result<Self, NameTooLong> {
        let mut bytes = [0; 32];
        match bytes.get_mut(..text.len()) {
            Some(room) if !text.contains('\0') => room.copy_from_slice(text.as_bytes()),
            _ => return Err(NameTooLong { name: text.to_owned() }),
        }
        Ok(Self(bytes))
    }

    pub(super) const fn from_wire(wire: [u8; 32]) -> Self {
        Self(wire)
    }

    pub(super) const fn to_wire(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf8_lossy(name))
    }
}

impl fmt::Debug for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A reshape in progress. Arrays of ours never have one: RAID1 changes its slots at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reshape {
    /// Level after it.
    pub new_level: i32,
    /// Reached so far, sectors.
    pub position: u64,
    /// Slots added or, negative, removed.
    pub delta_disks: i32,
    /// Layout after it.
    pub new_layout: u32,
    /// Chunk after it, sectors.
    pub new_chunk: u32,
    /// Sectors by which `data_offset` moves.
    pub new_offset: i32,
}

/// Where the bad-block log lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BadBlockLog {
    /// Log2 of the log's block size over 512 bytes.
    pub shift: u8,
    /// Sectors.
    pub size: u16,
    /// Sectors from the superblock.
    pub offset: i32,
}
