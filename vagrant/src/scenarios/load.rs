//! The writer and the verifier: the instruments themselves are shown to measure.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::guest::verify::Verdict;
use crate::guest::writer::Summary;
use crate::node::{Node, Output};
use crate::qemu::LOG_PORT;

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

const SEED: &str = "42";
const DRIVE: &str = "/dev/nvme0n1";

fn survives_power_cut(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let node = lab.node("node-3")?;
    let serial = node.sh("cat /sys/block/nvme0n1/device/serial")?.ok()?;
    node.spawn(&["lab", "writer", "--path", DRIVE, "--size", "67108864", "--seed", SEED, "--log", LOG_PORT])?;
    lab.wait_for("500 acknowledged writes", Duration::from_mins(1), || {
        Ok((node.ack_log()?.len() >= 500 * crate::guest::ack::RECORD).then_some(()))
    })?;
    node.power_cut()?;
    node.power_on()?;
    node.wait_up()?;
    let found = node
        .sh(&format!(
            "echo /dev/$(basename $(grep -l '{}' /sys/block/nvme*/device/serial | \
                                  sed 's,/device/serial,,'))",
            serial.text()
        ))?
        .ok()?;
    let path = found.text();

    node.put_file("/tmp/acks", &node.ack_log()?)?;
    let verdict: Verdict = parse(&verify(&node, path)?.ok()?)?;
    ensure!(verdict.is_good() && verdict.acknowledged >= 500, "{verdict:?}");

    let first = crate::guest::ack::parse(&node.ack_log()?)
        .and_then(|acks| acks.first().copied())
        .context("no log")?;
    let at = (first.block * 4096 + 4000).to_string();
    let flip = format!("printf X | dd of={path} bs=1 seek={at} conv=notrunc && sync");
    node.sh(&flip)?.ok()?;
    let judged = verify(&node, path)?;
    let verdict: Verdict = parse(&judged)?;
    ensure!(judged.status == 1 && verdict.wrong_blocks == 1, "a damaged block went unseen: {verdict:?}");

    let script = "lab writer --path /var/lib/mdfabric/w --size 1048576 --seed 1 --log /tmp/w --count 50 && \
                          lab verify --path /var/lib/mdfabric/w --seed 1 --log /tmp/w >/dev/null"
        .to_string();
    let summary: Summary = parse(&node.sh(&script)?.ok()?)?;
    ensure!(summary.writes == 50 && summary.error.is_none(), "{summary:?}");
    Ok(())
}

fn verify(node: &Node, path: &str) -> Result<Output> {
    node.run(&["lab", "verify", "--path", path, "--seed", SEED, "--log", "/tmp/acks"])
}

fn parse<T: serde::de::DeserializeOwned>(output: &Output) -> Result<T> {
    serde_json::from_str(output.text()).with_context(|| format!("{}{}", output.stdout, output.stderr))
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
