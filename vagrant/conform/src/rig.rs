//! What a script can do to a kernel, be it simulated or real.

use std::time::Duration;

use anyhow::Result;
use mdfabric::domain::Endpoint;
use mdfabric::plan::{ArraySeen, Dev, Observation, Outcome, Step, StepFailure};
use uuid::Uuid;

/// A kernel's call that has not returned after this long waits for something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    Failed,
    /// It has not returned.
    Waits,
}

pub(crate) trait Rig {
    /// Where the node's own target shall listen.
    fn endpoint(&self) -> Endpoint;

    fn look(&mut self) -> Result<Observation>;

    /// Does a step; nothing if it has not returned after [`PATIENCE`].
    fn apply(&mut self, step: &Step) -> Option<Result<Outcome, StepFailure>>;

    /// Zeroes what a script can tell of a partition: what comes before its blocks, and the blocks.
    fn blank(&mut self, partition: Uuid, dev: Dev) -> Result<()>;

    /// Writes a version into a block of an array.
    fn write(&mut self, uuid: Uuid, array: &ArraySeen, block: u8, version: u64) -> Result<Written>;

    /// Which version a partition holds in a block.
    fn read(&mut self, partition: Uuid, dev: Dev, block: u8) -> Result<u64>;

    /// Opens an array for somebody, or closes it.
    fn set_open(&mut self, uuid: Uuid, array: &ArraySeen, open: bool) -> Result<()>;

    fn pass(&mut self, time: Duration);
}
