//! What sysfs says of a block device, and opening it without falling for a reused name.

mod attributes;
mod open;

use std::path::PathBuf;

pub use open::{
    Access, OpenError, logical_sector_bytes, open, physical_sector_bytes, refuses_writes, size_bytes,
};

use crate::{CallError, DevNum, ParseError, Root};
use attributes::Attributes;

const CLASS: &str = "sys/class/block";
const BY_NUMBER: &str = "sys/dev/block";

/// A block device as it was at one instant. Names are the kernel's, reused at will: identity is in `identity`, a
/// partition's in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Kernel name (`nvme0n1`, `dm-3`, `cciss!c0d0`).
    pub name: String,
    /// Device number.
    pub number: DevNum,
    /// Raised each time the kernel makes a disk, so it tells a reused name from the same disk. `None` before Linux 5.15.
    pub disk_sequence: Option<u64>,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Writes are refused.
    pub is_read_only: bool,
    /// Removable medium.
    pub is_removable: bool,
    /// What a partition is part of; `None` for whole disks.
    pub partition: Option<PartitionOf>,
    /// Limits of the queue (the whole disk's, for a partition).
    pub queue: Queue,
    /// Devices built on this one.
    pub holders: Vec<String>,
    /// Devices this one is built on.
    pub slaves: Vec<String>,
    /// Device-mapper's name and UUID, for a map.
    pub map: Option<MapName>,
    /// What tells the drive from others; all `None` for partitions.
    pub identity: Identity,
}

/// A partition's place on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOf {
    /// Kernel name of the disk.
    pub disk: String,
    /// Partition number.
    pub number: u32,
    /// Start in bytes.
    pub start_bytes: u64,
}

/// Limits of a device's queue; bytes. What sysfs does not have is zero, sectors 512.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Logical sector.
    pub logical_sector_bytes: u32,
    /// Physical sector.
    pub physical_sector_bytes: u32,
    /// Spinning medium.
    pub is_rotational: bool,
    /// Largest discard; zero: cannot.
    pub discard_max_bytes: u64,
    /// Largest write-zeroes command; zero: the kernel writes zeroes itself.
    pub write_zeroes_max_bytes: u64,
}

/// Device-mapper's names of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapName {
    /// Name.
    pub name: String,
    /// UUID; empty when it was made without.
    pub uuid: String,
}

/// What a drive says it is; trimmed, and `None` where empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Serial number.
    pub serial: Option<String>,
    /// World-wide id (`eui.…`, `uuid.…`, `naa.…`, `t10.…`).
    pub wwid: Option<String>,
    /// Model.
    pub model: Option<String>,
}

impl BlockDevice {
    /// Whether this is a partition.
    #[must_use]
    pub fn is_partition(&self) -> bool {
        self.partition.is_some()
    }

    /// The device node devtmpfs makes; sysfs writes a slash in a name as `!`.
    #[must_use]
    pub fn node(&self, root: &Root) -> PathBuf {
        root.path("dev").join(self.name.replace('!', "/"))
    }
}

/// Why a device could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// sysfs refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An attribute does not have the shape it should have.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// The device of this kernel name; `None` when there is none (any more).
pub fn by_name(root: &Root, name: &str) -> Result<Option<BlockDevice>, ObserveError> {
    let attributes = Attributes::of(root, name);
    let Some(number) = attributes.parsed::<DevNum>("dev")? else { return Ok(None) };
    let partition = partition_of(root, name, &attributes)?;
    let whole = Attributes::of(root, partition.as_ref().map_or(name, |it| &it.disk));
    Ok(Some(BlockDevice {
        name: name.to_owned(),
        number,
        disk_sequence: whole.parsed("diskseq")?,
        size_bytes: attributes.sectors("size")?.unwrap_or(0),
        is_read_only: attributes.flag("ro")?,
        is_removable: whole.flag("removable")?,
        queue: queue(&whole)?,
        holders: attributes.names("holders")?,
        slaves: attributes.names("slaves")?,
        map: map_name(&attributes)?,
        identity: if partition.is_some() { Identity::default() } else { identity(&attributes)? },
        partition,
    }))
}

