//! The promises, looked at after every tick.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::cluster::Cluster;
use super::disk::{BLOCKS, GARBAGE, Partition};
use super::kernel::Key;
use super::stripes::{block_of, place, replica_with, volume_blocks};
use crate::domain::{
    Member, NodeName, ReplicaId, Timestamp, Volume, VolumeName, VolumeStatus, VolumeUid, array_uuid,
    partition_guid,
};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Timestamp,
    /// Which promise, and how it was broken.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms: {}", self.at.0, self.what)
    }
}

/// What was reported already, so that one loss is one line.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<(VolumeName, ReplicaId, u8), u64>);

/// A copy that counts, how many of its blocks do, and over how many columns they lie.
type Counted = (VolumeName, ReplicaId, NodeName, u8, u8);

impl Cluster {
    /// R1 and R2: every acknowledged write is on every replica of the recorded in-sync set.
    pub(super) fn check(&mut self) {
        let mut counted: Vec<Counted> = Vec::new();
        let world = &self.store.world;
        for name in self.apps.keys() {
            let Some(spec) = world.volume_spec(name).filter(|spec| !spec.deleting) else { continue };
            let Some(status) = world.volume_status(name).filter(|status| status.created) else { continue };
            let (columns, noted) = (spec.stripe_width, self.noted(spec.uid, status));
            let blocks = volume_blocks(status.usable(spec), columns);
            let in_sync = |member: &&Member| {
                status.in_sync.contains(&member.replica) && !noted.contains(&member.replica)
            };
            let counts =
                |member: &Member| (name.clone(), member.replica, member.node.clone(), blocks, columns);
            counted.extend(status.members.iter().filter(in_sync).map(counts));
        }
        for (name, replica, node, blocks, columns) in &counted {
            // What an array has before it is recorded counts as soon as something there was acknowledged.
            let acked = self.apps.get(name).map(|app| app.acked.clone()).unwrap_or_default();
            let counts = (0..BLOCKS).filter(|block| block < blocks || acked.get(*block) > 0);
            counts.for_each(|block| self.check_block(name, (*replica, *columns), node, block));
        }
        for copies in counted.chunk_by(|one, other| one.0 == other.0) {
            let blocks = copies.first().map_or(0, |copy| copy.3);
            (0..blocks).for_each(|block| self.check_equal(copies, block));
        }
    }

    /// Copies that the owner noted to lack writes, as long as the record does not say so.
    fn noted(&self, volume: VolumeUid, status: &VolumeStatus) -> BTreeSet<ReplicaId> {
        let owner = status.owner.as_ref().and_then(|owner| self.nodes.get(owner));
        let notes = owner.iter().flat_map(|machine| &machine.alone);
        let of_epoch = notes.filter(|note| note.volume == volume && note.epoch == status.epoch);
        of_epoch.map(|note| note.replica).collect()
    }

    /// R3: copies that count differ only where the bitmap of one of them says so, or where one has gone bad by itself.
    fn check_equal(&mut self, copies: &[Counted], block: u8) {
        let there = copies.first().map_or(block, |(.., columns)| place(block, *columns).1);
        let partitions = copies.iter().filter_map(|(_, replica, node, _, columns)| {
            let guid = block_of(*replica, block, *columns).0;
            let partition = self.partition(node, guid)?;
            (!self.is_rotten(guid, there, partition.blocks.get(there))).then_some(partition)
        });
        let known = |partition: &Partition| {
            partition.header.as_ref().is_some_and(|header| header.dirty.contains(&there))
        };
        let Some((least, most)) = partitions.clone().fold(None, |found, partition| {
            let there = partition.blocks.get(there);
            Some(
                found.map_or((there, there), |(least, most): (u64, u64)| (least.min(there), most.max(there))),
            )
        }) else {
            return;
        };
        if least == most || partitions.clone().any(known) {
            return;
        }
        let line = copies.first().map(|(volume, ..)| {
            format!("R3: copies of {volume} that count differ in block {block}, {least} and {most}, and no bitmap knows")
        });
        if let Some(line) = line.filter(|line| self.violations.last().is_none_or(|last| last.what != *line)) {
            self.violate(line);
        }
    }

