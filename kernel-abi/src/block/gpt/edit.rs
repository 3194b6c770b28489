//! Changing a table as a value: nothing here touches a disk.

use uuid::Uuid;

use super::geometry::DEFAULT_ENTRIES;
use super::{Geometry, Partition, PartitionName, Placement, Table};

/// What an idempotent edit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<T> {
    /// The table changed and has to be written.
    Made(T),
    /// It was so already.
    AlreadySo(T),
}

impl<T> Change<T> {
    /// The result, either way.
    pub fn into_inner(self) -> T {
        match self {
            Self::Made(value) | Self::AlreadySo(value) => value,
        }
    }
}

/// Free sectors between partitions, from a 1 MiB bound on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First free sector, aligned.
    pub first_lba: u64,
    /// How many.
    pub sectors: u64,
    /// The same in bytes.
    pub bytes: u64,
}

/// Why an edit was refused; the table is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No free extent is long enough.
    #[error("{wanted_bytes} bytes do not fit: the largest free extent has {largest_bytes}")]
    NoSpace {
        /// Asked for.
        wanted_bytes: u64,
        /// What there is.
        largest_bytes: u64,
    },
    /// Growing in place would run into what follows.
    #[error("partition {number} can grow to {most_bytes} bytes in place, not to {wanted_bytes}")]
    NoRoomToGrow {
        /// Which.
        number: u32,
        /// Asked for.
        wanted_bytes: u64,
        /// The most it can have.
        most_bytes: u64,
    },
    /// A partition with this GUID exists with another type or size.
    #[error("partition {number} has this GUID, another type or {bytes} bytes")]
    GuidTaken {
        /// Which.
        number: u32,
        /// Its length.
        bytes: u64,
    },
    /// Every entry is used.
    #[error("the table is full")]
    NoEntry,
    /// There is no partition with this GUID.
    #[error("no partition {guid}")]
    NoSuchPartition {
        /// The GUID asked for.
        guid: Uuid,
    },
    /// Zero bytes, or a nil GUID or type.
    #[error("a partition needs a size, a GUID and a type")]
    Nothing,
}

impl Table {
    /// An empty table of 128 entries for a disk of this geometry.
    #[must_use]
    pub fn create(disk_guid: Uuid, geometry: Geometry) -> Self {
        Self {
            disk_guid,
            geometry,
            first_usable_lba: 2 + geometry.entry_sectors(DEFAULT_ENTRIES),
            last_usable_lba: geometry.backup_entries_lba(DEFAULT_ENTRIES).saturating_sub(1),
            primary_entries_lba: 2,
            entry_count: DEFAULT_ENTRIES,
            partitions: Vec::new(),
        }
    }

    /// Free extents by position, each from its first 1 MiB bound on; shorter gaps are left out.
    #[must_use]
    pub fn free_extents(&self) -> Vec<Extent> {
        let mut extents = Vec::new();
        let mut free_from = self.first_usable_lba;
        for partition in self.by_position() {
            extents.extend(self.extent(free_from, partition.first_lba));
            free_from = partition.last_lba.saturating_add(1);
        }
        extents.extend(self.extent(free_from, self.last_usable_lba.saturating_add(1)));
        extents
    }

    /// Adds a partition of at least `bytes` (rounded up to whole sectors) in the first free extent that holds it, under
    /// the lowest free number. One with this GUID, type and size is [`Change::AlreadySo`], whatever its name.
    pub fn add(
        &mut self,
        guid: Uuid,
        type_guid: Uuid,
        name: PartitionName,
        bytes: u64,
    ) -> Result<Change<Placement>, EditError> {
        if bytes == 0 || guid.is_nil() || type_guid.is_nil() {
            return Err(EditError::Nothing);
        }
        let sectors = self.geometry.sectors_for(bytes);
        if let Some(there) = self.partition(guid) {
            return self.same_or_taken(there, type_guid, sectors);
        }
        let first_lba = self.first_fit(sectors, bytes)?;
        let last_lba = first_lba + (sectors - 1);
        let number = self.free_number().ok_or(EditError::NoEntry)?;
        let partition = Partition { number, type_guid, guid, first_lba, last_lba, attributes: 0, name };
        let placement = partition.placement(self.geometry);
        self.partitions.push(partition);
        self.partitions.sort_by_key(|partition| partition.number);
        Ok(Change::Made(placement))
    }

