//! The promises, looked at after every tick.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::cluster::{Cluster, Machine};
use super::disk::{BLOCKS, Blocks, GARBAGE, Partition};
use super::kernel::{Array, ArrayMember, Key};
use super::stripes::{block_of, place, replica_with, volume_blocks};
use crate::domain::{
    DriveId, Member, NodeName, OnStoreLoss, ReplicaId, Timestamp, Volume, VolumeName, VolumeSpec,
    VolumeStatus, array_uuid, partition_guid,
};
use crate::plan::Dev;

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
pub(super) struct Seen {
    lost: BTreeMap<(VolumeName, ReplicaId, u8), u64>,
    /// Data was written, or a write acknowledged, since the last look.
    pub(super) due: bool,
}

/// A copy that counts, with its partitions by column, and where they are.
struct Counted<'a> {
    replica: ReplicaId,
    node: &'a NodeName,
    columns: Vec<Option<&'a Partition>>,
}

impl Counted<'_> {
    fn width(&self) -> u8 {
        u8::try_from(self.columns.len()).unwrap_or(u8::MAX)
    }

    /// Where a block of the volume is, and the block there.
    fn at(&self, block: u8) -> Option<(&Partition, u8)> {
        let (column, at) = place(block, self.width());
        let partition = *self.columns.get(usize::from(column))?;
        Some((partition?, at))
    }

    /// What a block has instead of what was acknowledged.
    fn lacks(&self, block: u8, acked: u64) -> Option<u64> {
        let (partition, at) = self.at(block)?;
        let there = partition.blocks.get(at);
        (there < acked || there == GARBAGE).then_some(there)
    }
}

/// The blocks of a volume that count. What an array has before it is recorded does as soon as something there was acknowledged.
fn counting<'a>(
    spec: &VolumeSpec,
    status: &VolumeStatus,
    acked: &'a Blocks,
) -> impl Iterator<Item = u8> + use<'a> {
    let blocks = volume_blocks(status.usable(spec), status.columns(spec));
    (0..BLOCKS).filter(move |block| *block < blocks || acked.get(*block) > 0)
}

/// What was found of one block of a volume.
enum Broken {
    /// R1, R2: a copy that counts lacks an acknowledged write.
    Lost { replica: ReplicaId, node: NodeName, acked: u64, there: u64 },
    /// R3: copies that count differ.
    Differ { least: u64, most: u64 },
}

impl Cluster {
    /// R1 to R3, of every volume that somebody writes to.
    pub(super) fn check(&mut self) {
        let found = self.apps.iter().flat_map(|(name, app)| {
            self.broken(name, &app.acked).into_iter().map(|(block, broken)| (name.clone(), block, broken))
        });
        let found: Vec<(VolumeName, u8, Broken)> = found.collect();
        for (volume, block, broken) in found {
            self.tell(&volume, block, broken);
        }
    }

    /// Every acknowledged write is on every replica of the recorded in-sync set, and these are equal where no bitmap says
    /// otherwise.
    fn broken(&self, name: &VolumeName, acked: &Blocks) -> Vec<(u8, Broken)> {
        let world = &self.store.world;
        let Some(spec) = world.volume_spec(name).filter(|spec| !spec.deleting) else { return Vec::new() };
        let Some(status) = world.volume_status(name).filter(|status| status.created) else {
            return Vec::new();
        };
        let copies = self.copies(spec, status);
        let lost = counting(spec, status, acked).flat_map(|block| {
            let lost = copies.iter().filter_map(move |copy| self.lost(copy, block, acked.get(block)));
            lost.map(move |broken| (block, broken))
        });
        let blocks = volume_blocks(status.usable(spec), status.columns(spec));
        let differ = (0..blocks).filter_map(|block| Some((block, self.differ(&copies, block)?)));
        lost.chain(differ).collect()
    }

