//! One copy of a table as bytes: header of 92 bytes in its own sector, entries of 128 bytes.

use uuid::Uuid;

use super::geometry::{ENTRY_BYTES, Geometry};
use super::{Defect, Partition, PartitionName, Table};
use crate::block::field;

const SIGNATURE: [u8; 8] = *b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_BYTES: u32 = 92;
/// What is read and held of a hostile table at most: 128 KiB.
const MAX_ENTRIES: u32 = 1024;

/// The header of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) my_lba: u64,
    pub(super) alternate_lba: u64,
    pub(super) first_usable_lba: u64,
    pub(super) last_usable_lba: u64,
    pub(super) disk_guid: Uuid,
    pub(super) entries_lba: u64,
    pub(super) entry_count: u32,
    pub(super) entries_checksum: u32,
}

impl Header {
    /// Reads the header found at `lba` and checks every field against the disk; nothing of the array is read yet.
    pub(super) fn decode(sector: &[u8], lba: u64, geometry: Geometry) -> Result<Self, Defect> {
        let header = sector.get(..HEADER_BYTES as usize).ok_or(Defect::Missing)?;
        if field::array(header, 0) != Some(SIGNATURE) {
            return Err(Defect::Missing);
        }
        fixed("HeaderSize", field::le32(header, 12), HEADER_BYTES)?;
        if field::le32(header, 16) != Some(checksum_without_itself(header)) {
            return Err(Defect::HeaderChecksum);
        }
        fixed("Revision", field::le32(header, 8), REVISION)?;
        fixed("SizeOfPartitionEntry", field::le32(header, 84), ENTRY_BYTES)?;
        let decoded = Self::fields(header).ok_or(Defect::Missing)?;
        decoded.check(lba, geometry)?;
        Ok(decoded)
    }

    fn fields(header: &[u8]) -> Option<Self> {
        Some(Self {
            my_lba: field::le64(header, 24)?,
            alternate_lba: field::le64(header, 32)?,
            first_usable_lba: field::le64(header, 40)?,
            last_usable_lba: field::le64(header, 48)?,
            disk_guid: Uuid::from_bytes_le(field::array(header, 56)?),
            entries_lba: field::le64(header, 72)?,
            entry_count: field::le32(header, 80)?,
            entries_checksum: field::le32(header, 88)?,
        })
    }

    /// The array lies between MBR and data or between data and the backup header, and everything lies on the disk.
    fn check(&self, lba: u64, geometry: Geometry) -> Result<(), Defect> {
        require(
            "NumberOfPartitionEntries",
            u64::from(self.entry_count),
            (1..=MAX_ENTRIES).contains(&self.entry_count),
        )?;
        require("MyLBA", self.my_lba, self.my_lba == lba)?;
        let array = geometry.entry_sectors(self.entry_count);
        let (first, last) = (self.first_usable_lba, self.last_usable_lba);
        require("LastUsableLBA", last, last < geometry.backup_entries_lba(self.entry_count))?;
        require("FirstUsableLBA", first, first >= 2u64.saturating_add(array) && first <= last)?;
        let array_end = self.entries_lba.checked_add(array);
        let apart = if lba == 1 {
            self.entries_lba >= 2 && array_end.is_some_and(|end| end <= first)
        } else {
            self.entries_lba > last && array_end.is_some_and(|end| end <= lba)
        };
        require("PartitionEntryLBA", self.entries_lba, apart)
    }