    fn check_block(&mut self, volume: &VolumeName, of: (ReplicaId, u8), node: &NodeName, block: u8) {
        let acked = self.apps.get(volume).map_or(0, |app| app.acked.get(block));
        let (replica, columns) = of;
        let (guid, at) = block_of(replica, block, columns);
        let Some(there) = self.partition(node, guid).map(|partition| partition.blocks.get(at)) else {
            return;
        };
        // What a drive itself fails the kernel drops at once, and the record follows (KERNEL.md, finding 4).
        if !self.works(node, guid) || there >= acked && there != GARBAGE {
            return;
        }
        let known = self.checked.0.get(&(volume.clone(), replica, block)).copied().unwrap_or(0);
        if known < acked || there == GARBAGE {
            self.checked.0.insert((volume.clone(), replica, block), acked);
            self.violate(format_args!(
                "R1/R2: block {block} of {volume} was acknowledged as {acked}, the in-sync copy on {node} has {there}"
            ));
        }
    }

    /// R4: once a provider has acknowledged an epoch, or that epoch's owner runs an array on it, nobody else writes to its in-sync
    /// replica.
    pub(super) fn check_landing(&mut self, writer: &NodeName, provider: &NodeName, partition: Uuid) {
        let world = &self.store.world;
        let replica = replica_with(world, partition);
        let Some(record) = world.replica(&replica) else { return };
        let Some(status) = world.volume_status(&record.spec.volume) else { return };
        let acked = record.status.as_ref().is_some_and(|record| record.acked_epoch == status.epoch);
        // Of nobody is what was its last owner's: no other one has begun.
        let Some(owner) = status.owner.as_ref().filter(|owner| *owner != writer) else { return };
        let runs = self.nodes.get(owner).is_some_and(|machine| {
            machine.kernel.arrays.values().any(|array| array.member(partition).is_some())
        });
        if (acked || runs) && status.in_sync.contains(&replica) {
            let line = format!(
                "R4: a write of {writer} lands on the in-sync copy of {} on {provider}, owned by {owner} in epoch {}",
                record.spec.volume, status.epoch
            );
            if self.violations.last().is_none_or(|last| last.what != line) {
                self.violate(line);
            }
        }
    }

    /// What kernels hold and no record wants where it is: one line each. Empty once everything has come to rest.
    #[must_use]
    pub fn leaked(&self) -> Vec<String> {
        self.nodes.keys().flat_map(|node| self.leaked_on(node)).collect()
    }

    fn leaked_on(&self, node: &NodeName) -> Vec<String> {
        let Some(machine) = self.nodes.get(node).filter(|machine| machine.powered) else { return Vec::new() };
        let (world, kernel) = (&self.store.world, &machine.kernel);
        let owned: Vec<Volume> = world.volumes().filter(|volume| is_owned_by(volume, node)).collect();
        let is_leg = |key: &&Key| owned.iter().any(|volume| has_leg(volume, key));
        let is_array = |uuid: &Uuid| owned.iter().any(|volume| has_array(volume, uuid));
        let is_export = |key: &Key| {
            let mut here = world.replicas().filter(|replica| replica.spec.node == *node);
            let record = here.find(|replica| replica.spec.partitions().any(|(guid, _)| guid == key.0));
            record.and_then(|replica| replica.spec.export).is_some_and(|export| export.epoch == key.1)
        };
        let legs = kernel.connections.keys().chain(kernel.maps.keys()).filter(|key| !is_leg(key));
        let exports = kernel.exports.keys().filter(|key| !is_export(key));
        let arrays = kernel.arrays.iter().filter(|(uuid, _)| !is_array(uuid));
        legs.map(|key| format!("{node}: leg {key:?}"))
            .chain(exports.map(|key| format!("{node}: export {key:?}")))
            .chain(arrays.map(|(_, array)| format!("{node}: array {}", array.name)))
            .collect()
    }
}

fn is_owned_by(volume: &Volume, node: &NodeName) -> bool {
    volume.status.as_ref().is_some_and(|status| status.owner.as_ref() == Some(node))
}

fn has_array(volume: &Volume, uuid: &Uuid) -> bool {
    (0..volume.spec.stripe_width).any(|column| array_uuid(volume.spec.uid, column) == *uuid)
}

fn has_leg(volume: &Volume, (partition, epoch): &Key) -> bool {
    let is_of = |member: &Member| {
        (0..volume.spec.stripe_width).any(|column| partition_guid(member.replica, column) == *partition)
    };
    volume.status.as_ref().is_some_and(|status| status.epoch == *epoch && status.members.iter().any(is_of))
}