    fn copies<'a>(&'a self, spec: &VolumeSpec, status: &'a VolumeStatus) -> Vec<Counted<'a>> {
        let noted = self.noted(spec, status);
        let in_sync =
            |member: &&Member| status.in_sync.contains(&member.replica) && !noted.contains(&member.replica);
        let counted = |member: &'a Member| {
            let (replica, node) = (member.replica, &member.node);
            let column = |column| self.partition(node, partition_guid(replica, column));
            Counted { replica, node, columns: (0..status.columns(spec)).map(column).collect() }
        };
        status.members.iter().filter(in_sync).map(counted).collect()
    }

    /// Copies that the owner noted to lack writes, where the user lets it, as long as the record does not say so.
    fn noted(&self, spec: &VolumeSpec, status: &VolumeStatus) -> BTreeSet<ReplicaId> {
        let may = spec.on_store_loss == OnStoreLoss::Continue;
        let owner = status.owner.as_ref().and_then(|owner| self.nodes.get(owner)).filter(|_| may);
        let notes = owner.iter().flat_map(|machine| &machine.alone);
        let of_epoch = notes.filter(|note| note.volume == spec.uid && note.epoch == status.epoch);
        of_epoch.map(|note| note.replica).collect()
    }

    fn lost(&self, copy: &Counted, block: u8, acked: u64) -> Option<Broken> {
        let there = copy.lacks(block, acked)?;
        // What a drive itself fails the kernel drops at once, and the record follows (KERNEL.md, finding 4).
        let works = self.works(copy.node, block_of(copy.replica, block, copy.width()).0);
        works.then(|| Broken::Lost { replica: copy.replica, node: copy.node.clone(), acked, there })
    }

    /// Whether a copy on this drive counts although it lacks what was acknowledged, or will with the next write: the kernel drops it when
    /// the drive fails, and no record says so yet.
    #[must_use]
    pub fn is_behind(&self, drive: &DriveId) -> bool {
        self.is_in_an_array(drive)
            || self.apps.iter().any(|(name, app)| self.is_behind_in(name, &app.acked, drive))
    }

    /// Whether an array of its own node has something of a drive that it could drop, without a leg in between.
    fn is_in_an_array(&self, drive: &DriveId) -> bool {
        self.nodes.values().any(|machine| {
            machine.kernel.arrays.values().any(|array| {
                let (there, others) = good_there_and_elsewhere(machine, array, drive);
                !there.is_empty() && !others.is_empty()
            })
        })
    }

    /// Whether the kernel would go on without a drive with nothing but copies that do not count: new ones that it has in sync, or will in a
    /// moment, and no record yet. Neither a leg nor a record can hold that up (R1 in ARCHITECTURE.md).
    #[must_use]
    pub fn is_all_that_counts(&self, drive: &DriveId) -> bool {
        let counted = self.counted_partitions();
        self.nodes.values().any(|machine| {
            machine.kernel.arrays.values().any(|array| {
                let (there, others) = good_there_and_elsewhere(machine, array, drive);
                let counts = |member: &&ArrayMember| counted.contains(&member.device);
                !there.is_empty() && !others.is_empty() && !others.iter().any(counts)
            })
        })
    }

    /// Every column of every copy that counts.
    fn counted_partitions(&self) -> BTreeSet<Uuid> {
        let of = |Volume { spec, status }: Volume| {
            let columns = 0..spec.stripe_width;
            let all = status.into_iter().flat_map(|status| status.in_sync);
            all.flat_map(move |replica| columns.clone().map(move |column| partition_guid(replica, column)))
        };
        self.store.world.volumes().flat_map(of).collect()
    }

    fn is_behind_in(&self, name: &VolumeName, acked: &Blocks, drive: &DriveId) -> bool {
        let world = &self.store.world;
        let volume = world.volume_spec(name).zip(world.volume_status(name));
        let Some((spec, status)) = volume.filter(|(_, status)| status.created) else { return false };
        let lies_there =
            |copy: &&Counted| status.member(copy.replica).is_some_and(|member| member.drives.contains(drive));
        let lacks = |copy: &Counted| {
            counting(spec, status, acked).any(|block| copy.lacks(block, acked.get(block)).is_some())
        };
        self.copies(spec, status).iter().filter(lies_there).any(lacks)
    }

    /// Copies that count differ only where the bitmap of one of them says so, or where one has gone bad by itself.
    fn differ(&self, copies: &[Counted], block: u8) -> Option<Broken> {
        let all = || {
            copies.iter().filter_map(|copy| copy.at(block)).map(|(partition, at)| partition.blocks.get(at))
        };
        // As nearly always; what has gone bad need not be known then.
        if all().min() == all().max() {
            return None;
        }
        let sound = |copy: &Counted, (partition, at): (&Partition, u8)| {
            let guid = block_of(copy.replica, block, copy.width()).0;
            !self.is_rotten(guid, at, partition.blocks.get(at))
        };
        let partitions = || {
            let there = copies.iter().filter_map(|copy| Some((copy, copy.at(block)?)));
            there.filter(|(copy, there)| sound(copy, *there)).map(|(_, there)| there)
        };
        let there = || partitions().map(|(partition, at)| partition.blocks.get(at));
        let (least, most) = (there().min()?, there().max()?);
        let known = |(partition, at): (&Partition, u8)| {
            partition.header.as_ref().is_some_and(|header| header.dirty.contains(&at))
        };
        (least != most && !partitions().any(known)).then_some(Broken::Differ { least, most })
    }

    fn tell(&mut self, volume: &VolumeName, block: u8, broken: Broken) {
        match broken {
            Broken::Lost { replica, node, acked, there } => {
                let known = self.checked.lost.insert((volume.clone(), replica, block), acked);
                if known.unwrap_or(0) < acked || there == GARBAGE {
                    self.violate(format_args!(
                        "R1/R2: block {block} of {volume} was acknowledged as {acked}, the in-sync copy on {node} has {there}"
                    ));
                }
            }
            Broken::Differ { least, most } => self.violate_once(format!(
                "R3: copies of {volume} that count differ in block {block}, {least} and {most}, and no bitmap knows"
            )),
        }
    }

    fn violate_once(&mut self, line: String) {
        if self.violations.last().is_none_or(|last| last.what != line) {
            self.violate(line);
        }
    }

    /// R4: once a provider has acknowledged an epoch, or that epoch's owner runs an array on it, nobody else writes to its in-sync
    /// replica.
    pub(super) fn check_landing(&mut self, writer: &NodeName, provider: &NodeName, partition: Uuid) {
        let world = &self.store.world;
        let replica = replica_with(world, partition);
        let Some(spec) = world.replica_spec(&replica) else { return };
        let Some(status) = world.volume_status(&spec.volume) else { return };
        let acked = world.replica_status(&replica).is_some_and(|record| record.acked_epoch == status.epoch);
        // Of nobody is what was its last owner's: no other one has begun.
        let Some(owner) = status.owner.as_ref().filter(|owner| *owner != writer) else { return };
        let runs = self.nodes.get(owner).is_some_and(|machine| {
            machine.kernel.arrays.values().any(|array| array.member(partition).is_some())
        });
        if (acked || runs) && status.in_sync.contains(&replica) {
            let line = format!(
                "R4: a write of {writer} lands on the in-sync copy of {} on {provider}, owned by {owner} in epoch {}",
                spec.volume, status.epoch
            );
            self.violate_once(line);
        }
    }

    /// Columns whose array does not have in sync on its owner what the record has, in the record's epoch: one line each. Empty once
    /// everything has come to rest.
    #[must_use]
    pub fn torn(&self) -> Vec<String> {
        let volumes = self.store.world.volumes();
        let columns = volumes
            .flat_map(|volume| (0..volume.spec.stripe_width).map(move |column| (volume.clone(), column)));
        columns.filter_map(|(volume, column)| self.torn_column(&volume, column)).collect()
    }

    fn torn_column(&self, volume: &Volume, column: u8) -> Option<String> {
        let (name, status) = (&volume.spec.name, volume.status.as_ref()?);
        let kernel = &self.nodes.get(status.owner.as_ref()?)?.kernel;
        let recorded: BTreeSet<Uuid> =
            status.in_sync.iter().map(|replica| partition_guid(*replica, column)).collect();
        let Some(array) = kernel.arrays.get(&array_uuid(volume.spec.uid, column)) else {
            return Some(format!("column {column} of {name} does not run"));
        };
        let whole = array.members.iter().filter(|member| member.in_sync && !member.faulty);
        let of_epoch = |dev| kernel.map_of(dev).is_none_or(|((_, epoch), _)| *epoch == status.epoch);
        let has: BTreeSet<Uuid> =
            whole.filter(|member| of_epoch(member.dev)).map(|member| member.device).collect();
        (has != recorded).then(|| format!("column {column} of {name} has {has:?}, recorded are {recorded:?}"))
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

/// The members of an array that the kernel has in sync: those on a drive of the same node, and the others.
fn good_there_and_elsewhere<'a>(
    machine: &Machine,
    array: &'a Array,
    drive: &DriveId,
) -> (Vec<&'a ArrayMember>, Vec<&'a ArrayMember>) {
    let partitions = machine.disks.get(drive).into_iter().flat_map(|disk| disk.partitions.values());
    let devices: Vec<Dev> = partitions.map(|partition| partition.dev).collect();
    let good = array.members.iter().filter(|member| member.takes_writes() && member.left.is_empty());
    good.partition(|member| devices.contains(&member.dev))
}
