//! Copies that rot, and md's `check` and `repair`.

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::disk::blocks_in;
use super::fabric::Reach;
use super::kernel::Array;
use super::stripes::block_of;
use crate::domain::{Bytes, NodeName, VolumeName};
use crate::plan::Outcome;

/// 512-byte sectors that md counts for a place and a copy: 64 KiB, whatever little differs in it (`process_checks`, drivers/md/raid1.c).
const PLACE: u64 = 128;

impl Cluster {
    /// Something else than what was written stands in the first block of every partition on a node.
    pub fn damage(&mut self, node: &NodeName) {
        self.checked.due = true;
        let disks = self.nodes.get_mut(node).into_iter().flat_map(|machine| machine.disks.values_mut());
        for partition in disks.flat_map(|disk| disk.partitions.values_mut()) {
            partition.blocks.set(0, super::disk::GARBAGE);
        }
    }

    /// What the copy of a volume on `node` has in a block is not what was written there, and nobody was told.
    pub fn rot(&mut self, volume: &VolumeName, node: &NodeName, block: u8) {
        let Some((guid, at)) = self.place_of(volume, node, block) else { return };
        self.next_version += 1;
        let version = self.next_version;
        self.checked.due = true;
        self.note(format_args!("{node}: block {block} of {volume} rots"));
        if let Some(partition) = self.partition_mut(node, guid) {
            partition.blocks.set(at, version);
            self.rotten.insert((guid, at), version);
        }
    }

    /// What the copy of a volume on `node` has in a block.
    #[must_use]
    pub fn block_on(&self, volume: &VolumeName, node: &NodeName, block: u8) -> Option<u64> {
        let (guid, at) = self.place_of(volume, node, block)?;
        Some(self.partition(node, guid)?.blocks.get(at))
    }

    /// Whether what a place has is known to be wrong: it was not written since it rotted.
    pub(super) fn is_rotten(&self, guid: Uuid, at: u8, there: u64) -> bool {
        self.rotten.get(&(guid, at)) == Some(&there)
    }

    fn place_of(&self, volume: &VolumeName, node: &NodeName, block: u8) -> Option<(Uuid, u8)> {
        let world = &self.store.world;
        let (spec, status) = (world.volume_spec(volume)?, world.volume_status(volume)?);
        Some(block_of(status.member_on(node)?.replica, block, status.columns(spec)))
    }

    /// A check of one block, which waits for a write that is under way in it. What the copy in the lowest slot has counts, and goes over
    /// the others if `repair`. One that loses a member is cut short.
    pub(super) fn check_slice(
        &mut self,
        node: &NodeName,
        array: &Array,
        (from, size): (Bytes, Bytes),
        repair: bool,
    ) -> Effect {
        let blocks = blocks_in(size);
        let step = size.0 / u64::from(blocks).max(1);
        let Ok(block) = u8::try_from(from.0 / step.max(1)) else { return Effect::retry("check: EINVAL") };
        if array.is_degraded() {
            return Effect::retry("check: it lost a member");
        }
        let Some(copies) = self.copies_of(node, array) else {
            return self.without_answer(node, array, "check");
        };
        if array.pending.iter().any(|write| write.block == block) {
            return Effect::Blocked;
        }
        let there = |cluster: &Self, (provider, guid): &(NodeName, Uuid)| {
            Some(cluster.partition(provider, *guid)?.blocks.get(block))
        };
        let Some(good) = copies.first().and_then(|first| there(self, first)) else {
            return Effect::retry("check: EIO");
        };
        let differ: Vec<_> = copies.iter().filter(|copy| there(self, copy) != Some(good)).cloned().collect();
        let mismatched_sectors = differ.len() as u64 * PLACE;
        self.checked.due = true;
        for (provider, guid) in differ.iter().filter(|_| repair) {
            if let Some(partition) = self.partition_mut(provider, *guid) {
                partition.blocks.set(block, good);
            }
        }
        let to = if block + 1 >= blocks { size } else { Bytes((u64::from(block) + 1) * step) };
        Effect::Over(Ok(Outcome::Checked { to, mismatched_sectors }))
    }

    /// The copies in sync, by slot; `None` while one of them does not answer.
    fn copies_of(&self, node: &NodeName, array: &Array) -> Option<Vec<(NodeName, Uuid)>> {
        let mut members: Vec<_> = array.members.iter().filter(|member| member.in_sync).collect();
        members.sort_by_key(|member| member.slot);
        let reached = |dev| match self.reach(node, dev) {
            Reach::Partition(provider, guid) => Some((provider, guid)),
            Reach::Held | Reach::Failed => None,
        };
        members.iter().map(|member| reached(member.dev)).collect()
    }
}
