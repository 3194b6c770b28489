//! The life of a volume: made, written, handed on, deleted without a trace.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::daemon::word;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{Copy, Load, copies, device, free_bytes, is_clean, list, nothing_left, remove, verb};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "volume_life_xfs",
        shows: "two copies: written on one node, read on another; USED is what df says; mdadm, xfs_repair and sfdisk content; deleted without a trace",
        lab: Needs::Cluster,
        run: life_xfs,
    },
    Scenario {
        name: "volume_life_ext4_and_raw",
        shows: "the same life with three copies of ext4, and with one copy of a raw block device",
        lab: Needs::Cluster,
        run: life_ext4_and_raw,
    },
];

const MOUNT: &str = "/mnt/vol";
const FILE: &str = "/mnt/vol/data";
/// Bytes that are written beside the load, so that what is in use moves.
const WRITTEN: u64 = 64 << 20;
/// 2 % of the volume: twice what is not worth a record, since the file system has metadata that moves by itself.
const NOT_TOLD: u64 = (320 << 20) / 50;
/// What is in use is measured every minute.
const USE_DEADLINE: Duration = Duration::from_mins(3);

fn life_xfs(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let free = free_bytes(&lab.node("node-1")?)?;
    mounted_life(lab, "--fs xfs --replicas 2 --on node-1 --on node-2")?;
    let one = lab.node("node-1")?;
    lab.wait_for("the space to be free again", Duration::from_secs(30), || {
        Ok((free_bytes(&one)? == free).then_some(()))
    })
}

fn life_ext4_and_raw(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    mounted_life(lab, "--fs ext4 --sector-size 512 --replicas 3")?;
    raw_life(lab)
}

/// Written on node-1, read and judged on node-2, deleted from node-3.
fn mounted_life(lab: &Lab, spec: &str) -> Result<()> {
    let [one, two, three] = [lab.node("node-1")?, lab.node("node-2")?, lab.node("node-3")?];
    verb(&one, &format!("volume create vol --size 320MiB {spec}"))?;
    verb(&one, "volume attach vol")?;
    verb(&one, &format!("volume mount vol {MOUNT}"))?;
    let mut load = Load::new(lab, 1);
    load.start(&one, FILE)?;
    load.goes_on(200)?;
    load.stop()?;
    let used = use_is_shown(lab, &one)?;
    verb(&one, "volume detach vol")?;
    ensure!(uses(&one, "vol")? == used, "what was in use is not known any more");

    let copies = copies(lab, &one, "vol")?;
    ensure!(copies.len() >= 2 && copies.len() == used.len(), "only {} copies", copies.len());
    let said: Vec<String> = copies.iter().map(Copy::examine).collect::<Result<_>>()?;
    let ages: BTreeSet<&str> = said.iter().filter_map(|said| field(said, "Events")).collect();
    ensure!(ages.len() == 1, "the copies differ in age: {said:?}");

    verb(&one, "volume attach vol --node node-2")?;
    verb(&one, &format!("volume mount vol {MOUNT}"))?;
    let verdict = load.verify(&two, FILE)?;
    println!("    {} acknowledged writes are there", verdict.acknowledged);
    verb(&two, "volume unmount vol")?;
    is_clean(&two, "vol")?;
    remove(lab, &three, "vol")
}

/// USED of each copy.
fn uses(asked: &Node, volume: &str) -> Result<Vec<Option<u64>>> {
    let records = list(asked, "replica")?;
    let of_volume = records.iter().filter(|record| word(record, "/spec/volume") == volume);
    Ok(of_volume.map(|record| record.pointer("/used").and_then(Value::as_u64)).collect())
}

/// Every copy has in use what was written and what df says, up to what is not worth a record.
fn use_is_shown(lab: &Lab, owner: &Node) -> Result<Vec<Option<u64>>> {
    owner.sh(&format!("dd if=/dev/zero of={MOUNT}/more bs={WRITTEN} count=1 conv=fsync"))?.ok()?;
    let said = owner.sh(&format!("df -B1 --output=used {MOUNT} | tail -n 1"))?.ok()?;
    let df: u64 = said.text().parse().with_context(|| format!("df: {}", said.text()))?;
    let is_so = |used: &Option<u64>| used.is_some_and(|used| used >= WRITTEN && used.abs_diff(df) < NOT_TOLD);
    let used = lab.wait_for(&format!("USED to become {df}"), USE_DEADLINE, || {
        let used = uses(owner, "vol")?;
        Ok((!used.is_empty() && used.iter().all(is_so)).then_some(used))
    })?;
    println!("    USED {used:?}, df {df}");
    Ok(used)
}

/// The value of a line of `mdadm --examine`.
fn field<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let line = said.lines().find(|line| line.trim_start().starts_with(name))?;
    line.split_once(" : ").map(|(_, value)| value.trim())
}

/// One copy on node-1, written through its device there and read through the fabric on node-2.
fn raw_life(lab: &Lab) -> Result<()> {
    let [one, two] = [lab.node("node-1")?, lab.node("node-2")?];
    verb(&one, "volume create raw --size 320MiB --fs raw --replicas 1 --on node-1 --locality fixed")?;
    verb(&one, "volume attach raw")?;
    let mut load = Load::new(lab, 2);
    load.start(&one, &device(&one, "raw")?)?;
    load.goes_on(200)?;
    load.stop()?;
    ensure!(uses(&one, "raw")? == [None], "nobody knows what is in use of a raw volume");
    verb(&one, "volume detach raw")?;
    verb(&one, "volume attach raw --node node-2")?;
    load.verify(&two, &device(&two, "raw")?)?;
    remove(lab, &two, "raw")?;
    nothing_left(lab)
}
