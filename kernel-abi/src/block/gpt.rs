//! GUID partition tables (UEFI 2.10, chapter 5): read with a verdict on both copies, edited as a value, written so that
//! a power cut at any instant leaves one whole copy.
//!
//! This is our own reader and writer, not `gptman`'s: a verdict needs each copy judged by itself with the reason, the
//! write order (backup, fsync, primary, fsync) and the guards against hostile headers have to be ours anyway, and what is
//! left of the crate is the arithmetic below. `gptman`, `sfdisk` and `sgdisk` are the judges in the tests.
//!
//! Guarantees: a table that [`read`] accepted is written back with the partitions, attributes, names, numbers and entry
//! count it had; boot code and a hybrid MBR stay as they are. Partition numbers never change.
//! Assumptions: 512- or 4096-byte sectors, 128-byte entries, at most 1024 of them; anything else is [`GptState::Corrupt`]
//! with the reason, which is to say: not ours to touch.

mod codec;
mod disk;
mod edit;
mod geometry;
mod mbr;
mod name;
#[cfg(test)]
mod tests;

use uuid::{Uuid, uuid};

pub use disk::{read, write};
pub use edit::{Change, EditError, Extent};
pub use geometry::{ALIGNMENT_BYTES, Geometry, SectorSize};
pub use name::PartitionName;

use crate::{CallError, ParseError};

/// Partition type of a replica: Linux RAID.
pub const REPLICA_TYPE: Uuid = uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e");

/// A valid table. Positions are logical block addresses (LBA) in sectors of its [`Geometry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub disk_guid: Uuid,
    geometry: Geometry,
    first_usable_lba: u64,
    last_usable_lba: u64,
    primary_entries_lba: u64,
    entry_count: u32,
    partitions: Vec<Partition>,
}

/// One used entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Index in the table plus one: the N of `/dev/nvme0n1pN`.
    pub number: u32,
    /// What it is for.
    pub type_guid: Uuid,
    /// Its own GUID.
    pub guid: Uuid,
    /// First sector.
    pub first_lba: u64,
    /// Last sector, inclusive.
    pub last_lba: u64,
    /// Attribute bits, kept as found.
    pub attributes: u64,
    /// Label.
    pub name: PartitionName,
}

/// Where a partition lies, in the units `BLKPG` wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Partition number.
    pub number: u32,
    /// Start in bytes.
    pub start_bytes: u64,
    /// Length in bytes.
    pub length_bytes: u64,
}

/// What a disk carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GptState {
    /// Neither a GPT signature in either place nor an MBR partition. Other content is possible: see
    /// [`super::signature`].
    Absent,
    /// An MBR with partitions of its own, and no protective entry.
    OnlyMbr {
        /// Used MBR entries.
        partitions: usize,
        /// Whether GPT headers of an earlier table are still there.
        gpt_remains: bool,
    },
    /// Both copies and the protective MBR are right and say the same.
    Healthy(Table),
    /// The table is known; [`write`] it back to repair what is wrong.
    Repairable {
        /// The table, at the present size of the disk.
        table: Table,
        /// What is wrong where.
        damage: Vec<Damage>,
    },
    /// A GPT was here, and no copy can be trusted.
    Corrupt {
        /// Why the primary copy is refused.
        primary: Defect,
        /// Why the backup copy is refused.
        backup: Defect,
    },
}

/// A part of the table that has to be written again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {defect}")]
pub struct Damage {
    /// Which part.
    pub part: Part,
    /// What is wrong with it.
    pub defect: Defect,
}

/// The three parts of a table on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Sector 0. The kernel ignores a GPT without it (block/partitions/efi.c `find_valid_gpt`).
    ProtectiveMbr,
    /// Sector 1 and the entries after it.
    Primary,
    /// The last sector and the entries before it.
    Backup,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ProtectiveMbr => "protective MBR",
            Self::Primary => "primary copy",
            Self::Backup => "backup copy",
        })
    }
}

/// Why a part of the table cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The part is not there: no `EFI PART`, or no protective entry.
    #[error("not there")]
    Missing,
    /// The header's CRC-32 is wrong.
    #[error("header checksum is wrong")]
    HeaderChecksum,
    /// The CRC-32 over the entries is wrong.
    #[error("entries checksum is wrong")]
    EntriesChecksum,
    /// A field of the header is outside what is valid or supported.
    #[error("header field {field} is {value}")]
    Field {
        /// Field name as in the specification.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// An entry is outside the usable sectors, ends before it starts, or has no GUID.
    #[error("entry {number} is invalid")]
    Entry {
        /// Partition number.
        number: u32,
    },
    /// Two entries share sectors or a GUID.
    #[error("entries {first} and {second} collide")]
    Collision {
        /// One partition number.
        first: u32,
        /// The other.
        second: u32,
    },
    /// Valid by itself, but it says something else than the other copy (a write was cut short; the primary counts).
    #[error("differs from the primary copy")]
    Differs,
    /// The backup is not in the last sector: the disk grew since.
    #[error("lies at sector {lba}, not in the last one")]
    NotAtEnd {
        /// Where it is said to be.
        lba: u64,
    },
    /// The sectors cannot be read (errno, where there is one).
    #[error("unreadable (errno {errno:?})")]
    Unreadable {
        /// The kernel's answer.
        errno: Option<i32>,
    },
}

/// Why a table could not be read or written at all.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The disk is too small or its sectors have a size that is not supported.
    #[error(transparent)]
    Geometry(#[from] ParseError),
    /// Reading or writing failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// How many partitions an MBR without a protective entry has; `None` for anything else in sector 0.
pub(super) fn mbr_partitions(sector: &[u8]) -> Option<usize> {
    match mbr::classify(sector) {
        mbr::Mbr::Own(partitions) => Some(partitions),
        mbr::Mbr::None | mbr::Mbr::Protective => None,
    }
}

impl Table {
    /// Sector size and sector count this table was made for.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// First sector a partition may use.
    #[must_use]
    pub fn first_usable_lba(&self) -> u64 {
        self.first_usable_lba
    }

    /// Last sector a partition may use, inclusive.
    #[must_use]
    pub fn last_usable_lba(&self) -> u64 {
        self.last_usable_lba
    }

    /// The partitions by number.
    #[must_use]
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The partition with this GUID.
    #[must_use]
    pub fn partition(&self, guid: Uuid) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.guid == guid)
    }

    /// Where the partition with this GUID lies.
    #[must_use]
    pub fn placement(&self, guid: Uuid) -> Option<Placement> {
        self.partition(guid).map(|partition| partition.placement(self.geometry))
    }
}

impl Partition {
    /// Length in sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        (self.last_lba - self.first_lba).saturating_add(1)
    }

    /// Where it lies, in bytes.
    #[must_use]
    pub fn placement(&self, geometry: Geometry) -> Placement {
        Placement {
            number: self.number,
            start_bytes: geometry.bytes(self.first_lba),
            length_bytes: geometry.bytes(self.sectors()),
        }
    }
}
