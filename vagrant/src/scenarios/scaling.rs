//! More copies and fewer while an application writes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::moves::{Phases, Sampled, Sampler, is_local_and_missing};
use super::{Needs, Scenario, Stage, refused};
use crate::daemon::{mdfabric, synced_on, volume, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    Copy, FILE, Load, copies, device, free_bytes, is_clean, is_settled_on, remove, until, verb,
    written_volume, written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "scale_1_2_3_2_1_under_load",
        shows: "a volume gets a second and a third copy and loses them again while a writer writes: never fewer in sync than counted, each said once, nothing lost",
        lab: Needs::Cluster,
        run: one_two_three_two_one,
    },
    Scenario {
        name: "scale_down_refused_when_not_in_sync",
        shows: "while one of three copies is missed no good one can be dropped; when it is back and in sync, one can",
        lab: Needs::Cluster,
        run: refused_when_not_in_sync,
    },
];

/// What [`written_xfs`] has, bytes.
const SIZE: u64 = 320 << 20;
/// The events of the whole way, in the words that users know, each of them once.
const SAID: [&str; 6] = [
    "successfully scaled volume replicas to 2",
    "successfully scaled volume replicas to 3",
    "Scaling down volume replicas from 3 to 2 is in progress",
    "successfully scaled volume replicas to 2",
    "Scaling down volume replicas from 2 to 1 is in progress",
    "successfully scaled volume replicas to 1",
];

fn one_two_three_two_one(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 31, "--replicas 1 --on node-1")?;
    let phases = Phases::start(&one)?;
    edit(lab, &one, "--add-replica node-2/node-2-a", &["node-1", "node-2"])?;
    load.goes_on(20)?;
    let sampler = Sampler::start(&one)?;
    edit(lab, &one, "--replicas 3", &["node-1", "node-2", "node-3"])?;
    load.goes_on(20)?;
    has_members(lab, &one, 3)?;
    foretold(&one)?;
    let third = copy_on(lab, &one, "node-3")?;
    third.examine()?;
    let free = free_on(&one, &third)?;
    let said = edit(lab, &one, "--replicas 2", &["node-1", "node-2"])?;
    ensure!(said.contains("node-3 goes: it is not on the node that owns the volume"), "{said}");
    let Sampled { fewest, looks, .. } = sampler.stop()?;
    ensure!(fewest >= 2, "only {fewest} members were in sync at one of {looks} looks");
    third.is_wiped()?;
    is_free_again(lab, &one, &third, free)?;
    has_members(lab, &one, 2)?;
    phases.went(&["Synced", "Syncing", "Synced", "Syncing", "Synced", "Replacing", "Synced"])?;
    longest_write(&mut load)?;

    read_where_the_second_copy_is(lab, &one, &load)?;

    load.start(&one, FILE)?;
    let second = copy_on(lab, &one, "node-2")?;
    edit(lab, &one, "--remove-replica node-2", &["node-1"])?;
    load.goes_on(20)?;
    second.is_wiped()?;
    is_local_and_missing(lab, &one, "vol")?;
    longest_write(&mut load)?;
    let events = events(&volume(&one, "vol")?);
    ensure!(events == SAID, "events: {events:#?}");
    ensure!(verb(&one, "explain volume/vol")?.contains(SAID[5]), "explain does not tell the event");
    end(lab, &one, &load)
}

/// Asks for a change, waits as a user does, and sees that the copies are where they shall be.
fn edit(lab: &Lab, asked: &Node, change: &str, nodes: &[&str]) -> Result<String> {
    let said = verb(asked, &format!("volume edit vol {change}"))?;
    println!("    {change}: {}", said.trim().replace('\n', "; "));
    until(lab, asked, "vol", change, |record| is_settled_on(record, nodes))?;
    Ok(said)
}

/// As many active members as slots, as mdadm sees it.
fn has_members(lab: &Lab, owner: &Node, count: u32) -> Result<()> {
    let device = device(owner, "vol")?;
    let lines = [
        format!("Raid Devices : {count}\n"),
        format!("Active Devices : {count}\n"),
        format!("Total Devices : {count}\n"),
    ];
    lab.wait_for(&format!("mdadm to see {count} members"), Duration::from_secs(30), || {
        let detail = owner.run(&["mdadm", "--detail", &device])?.ok()?.stdout;
        Ok(lines.iter().all(|line| detail.contains(line)).then_some(()))
    })
}

