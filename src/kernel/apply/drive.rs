//! Partition tables: ours are written, and only changed after their disk GUID was read back.

use std::fs::File;
use std::path::PathBuf;

use kernel_abi::Root;
use kernel_abi::block::blkpg::{self, BlkpgError, Slice};
use kernel_abi::block::device::{self as block, Access, BlockDevice};
use kernel_abi::block::gpt::{self, Geometry, GptState, PartitionName, Placement, Table};
use kernel_abi::block::{signature, zero};
use uuid::Uuid;

use super::{Done, failure, retry};
use crate::domain::Bytes;
use crate::kernel::device;
use crate::kernel::tables::Tables;
use crate::plan::{Dev, FailureKind, StepFailure};

/// What is cleared at either end of a wiped disk, bytes: where tables and signatures stand.
const WIPED_BYTES: u64 = 16 << 20;

/// An open disk.
struct Disk<'a> {
    tables: &'a Tables,
    device: BlockDevice,
    path: PathBuf,
    file: File,
}

/// What was read is read again, whatever became of the step.
impl Drop for Disk<'_> {
    fn drop(&mut self) {
        self.tables.end_change(self.device.number);
    }
}

impl<'a> Disk<'a> {
    fn open(root: &Root, tables: &'a Tables, dev: Dev, access: Access) -> Result<Self, StepFailure> {
        let device = block::by_devnum(root, device::number(dev)).map_err(|error| retry(&error))?;
        let device = device.ok_or_else(|| failure(FailureKind::Retry, format_args!("disk {dev} is gone")))?;
        let file = block::open(root, &device, access).map_err(|error| retry(&error))?;
        tables.begin_change(device.number);
        Ok(Self { tables, path: device.node(root), device, file })
    }

    fn geometry(&self) -> Result<Geometry, StepFailure> {
        Geometry::new(self.device.queue.logical_sector_bytes, self.device.size_bytes)
            .map_err(|error| retry(&error))
    }

    fn state(&self) -> Result<GptState, StepFailure> {
        gpt::read(&self.file, self.geometry()?, self.path.display()).map_err(|error| retry(&error))
    }

    fn table(&self) -> Result<Table, StepFailure> {
        match self.state()? {
            GptState::Healthy(table) | GptState::Repairable { table, .. } => Ok(table),
            other => Err(failure(
                FailureKind::Retry,
                format_args!("{} has no table: {other:?}", self.path.display()),
            )),
        }
    }

    fn write(&self, table: &Table) -> Done {
        gpt::write(&self.file, table, self.path.display()).map_err(|error| retry(&error))
    }

    /// Makes the kernel know a partition; one it knows at that very place is fine.
    fn announce(&self, root: &Root, place: Placement) -> Done {
        let slice =
            Slice { number: place.number, start_bytes: place.start_bytes, length_bytes: place.length_bytes };
        match blkpg::add(&self.file, &self.path, slice) {
            Ok(()) => Ok(()),
            Err(BlkpgError::Occupied(_)) if self.knows(root, place) => Ok(()),
            Err(error) => Err(retry(&error)),
        }
    }

    /// Makes the kernel know how long a partition is by now. One that it has as longer stays so: it would be cut off under
    /// its users without a word (KERNEL.md 5).
    fn lengthen(&self, root: &Root, place: Placement) -> Done {
        match self.length_known(root, place) {
            None => self.announce(root, place),
            Some(known) if known < place.length_bytes => {
                let Placement { number, start_bytes, length_bytes } = place;
                blkpg::resize(&self.file, &self.path, Slice { number, start_bytes, length_bytes })
                    .map_err(|error| retry(&error))
            }
            Some(_) => Ok(()),
        }
    }

    fn knows(&self, root: &Root, place: Placement) -> bool {
        self.length_known(root, place) == Some(place.length_bytes)
    }

