//! Drives that hang or fail: each leaves its own objects in a state with a reason, and nobody else hears of it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::daemon::{self, start_and_wait, word};
use crate::faults::Faults;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, SMALL, TWO_COPIES, copies_are_equal, is_settled_on, list, remove, until, verb, written_volume,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "drive_hangs_is_stuck_alone",
        shows: "a drive that never answers: its volume and the drive say so with the call and what to do; a volume on other \
                drives is made, mounted, detached and deleted meanwhile; when the drive answers, all is well",
        lab: Needs::Cluster,
        run: hangs,
    },
    Scenario {
        name: "startup_steps_over_a_hung_drive",
        shows: "a daemon that starts while one of its drives hangs serves everything else, and that drive when it answers",
        lab: Needs::Cluster,
        run: hangs_at_start,
    },
    Scenario {
        name: "media_error_local_leg_both",
        shows: "writes fail on the owner's own copy and then on a leg, under load: each copy is Faulty with the reason and \
                replaced elsewhere, and nothing is lost",
        lab: Needs::Cluster,
        run: fails,
    },
];

/// The drive that hangs.
const HUNG: &str = "node-1-b";

fn hangs(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, &format!("drive add {HUNG}"))?;
    let (_, load) = written_volume(lab, 71, &format!("--replicas 2 --on node-1/{HUNG} --on node-2"))?;
    let faults = Faults::of(&one, HUNG);
    faults.hang()?;
    let record = until(lab, &one, "vol", "it is said that it is stuck", |record| stuck(record).is_some())?;
    println!("    {}", stuck(&record).unwrap_or_default());
    let said = verb(&one, &format!("explain drive/{HUNG}"))?;
    ensure!(said.contains("does not answer") && said.contains("dmesg"), "explain: {said}");
    ensure!(state(&one)? == "Stuck", "the drive is {}", state(&one)?);
    others_go_on(&one)?;
    ensure!(state(&one)? == "Stuck", "the drive is {}", state(&one)?);
    faults.answer()?;
    let record = until(lab, &one, "vol", "it is stuck no more", |record| {
        stuck(record).is_none() && is_settled_on(record, &["node-1", "node-2"])
    })?;
    println!("    {}: {}", word(&record, "/status/phase"), told(&record, &["Stuck", "Answered"])?);
    until_ready(lab, &one)?;
    load.goes_on(20)?;
    end(lab, &one, load)?;
    verb(&one, &format!("drive remove {HUNG}")).map(drop)
}

/// A volume on the other drives lives its whole life.
fn others_go_on(node: &Node) -> Result<()> {
    verb(node, &format!("volume create other {SMALL} --replicas 2 --on node-1/node-1-a --on node-2"))?;
    verb(node, "volume attach other")?;
    verb(node, "volume mount other /mnt/other")?;
    node.sh("echo written >/mnt/other/file && sync /mnt/other/file && cat /mnt/other/file")?.ok()?;
    verb(node, "volume detach other")?;
    verb(node, "volume rm other").map(drop)
}

fn hangs_at_start(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, &format!("drive add {HUNG}"))?;
    let faults = Faults::of(&one, HUNG);
    daemon::kill(&one)?;
    one.sh("echo 3 >/proc/sys/vm/drop_caches")?.ok()?;
    faults.hang()?;
    start_and_wait(lab, &one)?;
    others_go_on(&one)?;
    lab.wait_for(
        "the drive is Stuck",
        daemon::VERB_DEADLINE,
        || Ok((state(&one)? == "Stuck").then_some(())),
    )?;
    println!("    {}", verb(&one, &format!("explain drive/{HUNG}"))?.trim().replace('\n', "\n    "));
    faults.answer()?;
    until_ready(lab, &one)?;
    verb(&one, &format!("drive remove {HUNG}")).map(drop)
}

fn until_ready(lab: &Lab, node: &Node) -> Result<()> {
    lab.wait_for("the drive is Ready", daemon::VERB_DEADLINE, || Ok((state(node)? == "Ready").then_some(())))
}

fn fails(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = written_volume(lab, 73, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    for (node, now_on) in [(&one, ["node-2", "node-3"]), (&two, ["node-1", "node-3"])] {
        let serial = format!("{}-a", node.name());
        let faults = Faults::of(node, &serial);
        faults.fail_writes()?;
        let record = until(lab, &one, "vol", &format!("the copy on {} has failed", node.name()), |record| {
            told(record, &["MemberFailed"]).is_ok_and(|event| event.contains(node.name()))
        })?;
        println!("    {}", told(&record, &["MemberFailed"])?);
        load.goes_on(20)?;
        until(lab, &one, "vol", "two copies elsewhere", |record| synced_but(record, node.name()))?;
        faults.mend()?;
        until(lab, &one, "vol", "settled", |record| is_settled_on(record, &now_on))?;
        load.goes_on(20)?;
    }
    end(lab, &one, load)
}

/// Two copies are in sync, none of them on `node`.
fn synced_but(record: &Value, node: &str) -> bool {
    let synced = daemon::synced_on(record);
    synced.len() == 2 && !synced.iter().any(|other| other == node)
}

/// Nothing acknowledged is lost, and the copies are equal.
fn end(lab: &Lab, owner: &Node, mut load: Load<'_>) -> Result<()> {
    load.stop()?;
    copies_are_equal(lab, owner, "vol", 0)?;
    load.verify(owner, FILE)?;
    remove(lab, owner, "vol")
}

/// What is said to be stuck.
fn stuck(record: &Value) -> Option<String> {
    let reasons = record.pointer("/status/reasons")?.as_array()?;
    let reason = reasons.iter().find(|reason| word(reason, "/code") == "Stuck")?;
    Some(word(reason, "/message"))
}

/// What the drive is, by its node.
fn state(node: &Node) -> Result<String> {
    let drives = list(node, "drive")?;
    let drive = drives.iter().find(|drive| word(drive, "/name") == HUNG);
    Ok(word(drive.context("the drive is not listed")?, "/status/state"))
}

/// The last event of each of these kinds, in their order.
fn told(record: &Value, reasons: &[&str]) -> Result<String> {
    let events: Vec<&Value> =
        record.pointer("/status/events").and_then(Value::as_array).into_iter().flatten().collect();
    let last = |reason: &&str| {
        let event = events.iter().rfind(|event| word(event, "/reason") == **reason);
        event.map(|event| word(event, "/message")).with_context(|| format!("no event {reason}: {record}"))
    };
    Ok(reasons.iter().map(last).collect::<Result<Vec<_>>>()?.join("; "))
}