    /// The header as one sector, checksum included.
    pub(super) fn encode(&self, geometry: Geometry) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(geometry.sector().bytes() as usize);
        bytes.extend(SIGNATURE);
        for word in [REVISION, HEADER_BYTES, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        for lba in [self.my_lba, self.alternate_lba, self.first_usable_lba, self.last_usable_lba] {
            bytes.extend(lba.to_le_bytes());
        }
        bytes.extend(self.disk_guid.to_bytes_le());
        bytes.extend(self.entries_lba.to_le_bytes());
        for word in [self.entry_count, ENTRY_BYTES, self.entries_checksum] {
            bytes.extend(word.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes);
        if let Some(place) = bytes.get_mut(16..20) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        bytes.resize(geometry.sector().bytes() as usize, 0);
        bytes
    }
}

/// The used entries of an array whose checksum is `header`'s, valid one by one and together.
pub(super) fn decode_entries(array: &[u8], header: &Header) -> Result<Vec<Partition>, Defect> {
    let used = array.get(..array_bytes(header.entry_count)).ok_or(Defect::EntriesChecksum)?;
    if crc32fast::hash(used) != header.entries_checksum {
        return Err(Defect::EntriesChecksum);
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(used.as_chunks().0) {
        if let Some(partition) = decode_entry(number, entry) {
            partitions.push(valid(partition, header)?);
        }
    }
    apart(&partitions)?;
    Ok(partitions)
}

/// The array as whole sectors; partitions beyond `entry_count` cannot exist in a [`Table`].
pub(super) fn encode_entries(table: &Table) -> Vec<u8> {
    let sectors = table.geometry.entry_sectors(table.entry_count);
    let mut array = vec![0; usize::try_from(table.geometry.bytes(sectors)).unwrap_or(0)];
    for partition in &table.partitions {
        let index = (partition.number as usize).saturating_sub(1);
        if let Some(place) = array.as_chunks_mut().0.get_mut(index) {
            *place = encode_entry(partition);
        }
    }
    array
}

/// CRC-32 over the entries proper, without what fills the last sector.
pub(super) fn entries_checksum(array: &[u8], entry_count: u32) -> u32 {
    crc32fast::hash(array.get(..array_bytes(entry_count)).unwrap_or(array))
}

fn array_bytes(entry_count: u32) -> usize {
    entry_count as usize * ENTRY_BYTES as usize
}

fn decode_entry(number: u32, entry: &[u8; ENTRY_BYTES as usize]) -> Option<Partition> {
    let type_guid = Uuid::from_bytes_le(field::array(entry, 0)?);
    if type_guid.is_nil() {
        return None;
    }
    Some(Partition {
        number,
        type_guid,
        guid: Uuid::from_bytes_le(field::array(entry, 16)?),
        first_lba: field::le64(entry, 32)?,
        last_lba: field::le64(entry, 40)?,
        attributes: field::le64(entry, 48)?,
        name: PartitionName::from_le_bytes(&field::array(entry, 56)?),
    })
}

fn encode_entry(partition: &Partition) -> [u8; ENTRY_BYTES as usize] {
    let mut entry = [0; ENTRY_BYTES as usize];
    let numbers = [partition.first_lba, partition.last_lba, partition.attributes];
    let bytes = partition.type_guid.to_bytes_le().into_iter().chain(partition.guid.to_bytes_le());
    let bytes = bytes.chain(numbers.into_iter().flat_map(u64::to_le_bytes)).chain(partition.name.le_bytes());
    for (place, byte) in entry.iter_mut().zip(bytes) {
        *place = byte;
    }
    entry
}

fn valid(partition: Partition, header: &Header) -> Result<Partition, Defect> {
    let inside =
        partition.first_lba >= header.first_usable_lba && partition.last_lba <= header.last_usable_lba;
    if inside && partition.first_lba <= partition.last_lba && !partition.guid.is_nil() {
        Ok(partition)
    } else {
        Err(Defect::Entry { number: partition.number })
    }
}

/// No two share a sector or a GUID.
fn apart(partitions: &[Partition]) -> Result<(), Defect> {
    let mut ordered: Vec<&Partition> = partitions.iter().collect();
    ordered.sort_by_key(|partition| partition.first_lba);
    neighbours(&ordered, |before, after| before.last_lba >= after.first_lba)?;
    ordered.sort_by_key(|partition| partition.guid);
    neighbours(&ordered, |before, after| before.guid == after.guid)
}

fn neighbours(
    ordered: &[&Partition],
    collide: impl Fn(&Partition, &Partition) -> bool,
) -> Result<(), Defect> {
    match ordered.iter().zip(ordered.iter().skip(1)).find(|(before, after)| collide(before, after)) {
        Some((before, after)) => Err(Defect::Collision { first: before.number, second: after.number }),
        None => Ok(()),
    }
}

/// CRC-32 of the header with its own checksum field zero.
fn checksum_without_itself(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..16).unwrap_or_default());
    hasher.update(&[0; 4]);
    hasher.update(header.get(20..).unwrap_or_default());
    hasher.finalize()
}

fn fixed(field: &'static str, found: Option<u32>, expected: u32) -> Result<(), Defect> {
    let found = found.unwrap_or(0);
    require(field, u64::from(found), found == expected)
}

fn require(field: &'static str, value: u64, holds: bool) -> Result<(), Defect> {
    if holds { Ok(()) } else { Err(Defect::Field { field, value }) }
}
