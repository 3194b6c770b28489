//! Small pieces of local drives, as they lie there: what the readers of partition tables and superblocks read.
//!
//! ```text
//! extracts/drives/<kernel name>/table-head       sectors 0 to 33
//! extracts/drives/<kernel name>/table-tail       the last 33 sectors
//! extracts/partitions/<guid>/superblock          4 KiB from byte 4096
//! extracts/partitions/<guid>/bitmap              4 KiB from byte 8192
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use kernel_abi::Root;
use kernel_abi::block::device::{self, Access, BlockDevice};
use kernel_abi::block::gpt::{self, Geometry, GptState, Table};
use kernel_abi::md::geometry::{BITMAP_OFFSET, BLOCK_BYTES, SECTOR_BYTES, SUPER_OFFSET};
use kernel_abi::nvme::{self, NamespaceHead, Transport};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::pack::Pack;

/// Sectors of a table's head: protective record, header, 128 entries of 128 bytes in sectors of 512 bytes.
const HEAD_SECTORS: u64 = 34;
/// Block devices that are no drives of this machine.
const NO_DRIVES: [&str; 8] = ["loop", "ram", "zram", "md", "dm-", "sr", "nbd", "fd"];

/// Everything of the drives below `root`. What cannot be read is a problem, not an error.
pub(super) fn write<W: Write>(pack: &mut Pack<W>, root: &Path) -> io::Result<()> {
    let root = Root::at(root);
    let heads = nvme::namespaces(&root).unwrap_or_default();
    for name in root.list("sys/block").unwrap_or_default() {
        if is_drive(&name, &heads) {
            drive(pack, &root, &name)?;
        }
    }
    Ok(())
}

/// A namespace of another node may be one that nobody answers for: it is not touched.
fn is_drive(name: &str, heads: &[NamespaceHead]) -> bool {
    let head = heads.iter().find(|head| head.name.to_string() == name);
    let remote = head.is_some_and(|head| !head.transport.as_ref().is_some_and(Transport::is_local));
    !remote && !NO_DRIVES.iter().any(|kind| name.starts_with(kind))
}

fn drive<W: Write>(pack: &mut Pack<W>, root: &Root, name: &str) -> io::Result<()> {
    let Ok(Some(disk)) = device::by_name(root, name) else { return Ok(()) };
    let Some(file) = open(pack, root, &disk) else { return Ok(()) };
    let sector = u64::from(disk.queue.logical_sector_bytes);
    let length = HEAD_SECTORS * sector;
    let tail = length - sector;
    extract(pack, &file, &format!("drives/{name}/table-head"), 0, length)?;
    extract(pack, &file, &format!("drives/{name}/table-tail"), disk.size_bytes.saturating_sub(tail), tail)?;
    let Some(table) = table(&file, &disk) else { return Ok(()) };
    for partition in device::partitions(root, name).unwrap_or_default() {
        header(pack, root, &table, &partition)?;
    }
    Ok(())
}

fn table(file: &File, disk: &BlockDevice) -> Option<Table> {
    let geometry = Geometry::new(disk.queue.logical_sector_bytes, disk.size_bytes).ok()?;
    match gpt::read(file, geometry, &disk.name).ok()? {
        GptState::Healthy(table) | GptState::Repairable { table, .. } => Some(table),
        GptState::Absent | GptState::OnlyMbr { .. } | GptState::Corrupt { .. } => None,
    }
}

fn header<W: Write>(
    pack: &mut Pack<W>,
    root: &Root,
    table: &Table,
    partition: &BlockDevice,
) -> io::Result<()> {
    let number = partition.partition.as_ref().map(|of| of.number);
    let entry =
        table.partitions().iter().find(|entry| Some(entry.placement(table.geometry()).number) == number);
    let (Some(entry), Some(file)) = (entry, open(pack, root, partition)) else { return Ok(()) };
    let superblock = SUPER_OFFSET * SECTOR_BYTES;
    let bitmap = superblock + u64::from(BITMAP_OFFSET.unsigned_abs()) * SECTOR_BYTES;
    for (name, at) in [("superblock", superblock), ("bitmap", bitmap)] {
        extract(pack, &file, &format!("partitions/{}/{name}", entry.guid), at, BLOCK_BYTES as u64)?;
    }
    Ok(())
}

fn open<W: Write>(pack: &mut Pack<W>, root: &Root, disk: &BlockDevice) -> Option<File> {
    match device::open(root, disk, Access::Read) {
        Ok(file) => Some(file),
        Err(error) => {
            pack.problem(format_args!("/dev/{}: {error}", disk.name));
            None
        }
    }
}

fn extract<W: Write>(pack: &mut Pack<W>, file: &File, name: &str, at: u64, length: u64) -> io::Result<()> {
    match read(file, at, length) {
        Ok(bytes) => pack.file(&format!("extracts/{name}"), &bytes),
        Err(error) => {
            pack.problem(format_args!("{name}: {error}"));
            Ok(())
        }
    }
}

/// MD writes its headers past the page cache: what is there is let go first.
fn read(file: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    posix_fadvise(file, signed(at)?, signed(length)?, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn signed(number: u64) -> io::Result<i64> {
    i64::try_from(number).map_err(io::Error::other)
}
