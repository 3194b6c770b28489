//! The promises, looked at after every tick.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use super::cluster::Cluster;
use super::disk::{BLOCKS, GARBAGE, blocks_in};
use crate::domain::{NodeName, ReplicaId, Timestamp, VolumeName};

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

impl Cluster {
    /// R1 and R2: every acknowledged write is on every replica of the recorded in-sync set.
    pub(super) fn check(&mut self) {
        let mut counted: Vec<(VolumeName, ReplicaId, NodeName, u8)> = Vec::new();
        let world = &self.store.world;
        for name in self.apps.keys() {
            let Some(spec) = world.volume_spec(name).filter(|spec| !spec.deleting) else { continue };
            let Some(status) = world.volume_status(name).filter(|status| status.created) else { continue };
            let blocks = blocks_in(status.usable(spec));
            let in_sync = status.members.iter().filter(|member| status.in_sync.contains(&member.replica));
            counted.extend(in_sync.map(|member| (name.clone(), member.replica, member.node.clone(), blocks)));
        }
        for (name, replica, node, blocks) in counted {
            // What an array has before it is recorded counts as soon as something there was acknowledged.
            let acked = self.apps.get(&name).map(|app| app.acked.clone()).unwrap_or_default();
            let counts = (0..BLOCKS).filter(|block| *block < blocks || acked.get(*block) > 0);
            counts.for_each(|block| self.check_block(&name, replica, &node, block));
        }
    }

    fn check_block(&mut self, volume: &VolumeName, replica: ReplicaId, node: &NodeName, block: u8) {
        let acked = self.apps.get(volume).map_or(0, |app| app.acked.get(block));
        let Some(there) = self.partition(node, replica.0).map(|partition| partition.blocks.get(block)) else {
            return;
        };
        // What a drive itself fails the kernel drops at once, and the record follows (KERNEL.md, finding 4).
        if !self.works(node, replica.0) || there >= acked && there != GARBAGE {
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

    /// R4: once a provider has acknowledged an epoch, only that epoch's owner writes to its in-sync replica.
    pub(super) fn check_landing(&mut self, writer: &NodeName, provider: &NodeName, partition: Uuid) {
        let replica = ReplicaId(partition);
        let world = &self.store.world;
        let Some(record) = world.replica(&replica) else { return };
        let Some(status) = world.volume_status(&record.spec.volume) else { return };
        let acked = record.status.as_ref().is_some_and(|record| record.acked_epoch == status.epoch);
        if acked && status.in_sync.contains(&replica) && status.owner.as_ref() != Some(writer) {
            let line = format!(
                "R4: a write of {writer} lands on the in-sync copy of {} on {provider}, owned by {:?} in epoch {}",
                record.spec.volume, status.owner, status.epoch
            );
            if self.violations.last().is_none_or(|last| last.what != line) {
                self.violate(line);
            }
        }
    }
}
