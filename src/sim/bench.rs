//! One simulated node's kernel without a daemon: steps are done one by one, as a script says. So its behaviour can be laid
//! beside a real kernel's.

use uuid::Uuid;

use super::apply::Effect;
use super::clock::TICK;
use super::cluster::{Cluster, Config, new_disk};
use super::daemon;
use super::kernel::{Array, Write};
use crate::domain::{Bytes, DriveId, Endpoint, NodeName};
use crate::plan::{Observation, Outcome, Step, StepFailure};

/// A node that does nothing by itself but what its kernel does.
#[derive(Debug)]
pub struct Bench {
    cluster: Cluster,
    node: NodeName,
    /// Calls that have not returned yet.
    waiting: Vec<Step>,
}

impl Bench {
    /// A node of this name with these empty drives.
    #[must_use]
    pub fn new(node: &NodeName, drives: &[DriveId], capacity: Bytes) -> Self {
        let mut cluster = Cluster::bare(Config::default());
        cluster.start_read_auto = false;
        cluster.add_machine(node, drives.iter().map(|id| (id.clone(), new_disk(capacity, 512))).collect());
        if let Some(machine) = cluster.nodes.get_mut(node) {
            machine.daemon_up_at = None;
        }
        Self { cluster, node: node.clone(), waiting: Vec::new() }
    }

    /// Where its target listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: daemon::address(&self.node), port: 4420 }
    }

    /// What is there now.
    #[must_use]
    pub fn observe(&self) -> Observation {
        self.cluster.look(&self.node)
    }

    /// Does a step; nothing if the call has not returned after `patience` milliseconds. It goes on then.
    pub fn apply(&mut self, step: &Step, patience: u64) -> Option<Result<Outcome, StepFailure>> {
        let until = self.cluster.now + patience;
        loop {
            if let Effect::Over(result) = self.cluster.apply(&self.node, step) {
                return Some(result);
            }
            if self.cluster.now >= until {
                self.waiting.push(step.clone());
                return None;
            }
            self.tick();
        }
    }

    /// Writes a block of an array; whether that came back within `patience` milliseconds, and was taken.
    pub fn write(&mut self, array: Uuid, block: u8, version: u64, patience: u64) -> Option<bool> {
        let Some(there) = self.array(array).filter(|array| array.is_writable()) else { return Some(false) };
        there.pending.push(Write::new(block, version));
        let until = self.cluster.now + patience;
        while self.array(array)?.pending.iter().any(|write| write.version == version) {
            if self.cluster.now >= until {
                return None;
            }
            self.tick();
        }
        Some(true)
    }

    /// Somebody has an array open, or has not any more.
    pub fn set_open(&mut self, array: Uuid, open: bool) {
        if let Some(array) = self.array(array) {
            array.open = open;
        }
    }

    /// What a block of a partition holds.
    #[must_use]
    pub fn block(&self, partition: Uuid, block: u8) -> Option<u64> {
        Some(self.cluster.partition(&self.node, partition)?.blocks.get(block))
    }

    /// Lets so many milliseconds pass.
    pub fn run_for(&mut self, millis: u64) {
        for _ in 0..millis / TICK {
            self.tick();
        }
    }

    fn array(&mut self, uuid: Uuid) -> Option<&mut Array> {
        self.cluster.nodes.get_mut(&self.node)?.kernel.arrays.get_mut(&uuid)
    }

    fn tick(&mut self) {
        self.cluster.tick();
        let (cluster, node) = (&mut self.cluster, &self.node);
        self.waiting.retain(|step| cluster.apply(node, step) == Effect::Blocked);
    }
}
