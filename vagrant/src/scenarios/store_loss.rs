//! A copy is lost while the store does not answer: writes wait, or go on alone, as the volume's `onStoreLoss` says.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, start_and_wait, synced_on};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, copies_are_equal, is_clean, is_settled_on, remove, until, verb, written_volume,
};
use crate::supervisor::control::Power;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "store_and_member_lost_suspend",
        shows: "etcd and then a provider are gone: writes wait, `explain` says for what, and go on once etcd is back",
        lab: Needs::Cluster,
        run: suspend,
    },
    Scenario {
        name: "store_and_member_lost_continue",
        shows: "the same with onStoreLoss continue: writes go on, by a note that outlives the daemon; the record follows, and \
                the copy that lacks them comes back by bitmap",
        lab: Needs::Cluster,
        run: go_on,
    },
];

/// etcd and node-2 are gone.
fn lose_both<'a>(lab: &'a Lab, seed: u64, policy: &str) -> Result<(Node, Load<'a>)> {
    let (one, load) = written_volume(lab, seed, &format!("{TWO_COPIES} --on-store-loss {policy}"))?;
    load.goes_on(50)?;
    lab.etcd_power(Power::Cut)?;
    lab.node("node-2")?.power_cut()?;
    Ok((one, load))
}

fn suspend(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = lose_both(lab, 26, "suspend")?;
    says_for(lab, &one, 1)?;
    let before = one.ack_log()?.len();
    says_for(lab, &one, LONG_ENOUGH_SECONDS)?;
    ensure!(one.ack_log()?.len() == before, "a write was acknowledged");
    lab.etcd_power(Power::On)?;
    load.goes_on(50)?;
    comes_back(lab, &one, load)
}

/// Longer than an owner that may go on without the store waits for it.
const LONG_ENOUGH_SECONDS: u64 = 20;

/// `explain` says that writes have waited for the store for so many seconds.
fn says_for(lab: &Lab, one: &Node, seconds: u64) -> Result<()> {
    lab.wait_for(&format!("writes wait for {seconds} s"), Duration::from_mins(1), || {
        let said = verb(one, "explain volume/vol")?;
        let (_, age) = said.split_once("node-2 is out of reach and the store has not answered for ").unzip();
        let age =
            age.and_then(|text| text.split_once('s')).and_then(|(digits, _)| digits.parse::<u64>().ok());
        Ok(age.is_some_and(|age| age >= seconds).then_some(()))
    })
}

fn go_on(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = lose_both(lab, 27, "continue")?;
    let lost = Instant::now();
    load.goes_on(50)?;
    println!(
        "    50 writes acknowledged {:.1} s after etcd and a copy were lost",
        lost.elapsed().as_secs_f64()
    );
    let notes = one.run(&["ls", "/var/lib/mdfabric/alone"])?.ok()?;
    ensure!(notes.stdout.lines().count() == 1, "notes: {}", notes.stdout);
    kill(&one)?;
    lab.etcd_power(Power::On)?;
    start_and_wait(lab, &one)?;
    let record = until(lab, &one, "vol", "the record follows", |record| synced_on(record) == ["node-1"])?;
    let events = record.pointer("/status/events").map(ToString::to_string).unwrap_or_default();
    ensure!(events.contains("WentOnAlone"), "it is not told: {events}");
    load.goes_on(50)?;
    comes_back(lab, &one, load)?;
    let notes = one.run(&["ls", "/var/lib/mdfabric/alone"])?.ok()?;
    ensure!(notes.stdout.is_empty(), "notes are left: {}", notes.stdout);
    Ok(())
}

fn comes_back(lab: &Lab, one: &Node, mut load: Load<'_>) -> Result<()> {
    let two = lab.node("node-2")?;
    two.power_on()?;
    two.wait_up()?;
    start_and_wait(lab, &two)?;
    until(lab, one, "vol", "two copies", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    load.goes_on(20)?;
    let summary = load.stop()?;
    println!("    longest write: {} ms", summary.longest_stall_ns / 1_000_000);
    let how = super::failover::how_it_was_filled(one, 1)?;
    ensure!(how.contains("(Bitmap recovery)"), "it came back by another way: {how}");
    copies_are_equal(lab, one, "vol", 0)?;
    load.verify(one, FILE)?;
    verb(one, "volume unmount vol")?;
    is_clean(one, "vol")?;
    remove(lab, one, "vol")
}
