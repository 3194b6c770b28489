//! Whole disks of this machine that have an identity.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_abi::block::device::{self as block, Access, BlockDevice};
use kernel_abi::block::gpt::{self, Geometry, GptState, Table};
use kernel_abi::block::{ping, signature};
use kernel_abi::nvme::NamespaceHead;
use kernel_abi::{CallError, Root, fs};
use uuid::Uuid;

use crate::domain::{Bytes, DriveId};
use crate::kernel::tables::{Asked, Content, Speak, Tables};
use crate::kernel::{chain, device};
use crate::plan::{DriveSeen, PartitionSeen, TableSeen, Waiting};

pub(super) fn all(
    root: &Root,
    tables: &Arc<Tables>,
    namespaces: &[NamespaceHead],
    mounts: &[fs::Mount],
) -> Result<BTreeMap<DriveId, DriveSeen>, CallError> {
    let mut disks = Vec::new();
    for name in root.list("sys/block")? {
        let head = namespaces.iter().find(|head| head.name.to_string() == name);
        let Ok(Some(disk)) = block::by_name(root, &name) else { continue };
        if let Some(id) = identity(&disk, head) {
            let asked = asked(root, &disk);
            tables.ask(asked, Drive { root: root.clone(), disk: disk.clone() });
            disks.push((id, disk, asked));
        }
    }
    tables.wait(&disks.iter().map(|(_, _, asked)| *asked).collect::<Vec<_>>());
    let seen = |(id, disk, asked): (DriveId, BlockDevice, Asked)| {
        let (content, unanswered) = tables.known(asked);
        let unanswered = unanswered.or_else(|| content.is_none().then(Waiting::default));
        (id, DriveSeen { unanswered, ..seen(root, &disk, content.as_ref(), mounts) })
    };
    Ok(disks.into_iter().map(seen).collect())
}

fn asked(root: &Root, disk: &BlockDevice) -> Asked {
    let in_flight = root.read(format!("sys/block/{}/inflight", disk.name)).unwrap_or_default();
    let busy = in_flight.split_ascii_whitespace().any(|count| count != "0");
    Asked { number: disk.number, disk_sequence: disk.disk_sequence, busy }
}

/// A drive that can be asked.
struct Drive {
    root: Root,
    disk: BlockDevice,
}

impl Speak for Drive {
    fn read(&self) -> Content {
        read(&self.root, &self.disk)
    }

    fn ping(&self) {
        drop(ping(&self.disk.node(&self.root)));
    }
}

/// Serial number, else world-wide id. Maps, arrays, loops and disks of other machines have none for us.
fn identity(disk: &BlockDevice, head: Option<&NamespaceHead>) -> Option<DriveId> {
    let virtual_disk =
        ["loop", "ram", "zram", "md", "dm-", "sr", "nbd"].iter().any(|kind| disk.name.starts_with(kind));
    let remote =
        head.is_some_and(|head| !head.transport.as_ref().is_some_and(kernel_abi::nvme::Transport::is_local));
    if virtual_disk || remote || disk.size_bytes == 0 {
        return None;
    }
    let serial = disk.identity.serial.as_deref().or(head.map(|head| head.serial.as_str()));
    let clean = |text: &str| text.trim().replace([' ', '/'], "_").parse().ok();
    serial.and_then(clean).or_else(|| disk.identity.wwid.as_deref().and_then(clean))
}

/// Reads both ends of a disk.
fn read(root: &Root, disk: &BlockDevice) -> Content {
    let content = |table, signatures| Content { disk_sequence: disk.disk_sequence, table, signatures };
    let file = match block::open(root, disk, Access::Read) {
        Ok(file) => file,
        Err(error) => return content(Err(chain(&error)), Vec::new()),
    };
    let target = disk.node(root).display().to_string();
    let table = Geometry::new(disk.queue.logical_sector_bytes, disk.size_bytes)
        .map_err(|error| error.to_string())
        .and_then(|geometry| gpt::read(&file, geometry, &target).map_err(|error| chain(&error)));
    let found = signature::probe(&file, disk.size_bytes, &target);
    let signatures = match found {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("unreadable: {}", chain(&error))],
    };
    content(table, signatures)
}

fn seen(root: &Root, disk: &BlockDevice, content: Option<&Content>, mounts: &[fs::Mount]) -> DriveSeen {
    let partitions = block::partitions(root, &disk.name).unwrap_or_default();
    let mut found = uses(disk, &partitions, mounts);
    found.extend(content.iter().flat_map(|content| content.signatures.iter().cloned()));
    DriveSeen {
        dev: device::dev(disk.number),
        capacity: Bytes(disk.size_bytes),
        sector_size: disk.queue.logical_sector_bytes,
        model: disk.identity.model.clone().unwrap_or_default(),
        read_only: disk.is_read_only,
        health: "Good".to_owned(),
        table: content.map_or(TableSeen::Unread, |content| table(&content.table, &partitions)),
        found,
        unanswered: None,
    }
}

/// Who uses the disk now: such a disk is never wiped, whatever the user says.
fn uses(disk: &BlockDevice, partitions: &[BlockDevice], mounts: &[fs::Mount]) -> Vec<String> {
    let mut uses = Vec::new();
    for device in std::iter::once(disk).chain(partitions) {
        for mount in mounts.iter().filter(|mount| mount.dev == device.number) {
            uses.push(format!("in use: {} is mounted at {}", device.name, mount.mount_point.display()));
        }
        for holder in &device.holders {
            uses.push(format!("in use: {} is held by {holder}", device.name));
        }
    }
    uses
}

fn table(state: &Result<GptState, String>, partitions: &[BlockDevice]) -> TableSeen {
    match state {
        Ok(GptState::Healthy(table)) => gpt_seen(table, partitions, None),
        Ok(GptState::Repairable { table, damage }) => {
            let damage: Vec<String> = damage.iter().map(ToString::to_string).collect();
            gpt_seen(table, partitions, Some(damage.join(", ")))
        }
        Ok(GptState::Absent | GptState::OnlyMbr { .. }) => TableSeen::Absent,
        Ok(GptState::Corrupt { primary, backup }) => {
            TableSeen::Corrupt(format!("primary: {primary}; backup: {backup}"))
        }
        Err(why) => TableSeen::Corrupt(why.clone()),
    }
}

fn gpt_seen(table: &Table, partitions: &[BlockDevice], damaged: Option<String>) -> TableSeen {
    let free = table.free_extents();
    TableSeen::Gpt {
        guid: table.disk_guid,
        partitions: table.partitions().iter().map(|entry| partition(table, entry, partitions)).collect(),
        free: Bytes(free.iter().map(|extent| extent.bytes).sum()),
        largest_free: Bytes(free.iter().map(|extent| extent.bytes).max().unwrap_or(0)),
        damaged,
    }
}

/// An entry of the table, with its device if the kernel has a partition of that number and start. The kernel's may be
/// shorter: a growth was interrupted.
fn partition(table: &Table, entry: &gpt::Partition, known: &[BlockDevice]) -> (Uuid, PartitionSeen) {
    let place = entry.placement(table.geometry());
    let device = known.iter().find(|device| {
        device
            .partition
            .as_ref()
            .is_some_and(|of| of.number == place.number && of.start_bytes == place.start_bytes)
    });
    let seen = PartitionSeen {
        start: Bytes(place.start_bytes),
        size: Bytes(place.length_bytes),
        room: Bytes(table.room_for(entry)),
        dev: device.map(|device| device::dev(device.number)),
        known: Bytes(device.map_or(0, |device| device.size_bytes)),
    };
    (entry.guid, seen)
}
