//! Dry runs: what a change would do, played through on a simulated cluster that looks like the records.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::cluster::{Cluster, Config, new_disk};
use super::disk::{Blocks, Header, Partition, Role, blocks_in};
use crate::domain::{
    Bytes, DriveId, DriveState, FsType, Key, Kind, Member, NodeName, PartitionRecord, Replica, Volume,
    VolumeStatus, World, array_uuid, partition_guid,
};
use crate::plan::placement::{HEADER, partition_size};
use crate::plan::{Dev, Write};

/// How long a change may take to be played through, in virtual milliseconds.
const LONGEST: u64 = 600_000;
/// Nothing happened for this long: it is over.
const QUIET: u64 = 30_000;
/// A file system that was made.
const FORMATTED: u64 = 999;

/// The steps `writes` would lead to, each as `node-1: carve 1.0 GiB on drive …`, in an order in which they may happen.
///
/// Guarantees: nothing is written anywhere; the same world and writes give the same lines.
/// Assumptions: every node that has a record is well, and the kernels look as the records say.
/// Caveats: device names and the order of independent steps are the rehearsal's own.
#[must_use]
pub fn rehearse(world: &World, writes: &[Write]) -> Vec<String> {
    let mut cluster = Cluster::bare(Config { seed: 1, ..Config::default() });
    cluster.start_read_auto = false;
    cluster.adopt(world);
    for (name, _) in world.nodes() {
        cluster.add_machine(&name, disks(world, &name));
    }
    settle(&mut cluster);
    let before = cluster.steps.len();
    cluster.write(writes);
    settle(&mut cluster);
    cluster.steps.split_off(before)
}

/// Runs until no step was done for a while.
fn settle(cluster: &mut Cluster) {
    let end = cluster.now + LONGEST;
    let (mut steps, mut since) = (usize::MAX, cluster.now);
    while cluster.now < end && cluster.now < since + QUIET {
        if steps != cluster.steps.len() {
            (steps, since) = (cluster.steps.len(), cluster.now);
        }
        cluster.tick();
    }
}

fn disks(world: &World, node: &NodeName) -> BTreeMap<DriveId, super::disk::Disk> {
    let mut disks = BTreeMap::new();
    for (id, drive) in world.drives() {
        let Some(status) = drive.status.filter(|status| status.node == *node) else { continue };
        let mut disk = new_disk(status.capacity, status.sector_size);
        disk.found = status.found;
        if let Some(spec) = drive.spec.filter(|_| status.state == DriveState::Ready) {
            disk.guid = Some(spec.disk_guid);
            let hosted = world.replicas().filter(|replica| replica.spec.drives.contains(&id));
            disk.partitions = hosted.flat_map(|replica| partitions(world, &replica, &id)).collect();
        }
        disks.insert(id, disk);
    }
    disks
}

fn partitions(world: &World, replica: &Replica, drive: &DriveId) -> Vec<(Uuid, Partition)> {
    let volume = world.volume(&replica.spec.volume);
    let made = replica.status.iter().flat_map(|status| &status.partitions);
    let here = made
        .filter(|made| replica.spec.partitions().any(|(guid, known)| guid == made.guid && known == drive));
    here.map(|made| {
        let member = volume.as_ref().and_then(|volume| {
            volume.status.as_ref()?.member(replica.spec.id).map(|member| (volume, member))
        });
        let header = member.and_then(|(volume, member)| header(volume, member, made));
        let formatted = volume.as_ref().is_some_and(|volume| {
            header.is_some() && volume.status.as_ref().is_some_and(|status| status.formatted)
        });
        let mut blocks = Blocks::default();
        blocks.set(0, if formatted { FORMATTED } else { 0 });
        let dev = Dev { major: 0, minor: 0 };
        (made.guid, Partition { start: made.start, size: made.size, known: made.size, dev, blocks, header })
    })
    .collect()
}

/// The superblock a member has if the records are right: members in sync have slots, everybody else is out of date.
fn header(volume: &Volume, member: &Member, made: &PartitionRecord) -> Option<Header> {
    let status = volume.status.as_ref().filter(|status| status.created)?;
    let column =
        (0..volume.spec.stripe_width).find(|column| partition_guid(member.replica, *column) == made.guid)?;
    let size = Bytes(partition_size(status.usable(&volume.spec), volume.spec.stripe_width).0 - HEADER.0);
    let in_sync: Vec<&Member> =
        status.members.iter().filter(|member| status.in_sync.contains(&member.replica)).collect();
    let roles: BTreeMap<u32, Role> =
        (0u32..).zip(&in_sync).map(|(slot, member)| (member.dev_number, Role::Slot(slot))).collect();
    let slots =
        u32::try_from(in_sync.len()).ok()?.max(u32::try_from(status.copies_due(&volume.spec)).ok()?).max(2);
    Some(Header {
        array: array_uuid(volume.spec.uid, column),
        device: made.guid,
        dev_number: member.dev_number,
        events: if status.in_sync.contains(&member.replica) { 100 } else { 50 },
        events_cleared: 0,
        slots,
        size,
        room: Bytes(made.size.0 - HEADER.0),
        roles,
        filling: false,
        dirty: (0..blocks_in(size)).collect(),
        clean: true,
    })
}

impl Cluster {
    /// Takes the records over, without what passes: heartbeats and leases are the rehearsal's own.
    fn adopt(&mut self, world: &World) {
        for (key, versioned) in world.records().filter(|(key, _)| key.kind != Kind::Lease) {
            self.put(key, &versioned.value);
        }
        let sizes = world.volumes().filter(|volume| volume.spec.fs != FsType::Raw).filter_map(|volume| {
            let status = volume.status.filter(|status| status.formatted)?;
            Some((array_uuid(volume.spec.uid, 0), status.usable(&volume.spec)))
        });
        self.file_systems.extend(sizes);
    }

    fn put(&mut self, key: &Key, record: &crate::domain::Record) {
        let revision = self.store.world.revision(key);
        // The revision was read in the same breath: there is nobody to conflict with.
        drop(self.store.put(key, Some(record), revision, self.now));
    }
}

/// One line about a volume, for traces.
pub(super) fn summary(status: &VolumeStatus) -> String {
    let members: Vec<String> = status
        .members
        .iter()
        .map(|member| {
            let star = if status.in_sync.contains(&member.replica) { "*" } else { "" };
            format!("{}:{:?}{star}", member.node, member.state)
        })
        .collect();
    let owner = status.owner.as_ref().map_or("nobody", |owner| owner.as_str());
    format!(
        "{} {} epoch {} of {owner} [{}]{}{}{} {}",
        status.phase,
        status.array.state,
        status.epoch,
        members.join(" "),
        if status.created { " created" } else { "" },
        if status.formatted { " formatted" } else { "" },
        status.relocation.as_ref().map_or("", |_| " relocating"),
        status.reasons.iter().map(|reason| reason.code.clone()).collect::<Vec<_>>().join(","),
    )
}
