//! Both copies on the disk: the verdict, and the order of writing.

use std::fmt;
use std::io;

use super::codec::{self, Header};
use super::mbr::{self, Mbr};
use super::{Damage, Defect, Geometry, GptError, GptState, Part, Table};
use crate::block::{ReadAt, WriteAt};
use crate::{CallError, call};

/// Sector of the primary header.
const PRIMARY_LBA: u64 = 1;

/// Reads both copies of the table of a disk and judges them. Sectors that cannot be read are a [`Defect`], not an error:
/// one bad sector in one copy is what the other copy is for; only sector 0 must be readable.
pub fn read(
    disk: &(impl ReadAt + ?Sized),
    geometry: Geometry,
    target: impl fmt::Display,
) -> Result<GptState, GptError> {
    let _in_call = call::enter("pread", &target);
    let sector =
        read_sectors(disk, geometry, 0, 1).map_err(|source| CallError::new("pread", target, source))?;
    let mbr = mbr::classify(&sector);
    let primary = read_copy(disk, geometry, PRIMARY_LBA);
    let backup_lba = primary.as_ref().map_or(geometry.last_lba(), |copy| copy.alternate_lba);
    let backup = read_backup(disk, geometry, backup_lba);
    Ok(judge(mbr, primary, backup, geometry))
}

/// Writes the table so that a power cut at any instant leaves one whole copy: backup entries and header, fsync, protective
/// MBR with primary header and entries, fsync. On an error the disk holds the old table, the new one, or a
/// [`GptState::Repairable`] mixture of the two; reading tells which.
///
/// Caveat: a table whose backup was not at the end (grown disk) has its old backup left where it was.
pub fn write(
    disk: &(impl WriteAt + ?Sized),
    table: &Table,
    target: impl fmt::Display,
) -> Result<(), GptError> {
    let _in_call = call::enter("pwrite", &target);
    let geometry = table.geometry;
    let entries = codec::encode_entries(table);
    let failed = |call| move |source: io::Error| (call, source);
    let steps = || {
        let mut sector = read_sectors(disk, geometry, 0, 1).map_err(failed("pread"))?;
        mbr::protect(&mut sector, geometry.sectors());
        write_backup(disk, table, &entries).map_err(failed("pwrite backup table"))?;
        disk.sync().map_err(failed("fsync backup table"))?;
        write_primary(disk, table, &entries, &sector).map_err(failed("pwrite primary table"))?;
        disk.sync().map_err(failed("fsync primary table"))
    };
    steps().map_err(|(call, source)| GptError::Call(CallError::new(call, target, source)))
}

/// A copy that is valid by itself.
struct Found {
    table: Table,
    alternate_lba: u64,
}

fn read_copy(disk: &(impl ReadAt + ?Sized), geometry: Geometry, lba: u64) -> Result<Found, Defect> {
    let sector = read_sectors(disk, geometry, lba, 1).map_err(|error| unreadable(&error))?;
    let header = Header::decode(&sector, lba, geometry)?;
    let length = geometry.entry_sectors(header.entry_count);
    let array =
        read_sectors(disk, geometry, header.entries_lba, length).map_err(|error| unreadable(&error))?;
    let partitions = codec::decode_entries(&array, &header)?;
    let table = Table {
        disk_guid: header.disk_guid,
        geometry,
        first_usable_lba: header.first_usable_lba,
        last_usable_lba: header.last_usable_lba,
        primary_entries_lba: if lba == PRIMARY_LBA { header.entries_lba } else { 2 },
        entry_count: header.entry_count,
        partitions,
    };
    Ok(Found { table, alternate_lba: header.alternate_lba })
}

/// The backup's header, where the primary says it is; that must be on the disk and is not the primary's own sector.
fn read_backup(disk: &(impl ReadAt + ?Sized), geometry: Geometry, lba: u64) -> Result<Found, Defect> {
    if lba <= PRIMARY_LBA || lba > geometry.last_lba() {
        return Err(Defect::Field { field: "AlternateLBA", value: lba });
    }
    let found = read_copy(disk, geometry, lba)?;
    match found.alternate_lba {
        PRIMARY_LBA => Ok(found),
        value => Err(Defect::Field { field: "AlternateLBA", value }),
    }
}