/// The dry run names the copy that would go and what would be done with it, and nothing is done.
fn foretold(owner: &Node) -> Result<()> {
    let generation = |record: &Value| record.pointer("/spec/placement/generation").cloned();
    let before = generation(&volume(owner, "vol")?);
    let said = verb(owner, "volume edit vol --replicas 2 --dry-run")?;
    for words in ["node-3 goes", "would be done", "node-1: mark", "slots", "node-3: fence", "node-3: erase"] {
        ensure!(said.contains(words), "{words:?} is not in\n{said}");
    }
    let record = volume(owner, "vol")?;
    ensure!(generation(&record) == before && synced_on(&record).len() == 3, "it was done");
    Ok(())
}

fn copy_on(lab: &Lab, asked: &Node, node: &str) -> Result<Copy> {
    let all = copies(lab, asked, "vol")?;
    all.into_iter().find(|copy| copy.node.name() == node).with_context(|| format!("no copy on {node}"))
}

/// What `drive ls` says is free where a copy is.
fn free_on(asked: &Node, copy: &Copy) -> Result<u64> {
    let all = free_bytes(asked)?;
    let found = all.iter().find(|(drive, _)| *drive == copy.serial);
    found.map(|(_, free)| *free).with_context(|| format!("no drive {}", copy.serial))
}

/// The space of a copy that went is: `before` was free while it was there.
fn is_free_again(lab: &Lab, asked: &Node, copy: &Copy, before: u64) -> Result<()> {
    lab.wait_for(&format!("the space on {} to be free again", copy.serial), Duration::from_secs(30), || {
        Ok((free_on(asked, copy)? >= before + SIZE).then_some(()))
    })
}

pub(super) fn longest_write(load: &mut Load<'_>) -> Result<()> {
    let summary = load.stop()?;
    let [stall, pause] = [summary.longest_stall_ns, summary.longest_pause_ns].map(Duration::from_nanos);
    println!("    {} writes, longest {stall:.0?}, the guest's own longest pause {pause:.0?}", summary.writes);
    Ok(())
}

/// The copy that was added serves reads alone where it is, and has every write.
fn read_where_the_second_copy_is(lab: &Lab, one: &Node, load: &Load<'_>) -> Result<()> {
    let two = lab.node("node-2")?;
    for node in [&two, one] {
        verb(one, "volume detach vol")?;
        verb(one, &format!("volume attach vol --node {}", node.name()))?;
        verb(one, "volume mount vol /mnt/vol")?;
        load.verify(node, FILE)?;
    }
    Ok(())
}

/// What was said about the number of copies, oldest first.
fn events(record: &Value) -> Vec<String> {
    let events = record.pointer("/status/events").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_scaling = events.iter().filter(|event| word(event, "/reason") == "ScalingVolumeReplicas");
    of_scaling.map(|event| word(event, "/message")).collect()
}

fn refused_when_not_in_sync(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 32, "--replicas 3 --on node-1")?;
    lab.cut("node-1", "node-3")?;
    until(lab, &one, "vol", "node-3 to be missed", |record| synced_on(record) == ["node-1", "node-2"])?;
    load.goes_on(20)?;
    for drop_a_good_one in ["--remove-replica node-2", "--remove-replica node-1"] {
        let line = format!("volume edit vol {drop_a_good_one}");
        refused(&one, &line, 1, &["vol", "node-3", "not in sync", "Missing"])?;
        let dry = format!("{line} --dry-run");
        refused(&one, &dry, 1, &["vol", "node-3", "not in sync"])?;
    }
    let kept = synced_on(&volume(&one, "vol")?);
    ensure!(kept == ["node-1", "node-2"], "in sync are {kept:?}");
    let told = mdfabric(&one, &["volume", "edit", "vol", "--remove-replica", "node-2"])?;
    println!("    {}", told.stderr.trim().replace('\n', " | "));

    lab.heal()?;
    let all = ["node-1", "node-2", "node-3"];
    until(lab, &one, "vol", "node-3 to be in sync again", |record| is_settled_on(record, &all))?;
    let came_back = verb(&one, "recorder --tail 400")?;
    ensure!(came_back.contains("(Bitmap recovery)"), "node-3's copy did not come back by bitmap");
    let second = copy_on(lab, &one, "node-2")?;
    edit(lab, &one, "--remove-replica node-2", &["node-1", "node-3"])?;
    println!("    explain:\n{}", verb(&one, "explain volume/vol")?.trim());
    second.is_wiped()?;
    load.goes_on(20)?;
    longest_write(&mut load)?;
    let said = events(&volume(&one, "vol")?);
    ensure!(said == SAID[2..4], "events: {said:#?}");
    end(lab, &one, &load)
}

/// Every write is there, the file system is clean, and nothing stays behind.
fn end(lab: &Lab, owner: &Node, load: &Load<'_>) -> Result<()> {
    load.verify(owner, FILE)?;
    verb(owner, "volume unmount vol")?;
    is_clean(owner, "vol")?;
    remove(lab, owner, "vol")
}
