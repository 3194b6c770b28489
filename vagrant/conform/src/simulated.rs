//! The simulated kernel.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mdfabric::domain::{Bytes, DriveId, Endpoint};
use mdfabric::plan::{ArraySeen, Dev, Observation, Outcome, Step, StepFailure};
use mdfabric::sim::Bench;
use uuid::Uuid;

use crate::play::node;
use crate::rig::{PATIENCE, Rig, Written};

pub(crate) struct Simulated(Bench);

impl Simulated {
    pub(crate) fn new(drives: &[DriveId]) -> Result<Self> {
        Ok(Self(Bench::new(&node()?, drives, Bytes::gib(2))))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Rig for Simulated {
    fn endpoint(&self) -> Endpoint {
        self.0.endpoint()
    }

    fn look(&mut self) -> Result<Observation> {
        Ok(self.0.observe())
    }

    fn apply(&mut self, step: &Step) -> Option<Result<Outcome, StepFailure>> {
        self.0.apply(step, millis(PATIENCE))
    }

    fn blank(&mut self, partition: Uuid, dev: Dev) -> Result<()> {
        match self.apply(&Step::Erase { partition, dev }) {
            Some(Ok(_)) => Ok(()),
            other => bail!("blank {partition}: {other:?}"),
        }
    }

    fn write(&mut self, uuid: Uuid, _: &ArraySeen, block: u8, version: u64) -> Result<Written> {
        Ok(match self.0.write(uuid, block, version, millis(PATIENCE)) {
            Some(true) => Written::Done,
            Some(false) => Written::Failed,
            None => Written::Waits,
        })
    }

    fn read(&mut self, partition: Uuid, _: Dev, block: u8) -> Result<u64> {
        self.0.block(partition, block).context("no such partition")
    }

    fn set_open(&mut self, uuid: Uuid, _: &ArraySeen, open: bool) -> Result<()> {
        self.0.set_open(uuid, open);
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.0.run_for(millis(time));
    }
}