    /// Bytes the kernel takes the partition of this number and start to have.
    fn length_known(&self, root: &Root, place: Placement) -> Option<u64> {
        let known = block::partitions(root, &self.device.name).unwrap_or_default();
        let is_it = |device: &&BlockDevice| {
            let of = device.partition.as_ref();
            of.is_some_and(|of| of.number == place.number && of.start_bytes == place.start_bytes)
        };
        known.iter().find(is_it).map(|device| device.size_bytes)
    }

    /// Zeroes both ends: tables, superblocks and labels of whatever was there.
    fn wipe_ends(&self) -> Done {
        let size = self.device.size_bytes;
        let head = 0..WIPED_BYTES.min(size);
        let tail = size.saturating_sub(WIPED_BYTES) / 4096 * 4096..size / 4096 * 4096;
        for range in [head, tail] {
            zero::zero_out(&self.path, range, |_| std::ops::ControlFlow::Continue(()))
                .map_err(|error| retry(&error))?;
        }
        Ok(())
    }
}

pub(super) fn prepare(root: &Root, tables: &Tables, dev: Dev, disk_guid: Uuid, wipe: bool) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Claim)?;
    if let GptState::Healthy(table) | GptState::Repairable { table, .. } = disk.state()?
        && table.disk_guid == disk_guid
    {
        return disk.write(&table);
    }
    if wipe {
        disk.wipe_ends()?;
    } else {
        refuse_content(&disk)?;
    }
    disk.write(&Table::create(disk_guid, disk.geometry()?))?;
    blkpg::reread(&disk.file, &disk.path).map_err(|error| retry(&error))
}

/// The last look before the first write.
fn refuse_content(disk: &Disk) -> Done {
    let found = signature::probe(&disk.file, disk.device.size_bytes, disk.path.display());
    match found.map_err(|error| retry(&error))?.first() {
        Some(signature) => {
            Err(failure(FailureKind::Busy, format_args!("{} carries {signature}", disk.path.display())))
        }
        None => Ok(()),
    }
}

pub(super) fn repair(root: &Root, tables: &Tables, dev: Dev) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Write)?;
    disk.write(&disk.table()?)
}

pub(super) fn release(root: &Root, tables: &Tables, dev: Dev, disk_guid: Uuid) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Claim)?;
    let table = disk.table()?;
    if table.disk_guid != disk_guid || !table.partitions().is_empty() {
        return Err(failure(
            FailureKind::Busy,
            format_args!("{} is not an empty drive of ours", disk.path.display()),
        ));
    }
    disk.wipe_ends()?;
    blkpg::reread(&disk.file, &disk.path).map_err(|error| retry(&error))
}

pub(super) fn carve(
    root: &Root,
    tables: &Tables,
    dev: Dev,
    partition: Uuid,
    name: &str,
    size: Bytes,
) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Write)?;
    let mut table = disk.table()?;
    let name = name.parse::<PartitionName>().unwrap_or_default();
    let change = table.add(partition, gpt::REPLICA_TYPE, name, size.0).map_err(|error| retry(&error))?;
    if let gpt::Change::Made(_) = change {
        disk.write(&table)?;
    }
    disk.announce(root, change.into_inner())
}

/// The table first: what the kernel knows of is always in it.
pub(super) fn grow(root: &Root, tables: &Tables, dev: Dev, partition: Uuid, size: Bytes) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Write)?;
    let mut table = disk.table()?;
    let change = table.grow(partition, size.0).map_err(|error| retry(&error))?;
    if let gpt::Change::Made(_) = change {
        disk.write(&table)?;
    }
    disk.lengthen(root, change.into_inner())
}

/// The kernel lets go of the partition first: one that is in use stays in the table.
pub(super) fn remove(root: &Root, tables: &Tables, dev: Dev, partition: Uuid) -> Done {
    let disk = Disk::open(root, tables, dev, Access::Write)?;
    let mut table = disk.table()?;
    let Some(place) = table.placement(partition) else { return Ok(()) };
    match blkpg::delete(&disk.file, &disk.path, place.number) {
        Ok(()) | Err(BlkpgError::NoSuchPartition(_)) => {}
        Err(error) => return Err(retry(&error)),
    }
    table.remove(partition);
    disk.write(&table)
}
