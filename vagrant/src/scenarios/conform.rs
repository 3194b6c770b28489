//! What the simulation takes a kernel for, laid beside one.

use std::time::Duration;

use anyhow::Result;

use super::{Needs, Scenario, Stage};
use crate::lab::Lab;
use crate::spec::{DriveSpec, NodeSpec};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "simulated_kernel_does_as_the_real_one",
    shows: "the same steps, played on the simulation and on a guest's kernel, come to the same: stale halves, bitmaps, slots, \
            queueing legs",
    lab: Needs::Nothing,
    run: does_the_same,
}];

/// For all scripts.
const DEADLINE: Duration = Duration::from_mins(20);

fn does_the_same(stage: &mut Stage<'_>) -> Result<()> {
    let drives = ["a", "b", "c"].map(|letter| DriveSpec::usual("node-1", letter));
    let serials = drives.clone().map(|drive| drive.serial);
    let spec = NodeSpec { drives: drives.to_vec(), ..NodeSpec::usual(1) };
    let lab = Lab::private_with(stage.parts, vec![spec])?;
    let program = std::iter::once("/opt/mdfabric/conform");
    let line: Vec<&str> = program.chain(serials.iter().map(String::as_str)).collect();
    let said = lab.node("node-1")?.run_for(DEADLINE, &line)?;
    println!("    {}", said.stdout.trim().replace('\n', "\n    "));
    said.ok().map(drop)
}