    /// Takes the partition with this GUID out and returns it; `None` when there was none.
    pub fn remove(&mut self, guid: Uuid) -> Option<Partition> {
        let index = self.partitions.iter().position(|partition| partition.guid == guid)?;
        Some(self.partitions.remove(index))
    }

    /// Makes a partition at least `bytes` long where it lies. One that is as long or longer is [`Change::AlreadySo`]:
    /// this never shrinks.
    pub fn grow(&mut self, guid: Uuid, bytes: u64) -> Result<Change<Placement>, EditError> {
        let geometry = self.geometry;
        let there = self.partition(guid).ok_or(EditError::NoSuchPartition { guid })?;
        let sectors = geometry.sectors_for(bytes);
        if sectors <= there.sectors() {
            return Ok(Change::AlreadySo(there.placement(geometry)));
        }
        let most = self.sectors_for(there);
        if sectors > most {
            let most_bytes = geometry.bytes(most);
            return Err(EditError::NoRoomToGrow { number: there.number, wanted_bytes: bytes, most_bytes });
        }
        self.stretch(guid, sectors).ok_or(EditError::NoSuchPartition { guid })
    }

    fn stretch(&mut self, guid: Uuid, sectors: u64) -> Option<Change<Placement>> {
        let partition = self.partitions.iter_mut().find(|partition| partition.guid == guid)?;
        partition.last_lba = partition.first_lba + (sectors - 1);
        Some(Change::Made(partition.placement(self.geometry)))
    }

    fn same_or_taken(
        &self,
        there: &Partition,
        type_guid: Uuid,
        sectors: u64,
    ) -> Result<Change<Placement>, EditError> {
        let placement = there.placement(self.geometry);
        if there.type_guid == type_guid && there.sectors() == sectors {
            Ok(Change::AlreadySo(placement))
        } else {
            Err(EditError::GuidTaken { number: there.number, bytes: placement.length_bytes })
        }
    }

    fn first_fit(&self, sectors: u64, wanted_bytes: u64) -> Result<u64, EditError> {
        let extents = self.free_extents();
        let largest_bytes = extents.iter().map(|extent| extent.bytes).max().unwrap_or(0);
        let fitting = extents.iter().find(|extent| extent.sectors >= sectors);
        fitting.map(|extent| extent.first_lba).ok_or(EditError::NoSpace { wanted_bytes, largest_bytes })
    }

    /// The most bytes `partition` can have where it lies: from its start to the next one or the end.
    #[must_use]
    pub fn room_for(&self, partition: &Partition) -> u64 {
        self.geometry.bytes(self.sectors_for(partition))
    }

    fn sectors_for(&self, partition: &Partition) -> u64 {
        let next = self.by_position().into_iter().find(|other| other.first_lba > partition.first_lba);
        let end = next.map_or(self.last_usable_lba.saturating_add(1), |other| other.first_lba);
        end.saturating_sub(partition.first_lba)
    }

    fn free_number(&self) -> Option<u32> {
        (1..=self.entry_count)
            .find(|number| self.partitions.iter().all(|partition| partition.number != *number))
    }

    fn by_position(&self) -> Vec<&Partition> {
        let mut ordered: Vec<&Partition> = self.partitions.iter().collect();
        ordered.sort_by_key(|partition| partition.first_lba);
        ordered
    }

    fn extent(&self, from: u64, end: u64) -> Option<Extent> {
        let first_lba = self.geometry.align_up(from);
        let sectors = end.checked_sub(first_lba).filter(|&sectors| sectors > 0)?;
        Some(Extent { first_lba, sectors, bytes: self.geometry.bytes(sectors) })
    }
}
