//! The network can be cut, slowed and healed between any two parties.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::lab::Lab;
use crate::spec::ETCD_ADDRESS;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "lab_network_can_be_cut",
    shows: "a cut takes exactly the named pair, one way or both, etcd too; delay is felt; heal undoes it all",
    lab: Needs::AsIs,
    run: can_be_cut,
}];

fn can_be_cut(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    lab.cut("node-1", "node-2")?;
    ensure!(
        !reaches(lab, "node-1", "10.77.0.2")? && !reaches(lab, "node-2", "10.77.0.1")?,
        "cut, yet they talk"
    );
    ensure!(reaches(lab, "node-1", "10.77.0.3")?, "the cut took node-3 too");
    ensure!(reaches(lab, "node-1", ETCD_ADDRESS)?, "the cut took etcd too");
    lab.heal()?;
    ensure!(reaches(lab, "node-1", "10.77.0.2")?, "healed, yet they do not talk");

    lab.cut("node-1", "etcd")?;
    ensure!(!reaches(lab, "node-1", ETCD_ADDRESS)?, "etcd was cut off, yet it answers");
    lab.heal()?;

    lab.cut_one_way("node-2", "node-3")?;
    let before = received(lab, "node-2")?;
    ensure!(!reaches(lab, "node-3", "10.77.0.2")?, "no answer can come back");
    ensure!(received(lab, "node-2")? > before, "the other direction was cut too");
    lab.heal()?;

    lab.slow("node-1", "node-3", Duration::from_millis(300), 0.0)?;
    let slow = round_trip_ms(lab, "node-1", "10.77.0.3")?;
    ensure!((600.0..1500.0).contains(&slow), "300 ms each way, yet a round trip took {slow} ms");
    lab.heal()
}

fn reaches(lab: &Lab, from: &str, address: &str) -> Result<bool> {
    Ok(lab.node(from)?.run(&["ping", "-q", "-c", "1", "-W", "2", address])?.status == 0)
}

/// Echo requests that `node` got so far.
fn received(lab: &Lab, node: &str) -> Result<u64> {
    let counted = lab.node(node)?.run(&["cat", "/sys/class/net/eth0/statistics/rx_packets"])?.ok()?;
    Ok(counted.text().parse()?)
}

fn round_trip_ms(lab: &Lab, from: &str, address: &str) -> Result<f64> {
    let output = lab.node(from)?.run(&["ping", "-c", "2", "-i", "0.2", "-W", "5", address])?.ok()?;
    let last = output.stdout.lines().filter_map(|line| line.split_once("time=")).next_back();
    let time = last.and_then(|(_, rest)| rest.split_whitespace().next());
    time.map_or_else(|| anyhow::bail!("no time in {}", output.stdout), |time| Ok(time.parse()?))
}
