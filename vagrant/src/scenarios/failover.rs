//! An owner dies: its volume goes on elsewhere, and what comes back is made anew.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{self, start_and_wait, volume};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, copies, copies_are_equal, is_clean, is_settled_on, remove, until, verb,
    written_volume, written_xfs,
};
use crate::supervisor::control::Power;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "owner_dies_volume_is_attached_elsewhere",
        shows: "after a power cut of its owner a volume is taken over on another node, nothing acknowledged is lost; \
                the dead owner's copy comes back by a full copy, never by bitmap",
        lab: Needs::Cluster,
        run: owner_dies,
    },
    Scenario {
        name: "owner_dies_with_the_only_copy",
        shows: "the volume of a dead owner that has the only copy is waited for, by name, and served once that is back",
        lab: Needs::Cluster,
        run: only_copy_dies,
    },
    Scenario {
        name: "store_outage_declares_nobody_dead",
        shows: "a store that is paused for half a minute makes nobody dead: writes go on, and a hand-over waits for the release",
        lab: Needs::Cluster,
        run: store_outage,
    },
];

/// An owner is taken for dead 15 s after its last heartbeat; a fail-over may take that and a little more.
pub(super) const FAIL_OVER_DEADLINE: Duration = Duration::from_mins(2);

/// What an orchestrator says when a node has died: not there any more, but here.
pub(super) fn attach_elsewhere(to: &Node) -> Result<()> {
    verb(to, "volume detach vol --no-wait")?;
    verb(to, &format!("volume attach vol --node {} --no-wait", to.name()))?;
    verb(to, "volume mount vol /mnt/vol --no-wait").map(drop)
}

pub(super) fn is_mounted(lab: &Lab, node: &Node) -> Result<()> {
    lab.wait_for(&format!("vol on {}", node.name()), FAIL_OVER_DEADLINE, || {
        let there = node.run(&["mountpoint", "-q", "/mnt/vol"])?.status == 0;
        let told = || {
            Ok::<bool, anyhow::Error>(
                daemon::word(&volume(node, "vol")?, "/status/array/mountedAt") == "/mnt/vol",
            )
        };
        Ok((there && told()?).then_some(()))
    })
}

fn owner_dies(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 21, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    load.goes_on(100)?;
    one.power_cut()?;
    load.lost()?;
    attach_elsewhere(&two)?;
    is_mounted(lab, &two)?;
    println!("    {}", claim_to_mount(&two)?);
    load.verify(&two, FILE)?;
    load.start(&two, FILE)?;
    let record = volume(&two, "vol")?;
    ensure!(daemon::synced_on(&record) == ["node-2"], "in sync: {:?}", daemon::synced_on(&record));

    one.power_on()?;
    one.wait_up()?;
    start_and_wait(lab, &one)?;
    is_whole_again(lab, &two, load)
}

