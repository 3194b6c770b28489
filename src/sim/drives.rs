//! Drives that fail, are pulled, and come back.

use super::cluster::Cluster;
use crate::domain::{DriveId, NodeName};

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
}

impl Cluster {
    /// From now on a drive answers like that. One that is plugged in again has new numbers.
    pub fn set_drive(&mut self, id: &DriveId, fault: DriveFault) {
        self.note(format_args!("drive {id}: {fault:?}"));
        for machine in self.nodes.values_mut() {
            let Some(disk) = machine.disks.get_mut(id) else { continue };
            if disk.fault == DriveFault::Pulled && fault != DriveFault::Pulled {
                disk.dev = machine.kernel.new_dev(259);
                for partition in disk.partitions.values_mut() {
                    partition.dev = machine.kernel.new_dev(259);
                }
            }
            disk.fault = fault;
        }
        self.stir_all();
    }

    /// Whether a partition's drive answers.
    pub(super) fn works(&self, node: &NodeName, partition: uuid::Uuid) -> bool {
        self.fault_of(node, partition) == DriveFault::None
    }

    /// Whether a partition's drive is not in the machine.
    pub(super) fn is_pulled(&self, node: &NodeName, partition: uuid::Uuid) -> bool {
        self.fault_of(node, partition) == DriveFault::Pulled
    }

    fn fault_of(&self, node: &NodeName, partition: uuid::Uuid) -> DriveFault {
        let mut disks = self.nodes.get(node).into_iter().flat_map(|machine| machine.disks.values());
        let holder = disks.find(|disk| disk.partitions.contains_key(&partition));
        holder.map_or(DriveFault::None, |disk| disk.fault)
    }
}
