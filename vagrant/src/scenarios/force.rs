//! A volume is started from an older copy, by order and on record.

use anyhow::{Result, ensure};

use super::failover::{attach_elsewhere, how_it_was_filled, is_mounted};
use super::{Needs, Scenario, Stage, refused};
use crate::daemon::{start_and_wait, synced_on, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, copies_are_equal, is_clean, is_settled_on, remove, until, verb, written_volume,
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "force_start_names_what_may_be_lost",
    shows: "the node with the only whole copy is dead: the volume waits for it by name; force-start says what an older copy \
            lacks, starts from it only when that is accepted, and writes down who did",
    lab: Needs::Cluster,
    run: force_start,
}];

/// What is written after node-2 was lost, and lost with node-1.
const LATER: &str = "/mnt/vol/later";

fn force_start(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 24, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    load.goes_on(100)?;
    load.stop()?;
    two.power_cut()?;
    until(lab, &one, "vol", "node-1 alone", |record| synced_on(record) == ["node-1"])?;
    let mut later = Load::new(lab, 25);
    later.start(&one, LATER)?;
    later.goes_on(100)?;
    one.power_cut()?;
    later.lost()?;

    two.power_on()?;
    two.wait_up()?;
    start_and_wait(lab, &two)?;
    attach_elsewhere(&two)?;
    until(lab, &two, "vol", "nobody to start from", |record| {
        let reasons = record.pointer("/status/reasons").map(ToString::to_string).unwrap_or_default();
        word(record, "/status/owner") == "node-2" && reasons.contains("NoInSyncCopyReachable")
    })?;
    order(&two)?;
    is_mounted(lab, &two)?;
    load.verify(&two, FILE)?;
    ensure!(two.run(&["test", "-e", LATER])?.status != 0, "what only node-1 knew of is on node-2");

    one.power_on()?;
    one.wait_up()?;
    start_and_wait(lab, &one)?;
    is_as_ordered(lab, &two, &load)
}

/// What may be lost is said first; it is done once that is accepted.
fn order(two: &Node) -> Result<()> {
    let explained = verb(two, "explain volume/vol")?;
    ensure!(explained.contains("volume force-start vol --from"), "the way out is not named: {explained}");
    let lost = [
        "the copy on node-2 left the in-sync set",
        "what was written since then is lost",
        "the copy on node-1 holds every write and is overwritten when it is back",
        "--accept-data-loss",
    ];
    refused(two, "volume force-start vol --from node-2", 1, &lost)?;
    refused(two, "volume force-start vol --from node-1 --accept-data-loss", 1, &["holds every write"])?;
    refused(two, "volume force-start vol --from node-3 --accept-data-loss", 1, &["has no copy node-3"])?;
    let said = verb(two, "volume force-start vol --from node-2 --accept-data-loss --no-wait")?;
    ensure!(said.contains("what was written since then is lost"), "it does not say what is lost: {said}");
    Ok(())
}

/// The newer copy has been made anew from the older one, and the record says by whose order.
fn is_as_ordered(lab: &Lab, two: &Node, load: &Load<'_>) -> Result<()> {
    let record = until(lab, two, "vol", "two copies", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    let events = record.pointer("/status/events").map(ToString::to_string).unwrap_or_default();
    ensure!(events.contains("by order of uid 0"), "who ordered it is not told: {events}");
    let how = how_it_was_filled(two, 1)?;
    ensure!(how.contains("(Full recovery)"), "the newer copy was added by another way: {how}");
    copies_are_equal(lab, two, "vol", 0)?;
    load.verify(two, FILE)?;
    refused(two, "volume force-start vol --from node-1 --accept-data-loss", 1, &["is running on node-2"])?;
    verb(two, "volume unmount vol")?;
    is_clean(two, "vol")?;
    remove(lab, two, "vol")
}