/// The old owner's copy has come back by a full copy while node-2 wrote, and every judge is content.
pub(super) fn is_whole_again(lab: &Lab, two: &Node, mut load: Load<'_>) -> Result<()> {
    until(lab, two, "vol", "two copies again", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    load.goes_on(20)?;
    load.stop()?;
    is_copied_in_full(two)?;
    copies_are_equal(lab, two, "vol", 0)?;
    load.verify(two, FILE)?;
    verb(two, "volume unmount vol")?;
    is_clean(two, "vol")?;
    copies(lab, two, "vol")?.iter().try_for_each(|copy| copy.examine().map(drop))?;
    remove(lab, two, "vol")
}

/// From the claim to the mounted file system.
fn claim_to_mount(owner: &Node) -> Result<String> {
    Ok(format!("from claim to mounted: {}", hops(owner, "event of vol: OwnerLost", "done: mount vol")?))
}

/// What a node did from the last line with `begin` to the first with `end` after it, by its own flight recorder.
pub(super) fn hops(node: &Node, begin: &str, end: &str) -> Result<String> {
    let story = verb(node, "recorder --tail 2000")?;
    let lines: Vec<&str> = story.lines().collect();
    let from =
        lines.iter().rposition(|line| line.contains(begin)).with_context(|| format!("no {begin:?}"))?;
    let after = lines.get(from..).unwrap_or_default();
    let to = after.iter().position(|line| line.contains(end)).with_context(|| format!("no {end:?}"))?;
    let start = millis_of_day(after.first().context("nothing was done")?)?;
    let steps = after.iter().take(to + 1).filter(|line| line.contains("done: "));
    let steps: Result<Vec<String>> = steps
        .map(|line| {
            let what = line.split("done: ").nth(1).unwrap_or_default();
            let word = what.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            Ok(format!("{word} at {} ms", millis_of_day(line)? - start))
        })
        .collect();
    Ok(steps?.join(", "))
}

/// `2026-11-21T12:01:51.123Z …`
fn millis_of_day(line: &str) -> Result<i64> {
    let time = line.split_once('T').and_then(|(_, rest)| rest.split_once('Z')).context("no time")?.0;
    let mut parts = time.split([':', '.']).map(str::parse::<i64>);
    let mut next = || parts.next().context("no time")?.context("no number");
    Ok(((next()? * 60 + next()?) * 60 + next()?) * 1000 + next()?)
}

/// The copy that the dead owner could write to was filled from the beginning.
fn is_copied_in_full(owner: &Node) -> Result<()> {
    let how = how_it_was_filled(owner, 1)?;
    ensure!(how.contains("(Full recovery)"), "it was added by another way: {how}");
    Ok(())
}

/// What the owner's daemon wrote about so many members that it added last.
pub(super) fn how_it_was_filled(owner: &Node, members: usize) -> Result<String> {
    let look = format!("grep -E 'done step=add .*recovery' {} | tail -n {members}", daemon::LOG);
    Ok(owner.sh(&look)?.ok()?.stdout)
}

fn only_copy_dies(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 22, "--replicas 1 --on node-1")?;
    let two = lab.node("node-2")?;
    load.goes_on(100)?;
    one.power_cut()?;
    load.lost()?;
    attach_elsewhere(&two)?;
    until(lab, &two, "vol", "it waits for node-1", |record| {
        daemon::word(record, "/status/owner") == "node-2"
            && record.pointer("/status/reasons").is_some_and(|reasons| reasons.to_string().contains("node-1"))
    })?;
    let said = verb(&two, "explain volume/vol")?;
    ensure!(said.contains("node-1"), "explain does not name the node: {said}");
    one.power_on()?;
    one.wait_up()?;
    start_and_wait(lab, &one)?;
    is_mounted(lab, &two)?;
    load.verify(&two, FILE)?;
    until(lab, &two, "vol", "it has followed its owner", |record| is_settled_on(record, &["node-2"]))?;
    verb(&two, "volume unmount vol")?;
    is_clean(&two, "vol")?;
    remove(lab, &two, "vol")
}

/// Longer than a node may be silent.
const OUTAGE: Duration = Duration::from_secs(30);

fn store_outage(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (_, mut load) = written_volume(lab, 23, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    lab.etcd_power(Power::Pause)?;
    let end = Instant::now() + OUTAGE;
    while Instant::now() < end {
        load.goes_on(50)?;
    }
    load.stop()?;
    lab.etcd_power(Power::Resume)?;
    // The wish is there before anybody can have been heard of.
    attach_elsewhere(&two)?;
    is_mounted(lab, &two)?;
    let record = volume(&two, "vol")?;
    let events = record.pointer("/status/events").map(ToString::to_string).unwrap_or_default();
    ensure!(!events.contains("OwnerLost"), "somebody was taken for dead: {events}");
    load.verify(&two, FILE)?;
    verb(&two, "volume unmount vol")?;
    is_clean(&two, "vol")?;
    remove(lab, &two, "vol")
}
