//! Drives that fail, are pulled, and come back; and calls that do not.

use super::cluster::Cluster;
use super::disk::Disk;
use super::kernel::Key;
use crate::domain::{DriveId, NodeName, Timestamp};
use crate::plan::{Lane, Observation, Step, TableSeen, Waiting};

/// What a drive answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriveFault {
    /// What it shall.
    #[default]
    None,
    /// EIO to everything.
    Failing,
    /// Nothing: it is not in the machine.
    Pulled,
    /// Nothing: whoever calls it waits.
    Hung,
}

/// Calls that do not return: those of the steps of a lane that `is_it` says.
#[derive(Debug, Clone)]
pub struct Hang {
    /// On what they work.
    pub lane: Lane,
    /// Which they are.
    pub is_it: fn(&Step) -> bool,
}

impl Cluster {
    /// From now on a node's kernel does not come back from such calls, whatever drives do; `None`: it does, from those under way too. Power
    /// ends it.
    pub fn hang(&mut self, node: &NodeName, hang: Option<Hang>) {
        self.note(format_args!("{node}: {}", if hang.is_some() { "calls hang" } else { "calls return" }));
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.hang = hang;
        }
        self.stir_all();
    }

    /// From now on a drive answers like that. One that is plugged in again has new numbers.
    pub fn set_drive(&mut self, id: &DriveId, fault: DriveFault) {
        let now = self.now;
        self.note(format_args!("drive {id}: {fault:?}"));
        for machine in self.nodes.values_mut() {
            let Some(disk) = machine.disks.get_mut(id) else { continue };
            if disk.fault == DriveFault::Pulled && fault != DriveFault::Pulled {
                disk.dev = machine.kernel.new_dev(259);
                for partition in disk.partitions.values_mut() {
                    partition.dev = machine.kernel.new_dev(259);
                }
            }
            disk.silent_since = (fault == DriveFault::Hung).then_some(now);
            disk.fault = fault;
        }
        self.stir_all();
    }

    /// Whether a step does not come back, or what it does on a drive of this node waits for one that does not answer. A fence closes the
    /// port before.
    pub(super) fn hangs(&mut self, node: &NodeName, step: &Step) -> bool {
        let Some(machine) = self.nodes.get_mut(node) else { return false };
        if machine.hang.as_ref().is_some_and(|hang| (hang.is_it)(step) && hang.lane == step.lane()) {
            return true;
        }
        let is_hung = |disk: &Disk| disk.fault == DriveFault::Hung;
        match step {
            Step::PrepareDrive { drive, .. }
            | Step::RepairTable { drive, .. }
            | Step::ReleaseDrive { drive, .. }
            | Step::Carve { drive, .. }
            | Step::GrowPartition { drive, .. }
            | Step::RemovePartition { drive, .. } => machine.disks.get(drive).is_some_and(is_hung),
            Step::Zero { partition, .. }
            | Step::Erase { partition, .. }
            | Step::ZeroTail { partition, .. } => {
                machine.disks.values().any(|disk| is_hung(disk) && disk.partitions.contains_key(partition))
            }
            Step::Fence { partition, epoch } => {
                let mut disks = machine.disks.values();
                let waits = disks.any(|disk| is_hung(disk) && disk.partitions.contains_key(partition));
                if waits && let Some(export) = machine.kernel.exports.get_mut(&(*partition, *epoch)) {
                    export.linked = false;
                }
                waits
            }
            _ => false,
        }
    }

    /// For how long each drive of a node has owed an answer to the daemon that began then. One that was not read yet is unread.
    pub(super) fn see_silence(&self, node: &NodeName, began: Timestamp, seen: &mut Observation) {
        let disks = self.nodes.get(node).into_iter().flat_map(|machine| &machine.disks);
        for (id, disk) in disks {
            let (Some(since), Some(drive)) = (disk.silent_since, seen.drives.get_mut(id)) else { continue };
            let millis = self.now - since.max(began.0);
            drive.unanswered = Some(Waiting { call: Some(format!("a read of {id}")), millis });
            if since <= began.0 {
                drive.table = TableSeen::Unread;
            }
        }
    }

    /// A drive that does not answer is reset by power.
    pub(super) fn reset_drives(&mut self, node: &NodeName) {
        let disks = self.nodes.get_mut(node).into_iter().flat_map(|machine| machine.disks.values_mut());
        for disk in disks.filter(|disk| disk.fault == DriveFault::Hung) {
            (disk.fault, disk.silent_since) = (DriveFault::None, None);
        }
    }

    /// Whether a partition's drive does what it is told, now or once it answers.
    pub(super) fn works(&self, node: &NodeName, partition: uuid::Uuid) -> bool {
        matches!(self.fault_of(node, partition), DriveFault::None | DriveFault::Hung)
    }

    /// Whether a partition's drive does not answer.
    pub(super) fn is_hung(&self, node: &NodeName, partition: uuid::Uuid) -> bool {
        self.fault_of(node, partition) == DriveFault::Hung
    }

    /// Whether a partition's drive is not in the machine.
    pub(super) fn is_pulled(&self, node: &NodeName, partition: uuid::Uuid) -> bool {
        self.fault_of(node, partition) == DriveFault::Pulled
    }

    /// Whether an export holds a device that is gone: its drive was pulled, and has another number if it was put back since.
    pub(super) fn is_dead(&self, node: &NodeName, key: &Key) -> bool {
        let export = self.nodes.get(node).and_then(|machine| machine.kernel.exports.get(key));
        let there = self.partition(node, key.0).map(|partition| partition.dev);
        self.is_pulled(node, key.0) || export.is_some_and(|export| export.dev != there)
    }

    fn fault_of(&self, node: &NodeName, partition: uuid::Uuid) -> DriveFault {
        let mut disks = self.nodes.get(node).into_iter().flat_map(|machine| machine.disks.values());
        let holder = disks.find(|disk| disk.partitions.contains_key(&partition));
        holder.map_or(DriveFault::None, |disk| disk.fault)
    }
}
