//! What survives a power cut: drives, their tables, the partitions' data and MD superblocks.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::drives::DriveFault;
use crate::domain::Bytes;
use crate::plan::placement::HEADER;
use crate::plan::{Dev, DriveSeen, PartitionSeen, TableSeen};

/// Blocks of the largest volume in the model. Block 0 stands for the file system's superblock.
pub const BLOCKS: u8 = 12;
/// What a block stands for; what a volume has beyond the last one is not modelled.
const BLOCK: Bytes = Bytes::mib(128);

/// Blocks of so many usable bytes.
#[must_use]
pub(super) fn blocks_in(size: Bytes) -> u8 {
    u8::try_from(size.0 / BLOCK.0).unwrap_or(BLOCKS).min(BLOCKS)
}

/// Where the data of a block is, in sectors: at its beginning, and the rest of it is never looked at.
pub(super) fn sector_of(block: u8) -> u64 {
    u64::from(block) * BLOCK.sectors()
}

/// What a block holds that was never zeroed: it is no version any writer used.
pub(super) const GARBAGE: u64 = 1;

/// The data of a partition: each block holds the number of the write it has last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks([u64; BLOCKS as usize]);

impl Blocks {
    /// Every block holds `version`.
    #[must_use]
    pub fn filled(version: u64) -> Self {
        Self([version; BLOCKS as usize])
    }

    /// What a block holds.
    #[must_use]
    pub fn get(&self, block: u8) -> u64 {
        self.0.get(usize::from(block)).copied().unwrap_or(0)
    }

    /// Overwrites a block.
    pub fn set(&mut self, block: u8, version: u64) {
        if let Some(slot) = self.0.get_mut(usize::from(block)) {
            *slot = version;
        }
    }

    /// Whether nothing can be read of these blocks.
    #[must_use]
    pub fn is_zero(&self, blocks: std::ops::Range<u8>) -> bool {
        blocks.into_iter().all(|block| self.get(block) == 0)
    }
}

/// A member's entry in the superblock's role table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Has this slot.
    Slot(u32),
    /// Has none.
    Spare,
    /// Was kicked out.
    Faulty,
}

/// An MD superblock with its bitmap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    /// Array uuid.
    pub array: Uuid,
    /// Device uuid.
    pub device: Uuid,
    /// Index in the role table.
    pub dev_number: u32,
    /// Counts superblock updates.
    pub events: u64,
    /// The bitmap knows of every write since this event.
    pub events_cleared: u64,
    /// Slots.
    pub slots: u32,
    /// What the array uses of every member.
    pub size: Bytes,
    /// What this member offers.
    pub room: Bytes,
    /// Role table.
    pub roles: BTreeMap<u32, Role>,
    /// Its recovery has not ended.
    pub filling: bool,
    /// Blocks that may differ.
    pub dirty: BTreeSet<u8>,
    /// The array was stopped in order.
    pub clean: bool,
}

/// A partition.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    /// First byte.
    pub start: Bytes,
    /// Length by the table.
    pub size: Bytes,
    /// Length as the kernel has it.
    pub known: Bytes,
    /// Its number since the last boot.
    pub dev: Dev,
    /// Data.
    pub blocks: Blocks,
    /// Superblock, if one was written.
    pub header: Option<Header>,
}

impl Partition {
    /// Blocks of a volume that it has room for.
    pub(super) fn blocks(&self) -> u8 {
        blocks_in(Bytes(self.known.0.saturating_sub(HEADER.0)))
    }
}

/// A drive.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    /// Its number since the last boot.
    pub dev: Dev,
    /// Size.
    pub capacity: Bytes,
    /// Logical sector size.
    pub sector_size: u32,
    /// Disk GUID of our table.
    pub guid: Option<Uuid>,
    /// What is on it that is not ours.
    pub found: Vec<String>,
    /// By GUID.
    pub partitions: BTreeMap<Uuid, Partition>,
    /// What is wrong with it.
    pub fault: DriveFault,
    /// Since when it has not answered.
    pub silent_since: Option<u64>,
}

impl Disk {
    /// Bytes for new partitions.
    #[must_use]
    pub(super) fn free(&self) -> Bytes {
        let used: u64 = self.partitions.values().map(|partition| partition.size.0).sum();
        Bytes(self.capacity.0.saturating_sub(used + 2 * Bytes::MIB))
    }

    /// Where a partition of `size` fits first.
    pub(super) fn first_fit(&self, size: Bytes) -> Option<Bytes> {
        self.gaps().into_iter().find(|(_, free)| *free >= size).map(|(start, _)| start)
    }

    /// The length a partition could have where it lies.
    pub(super) fn room(&self, partition: &Partition) -> Bytes {
        let later = self.partitions.values().filter(|other| other.start > partition.start);
        let end = later.map(|other| other.start.0).min().unwrap_or(self.capacity.0 - Bytes::MIB);
        Bytes(end - partition.start.0)
    }

    /// Free stretches: start and length.
    fn gaps(&self) -> Vec<(Bytes, Bytes)> {
        let mut used: Vec<(u64, u64)> =
            self.partitions.values().map(|partition| (partition.start.0, partition.size.0)).collect();
        used.push((self.capacity.0.saturating_sub(Bytes::MIB), 0));
        used.sort_unstable();
        let mut from = Bytes::MIB;
        let mut gaps = Vec::new();
        for (start, size) in used {
            gaps.push((Bytes(from), Bytes(start.saturating_sub(from))));
            from = start + size;
        }
        gaps
    }

    pub(super) fn seen(&self) -> DriveSeen {
        let partition = |(guid, partition): (&Uuid, &Partition)| {
            let seen = PartitionSeen {
                start: partition.start,
                size: partition.size,
                room: self.room(partition),
                dev: Some(partition.dev),
                known: partition.known,
            };
            (*guid, seen)
        };
        let table = self.guid.map_or(TableSeen::Absent, |guid| TableSeen::Gpt {
            guid,
            partitions: self.partitions.iter().map(partition).collect(),
            free: self.free(),
            largest_free: self.gaps().into_iter().map(|(_, free)| free).max().unwrap_or_default(),
            damaged: None,
        });
        DriveSeen {
            dev: self.dev,
            capacity: self.capacity,
            sector_size: self.sector_size,
            model: "simulated".to_owned(),
            read_only: false,
            health: "Good".to_owned(),
            table,
            found: self.found.clone(),
            unanswered: None,
        }
    }
}
