//! How long writes wait for a provider that goes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::failover::how_it_was_filled;
use super::moves::{Sampled, Sampler};
use super::{Needs, Scenario, Stage};
use crate::daemon::{self, kill, start_and_wait, volume};
use crate::guest::writer::Summary;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{FILE, Load, TWO_COPIES, is_settled_on, remove, until, verb, written_xfs};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "stall_provider_power_cut",
        shows: "a provider loses power without a word: it is found out of reach by its daemon and its kernel, the longest write is \
                printed; back, it is filled by bitmap",
        lab: Needs::Cluster,
        run: power_cut,
    },
    Scenario {
        name: "stall_provider_shut_down",
        shows: "a provider that is told to go down says goodbye and is let go before it goes; the longest write is printed",
        lab: Needs::Cluster,
        run: shut_down,
    },
    Scenario {
        name: "stall_blip_costs_no_resync",
        shows: "a short cut of the network, and seconds without the provider's daemon, cost no copy and no resync",
        lab: Needs::Cluster,
        run: blip,
    },
];

/// A cut that TCP gets over by itself.
const BLIP: Duration = Duration::from_millis(150);
/// Much longer than a peer may be silent.
const NO_DAEMON: Duration = Duration::from_secs(5);

fn power_cut(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 31, TWO_COPIES)?;
    load.goes_on(50)?;
    lab.node("node-2")?.power_cut()?;
    let summary = goes_on_alone(lab, &one, &mut load)?;
    tell("power cut", &summary);
    tell_hops(&one)?;
    comes_back_by_bitmap(lab, &one, &load)
}

fn shut_down(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 32, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    load.goes_on(50)?;
    // What the shipped units do when the machine goes down: the goodbye, then the daemon, at last the power.
    ensure!(two.kill_process("mdfabric", "PWR")?, "no daemon runs on node-2");
    ensure!(two.kill_process("mdfabric", "TERM")?, "the goodbye ended the daemon");
    until(lab, &one, "vol", "node-2 is let go", |record| daemon::synced_on(record) == ["node-1"])?;
    let said = verb(&one, "explain node/node-2")?;
    ensure!(said.contains("node-2 said that it goes down"), "{said}");
    two.power_cut()?;
    let summary = goes_on_alone(lab, &one, &mut load)?;
    tell("shut down", &summary);
    tell_hops(&one)?;
    comes_back_by_bitmap(lab, &one, &load)
}

fn blip(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 33, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    load.goes_on(50)?;
    let sampler = Sampler::start(&one)?;
    lab.cut("node-1", "node-2")?;
    std::thread::sleep(BLIP);
    lab.heal()?;
    load.goes_on(100)?;
    let summary = load.stop()?;
    tell("blip", &summary);
    load.start(&one, FILE)?;
    kill(&two)?;
    let end = Instant::now() + NO_DAEMON;
    while Instant::now() < end {
        load.goes_on(20)?;
    }
    let said = verb(&one, "explain node/node-2")?;
    ensure!(said.contains("node-2 is silent on the data network"), "{said}");
    start_and_wait(lab, &two)?;
    load.goes_on(20)?;
    tell("no daemon", &load.stop()?);
    let Sampled { fewest, looks, .. } = sampler.stop()?;
    ensure!(fewest == 2, "only {fewest} members were in sync at one of {looks} looks");
    let events = volume(&one, "vol")?.pointer("/status/events").map(ToString::to_string).unwrap_or_default();
    ensure!(!events.contains("MemberMissing"), "a copy was let go: {events}");
    load.verify(&one, FILE)?;
    verb(&one, "volume unmount vol")?;
    remove(lab, &one, "vol")
}

/// The owner writes on with its own copy alone.
fn goes_on_alone(lab: &Lab, one: &Node, load: &mut Load<'_>) -> Result<Summary> {
    until(lab, one, "vol", "node-2 is let go", |record| daemon::synced_on(record) == ["node-1"])?;
    load.goes_on(100)?;
    load.stop()
}

/// The longest write, and beside it what the guest itself does to a thread.
fn tell(what: &str, summary: &Summary) {
    let [stall, pause] = [summary.longest_stall_ns, summary.longest_pause_ns].map(Duration::from_nanos);
    println!("    {what}: longest write {stall:.0?}, the guest's own longest pause {pause:.0?}");
}

/// What the time consists of, by the owner's log: out of reach, recorded, let go.
fn tell_hops(owner: &Node) -> Result<()> {
    let hops = "data network, and|could not record|let leg";
    let log = owner.sh(&format!("grep -hE '{hops}' {} | tail -n 3", daemon::LOG))?.ok()?;
    log.stdout.lines().for_each(|line| println!("      {line}"));
    let story = verb(owner, "recorder --tail 1000")?;
    let recorded = story.lines().rfind(|line| line.contains("event of vol: MemberMissing"));
    println!("      {}", recorded.context("no loss was recorded")?);
    Ok(())
}

fn comes_back_by_bitmap(lab: &Lab, one: &Node, load: &Load<'_>) -> Result<()> {
    let two = lab.node("node-2")?;
    two.power_on()?;
    two.wait_up()?;
    start_and_wait(lab, &two)?;
    until(lab, one, "vol", "two copies again", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    let how = how_it_was_filled(one, 1)?;
    ensure!(how.contains("(Bitmap recovery)"), "it was added by another way: {how}");
    load.verify(one, FILE)?;
    verb(one, "volume unmount vol")?;
    remove(lab, one, "vol")
}