fn judge(
    mbr: Mbr,
    primary: Result<Found, Defect>,
    backup: Result<Found, Defect>,
    geometry: Geometry,
) -> GptState {
    let mut damage = Vec::new();
    let gpt_remains = !matches!((&primary, &backup), (Err(Defect::Missing), Err(Defect::Missing)));
    match mbr {
        Mbr::Own(partitions) => return GptState::OnlyMbr { partitions, gpt_remains },
        Mbr::None if !gpt_remains => return GptState::Absent,
        Mbr::None => damage.push(Damage { part: Part::ProtectiveMbr, defect: Defect::Missing }),
        Mbr::Protective => {}
    }
    let table = match (primary, backup) {
        (Ok(primary), Ok(backup)) => {
            damage.extend(backup_damage(&primary, &backup, geometry));
            primary.table
        }
        (Ok(primary), Err(defect)) => {
            damage.push(Damage { part: Part::Backup, defect });
            primary.table
        }
        (Err(defect), Ok(backup)) => {
            damage.push(Damage { part: Part::Primary, defect });
            backup.table
        }
        (Err(primary), Err(backup)) => return GptState::Corrupt { primary, backup },
    };
    if damage.is_empty() {
        GptState::Healthy(table)
    } else {
        GptState::Repairable { table: stretched(table), damage }
    }
}

fn backup_damage(primary: &Found, backup: &Found, geometry: Geometry) -> Option<Damage> {
    let lba = primary.alternate_lba;
    let same = Table { primary_entries_lba: primary.table.primary_entries_lba, ..backup.table.clone() };
    let defect = if same != primary.table {
        Defect::Differs
    } else if lba == geometry.last_lba() {
        return None;
    } else {
        Defect::NotAtEnd { lba }
    };
    Some(Damage { part: Part::Backup, defect })
}

/// The table with every sector usable that the disk, which may have grown, has before the backup.
fn stretched(table: Table) -> Table {
    let end = table.geometry.backup_entries_lba(table.entry_count);
    Table { last_usable_lba: table.last_usable_lba.max(end.saturating_sub(1)), ..table }
}

fn write_backup(disk: &(impl WriteAt + ?Sized), table: &Table, entries: &[u8]) -> io::Result<()> {
    let geometry = table.geometry;
    let entries_lba = geometry.backup_entries_lba(table.entry_count);
    let header = header(table, entries, geometry.last_lba(), PRIMARY_LBA, entries_lba);
    let mut bytes = entries.to_vec();
    bytes.extend(header.encode(geometry));
    disk.write_all_at(&bytes, geometry.bytes(entries_lba))
}

fn write_primary(
    disk: &(impl WriteAt + ?Sized),
    table: &Table,
    entries: &[u8],
    mbr: &[u8],
) -> io::Result<()> {
    let geometry = table.geometry;
    let entries_lba = table.primary_entries_lba;
    let header = header(table, entries, PRIMARY_LBA, geometry.last_lba(), entries_lba);
    let mut bytes = mbr.to_vec();
    bytes.extend(header.encode(geometry));
    disk.write_all_at(entries, geometry.bytes(entries_lba))?;
    disk.write_all_at(&bytes, 0)
}

fn header(table: &Table, entries: &[u8], my_lba: u64, alternate_lba: u64, entries_lba: u64) -> Header {
    Header {
        my_lba,
        alternate_lba,
        first_usable_lba: table.first_usable_lba,
        last_usable_lba: table.last_usable_lba,
        disk_guid: table.disk_guid,
        entries_lba,
        entry_count: table.entry_count,
        entries_checksum: codec::entries_checksum(entries, table.entry_count),
    }
}

/// `count` is one or an array's length, which [`Header::decode`] has bounded.
fn read_sectors(
    disk: &(impl ReadAt + ?Sized),
    geometry: Geometry,
    lba: u64,
    count: u64,
) -> io::Result<Vec<u8>> {
    let length = usize::try_from(geometry.bytes(count)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    disk.read_exact_at(&mut bytes, geometry.bytes(lba))?;
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> Defect {
    Defect::Unreadable { errno: error.raw_os_error() }
}