/// The device of this number; `None` when there is none.
pub fn by_devnum(root: &Root, number: DevNum) -> Result<Option<BlockDevice>, ObserveError> {
    match root.link_name(format!("{BY_NUMBER}/{number}")) {
        Some(name) => Ok(by_name(root, &name)?.filter(|device| device.number == number)),
        None => Ok(all(root)?.into_iter().find(|device| device.number == number)),
    }
}

/// Every block device, by name; one that goes away meanwhile is left out.
pub fn all(root: &Root) -> Result<Vec<BlockDevice>, ObserveError> {
    let names = root.list(CLASS)?;
    names.iter().filter_map(|name| by_name(root, name).transpose()).collect()
}

/// The partitions of `disk` the kernel knows, by number.
pub fn partitions(root: &Root, disk: &str) -> Result<Vec<BlockDevice>, ObserveError> {
    let mut found = Vec::new();
    for name in root.list(format!("{CLASS}/{disk}"))? {
        if root.exists(format!("{CLASS}/{disk}/{name}/partition")) {
            found.extend(by_name(root, &name)?);
        }
    }
    found.sort_by_key(|device| device.partition.as_ref().map(|partition| partition.number));
    Ok(found)
}

fn partition_of(
    root: &Root,
    name: &str,
    device: &Attributes<'_>,
) -> Result<Option<PartitionOf>, ObserveError> {
    let Some(number) = device.parsed("partition")? else { return Ok(None) };
    let start_bytes = device.sectors("start")?.unwrap_or(0);
    let disk = disk_of(root, name)?;
    Ok(Some(PartitionOf { disk, number, start_bytes }))
}

/// The directory a partition's own lies in: from the link, or, in a copy without links, by looking.
fn disk_of(root: &Root, name: &str) -> Result<String, ObserveError> {
    let link = std::fs::read_link(root.path(format!("{CLASS}/{name}"))).ok();
    let parent = link.as_deref().and_then(|target| target.parent()?.file_name());
    if let Some(parent) = parent {
        return Ok(parent.to_string_lossy().into_owned());
    }
    let disks = root.list(CLASS)?;
    let disk = disks.into_iter().find(|disk| root.exists(format!("{CLASS}/{disk}/{name}/partition")));
    disk.ok_or_else(|| ParseError::new("partition", format!("{name} belongs to no disk")).into())
}

fn queue(disk: &Attributes<'_>) -> Result<Queue, ObserveError> {
    Ok(Queue {
        logical_sector_bytes: disk.parsed("queue/logical_block_size")?.unwrap_or(512),
        physical_sector_bytes: disk.parsed("queue/physical_block_size")?.unwrap_or(512),
        is_rotational: disk.flag("queue/rotational")?,
        discard_max_bytes: disk.parsed("queue/discard_max_bytes")?.unwrap_or(0),
        write_zeroes_max_bytes: disk.parsed("queue/write_zeroes_max_bytes")?.unwrap_or(0),
    })
}

fn map_name(device: &Attributes<'_>) -> Result<Option<MapName>, ObserveError> {
    let Some(name) = device.text("dm/name")? else { return Ok(None) };
    Ok(Some(MapName { name, uuid: device.text("dm/uuid")?.unwrap_or_default() }))
}

/// virtio has `serial` on the disk; `nvme` has `wwid` on the disk and the rest on the controller or subsystem behind `device`;
/// SCSI everything behind `device`, the serial in a vital product data page.
fn identity(disk: &Attributes<'_>) -> Result<Identity, ObserveError> {
    let serial = disk.first_text(&["serial", "device/serial"])?;
    let serial = serial.or_else(|| disk.vpd_serial());
    let wwid = disk.first_text(&["wwid", "device/wwid"])?;
    let model = disk.first_text(&["device/model"])?;
    Ok(Identity { serial, wwid, model })
}

#[cfg(test)]
mod tests;
