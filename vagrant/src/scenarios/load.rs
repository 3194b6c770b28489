//! The writer and the verifier: the instruments themselves are shown to measure.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::load::{BRISK, Work, acks, next_version};
use crate::node::Node;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lab_writer_loses_nothing_over_a_power_cut",
        shows: "every write logged outside the node is on the drive after a power cut, and a single flipped bit is found",
        lab: Needs::Blank,
        run: survives_power_cut,
    },
    Scenario {
        name: "lab_moves_bytes_between_guests",
        shows: "TCP between two guests is fast enough for storage tests",
        lab: Needs::AsIs,
        run: moves_bytes,
    },
];

fn survives_power_cut(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let node = lab.node("node-3")?;
    let mut work = Work { path: drive_a(&node)?, size: 64 << 20, seed: 42, rest: BRISK };
    let writer = work.start(&node, 1)?;
    lab.wait_for("500 acknowledged writes", Duration::from_mins(1), || {
        Ok((writer.acks()?.len() >= 500).then_some(()))
    })?;
    node.power_cut()?;
    node.power_on()?;
    node.wait_up()?;

    work.path = drive_a(&node)?;
    let log = node.ack_log()?;
    let verdict = work.verify(&node, std::slice::from_ref(&log))?;
    ensure!(verdict.is_good() && verdict.acknowledged >= 500, "{verdict:?}");

    let next = next_version(&[acks(&node)?]);
    let writer = work.start(&node, next)?;
    lab.wait_for("writes of the second writer", Duration::from_mins(1), || {
        Ok(writer.acks()?.last().is_some_and(|ack| ack.version > next + 50).then_some(()))
    })?;
    let summary = writer.stop()?;
    ensure!(summary.writes > 50 && summary.error.is_none(), "{summary:?}");
    let log = node.ack_log()?;
    ensure!(work.verify(&node, std::slice::from_ref(&log))?.is_good(), "the second writer lost something");

    let first = acks(&node)?.first().copied().context("an empty log")?;
    let flip = format!(
        "printf X | dd of={} bs=1 seek={} conv=notrunc && sync",
        work.path,
        first.block * 4096 + 4000
    );
    node.sh(&flip)?.ok()?;
    let verdict = work.verify(&node, &[log])?;
    ensure!(verdict.wrong_blocks == 1, "a damaged block went unseen: {verdict:?}");
    Ok(())
}

/// Names change from boot to boot: the drive is the one with the serial.
fn drive_a(node: &Node) -> Result<String> {
    let serial = format!("{}-a", node.name());
    let find = format!("basename $(dirname $(dirname $(grep -l {serial} /sys/block/nvme*/device/serial)))");
    Ok(format!("/dev/{}", node.sh(&find)?.ok()?.text()))
}

fn moves_bytes(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (from, to) = (lab.node("node-1")?, lab.node("node-2")?);
    let sink = to.spawn_captured(&["lab", "tcp-sink", "--port", "7777"])?;
    let target = format!("{}:7777", to.address());
    lab.wait_for("the sink to listen", Duration::from_secs(20), || {
        Ok(to.sh("grep -q ':1E61 00000000:0000 0A' /proc/net/tcp")?.status.eq(&0).then_some(()))
    })?;
    from.run(&["lab", "tcp-source", "--to", &target, "--seconds", "4"])?.ok()?;
    let output = sink.wait(Duration::from_secs(30))?.ok()?;
    println!("    {}", output.text());
    let speed: f64 = output.text().split_whitespace().next().context("no speed")?.parse()?;
    ensure!(speed > 20.0, "only {speed} MB/s");
    Ok(())
}
