//! Partitions, arrays and file systems that grow.

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::disk::blocks_in;
use super::fabric::Reach;
use super::kernel::{Array, Key};
use crate::domain::{Bytes, DriveId, NodeName};
use crate::plan::placement::HEADER;
use crate::plan::{Dev, Step};

fn usable(partition_size: Bytes) -> Bytes {
    Bytes(partition_size.0.saturating_sub(HEADER.0))
}

impl Cluster {
    /// What a daemon that dies in the middle of a step leaves of it.
    pub(super) fn apply_half(&mut self, node: &NodeName, step: &Step) {
        match step {
            Step::GrowPartition { drive, partition, size, .. } => {
                self.lengthen_in_table(node, drive, *partition, *size);
            }
            Step::GrowArray { array, .. } => {
                let arrays =
                    self.nodes.get_mut(node).into_iter().flat_map(|node| node.kernel.arrays.values_mut());
                arrays.filter(|known| known.name == *array).for_each(|array| array.held = true);
            }
            _ => {}
        }
    }

    fn lengthen_in_table(&mut self, node: &NodeName, drive: &DriveId, guid: Uuid, size: Bytes) -> Option<()> {
        let disk = self.disk(node, drive)?;
        let there = disk.partitions.get(&guid)?;
        if disk.room(there) < size {
            return None;
        }
        let there = disk.partitions.get_mut(&guid)?;
        there.size = there.size.max(size);
        Some(())
    }

    pub(super) fn grow_partition(
        &mut self,
        node: &NodeName,
        drive: &DriveId,
        guid: Uuid,
        size: Bytes,
    ) -> Effect {
        if self.lengthen_in_table(node, drive, guid, size).is_none() {
            return Effect::retry("no room to grow");
        }
        if let Some(partition) = self.partition_mut(node, guid) {
            partition.known = partition.size;
        }
        Effect::done()
    }

    /// Never what an array has already.
    pub(super) fn zero_tail(&mut self, node: &NodeName, guid: Uuid, from: Bytes, to: Bytes) -> Effect {
        if !self.works(node, guid) {
            return Effect::retry("BLKZEROOUT: EIO");
        }
        let Some(partition) = self.partition_mut(node, guid).filter(|partition| partition.known >= to) else {
            return Effect::retry("BLKZEROOUT: EINVAL");
        };
        let tail = blocks_in(usable(from))..blocks_in(usable(to));
        tail.for_each(|block| partition.blocks.set(block, 0));
        let used = partition.header.as_ref().map(|header| header.size);
        if used.is_some_and(|used| used > usable(from)) {
            self.violate(format_args!("{node}: {guid} is zeroed from {from} on, an array has more of it"));
        }
        Effect::done()
    }

    pub(super) fn revalidate(&mut self, node: &NodeName, key: Key) -> Effect {
        let size = self.partition(node, key.0).map(|partition| partition.known);
        let export = self.nodes.get_mut(node).and_then(|machine| machine.kernel.exports.get_mut(&key));
        if let (Some(export), Some(size)) = (export, size) {
            export.size = size;
        }
        Effect::done()
    }

    /// What a member's device has room for.
    pub(super) fn room_of(&self, node: &NodeName, dev: Dev) -> Bytes {
        let Some(machine) = self.nodes.get(node) else { return Bytes(0) };
        let mut local = machine.disks.values().flat_map(|disk| disk.partitions.values());
        let local = local.find(|partition| partition.dev == dev).map(|partition| partition.known);
        let size = local.or_else(|| machine.kernel.map_of(dev).map(|(_, map)| map.size));
        usable(size.unwrap_or_default())
    }

    /// `dev-X/size` of every member, then `component_size`; what is new is not copied. Every superblock is written: that
    /// waits for a leg that holds I/O.
    pub(super) fn grow_array(&mut self, node: &NodeName, array: &mut Array, size: Bytes) -> Effect {
        let held =
            array.members.iter().any(|member| !member.faulty && self.reach(node, member.dev) == Reach::Held);
        if held {
            return Effect::Blocked;
        }
        for member in &mut array.members {
            member.room = self.room_of(node, member.dev);
            member.header_due = true;
        }
        self.write_headers(node, array);
        array.held = false;
        if array.members.iter().any(|member| member.room < size) {
            return Effect::retry("component_size: ENOSPC");
        }
        let tail = blocks_in(array.size)..blocks_in(size);
        for member in &array.members {
            if let Reach::Partition(provider, guid) = self.reach(node, member.dev)
                && self.partition(&provider, guid).is_some_and(|there| !there.blocks.is_zero(tail.clone()))
            {
                self.violate(format_args!(
                    "{node}: {} grows onto what is not zero on {provider}",
                    array.name
                ));
            }
        }
        array.size = array.size.max(size);
        array.bump();
        self.write_headers(node, array);
        Effect::done()
    }
}
