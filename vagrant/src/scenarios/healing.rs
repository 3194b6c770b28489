//! Copies that are lost while an application writes: waited for, brought back, replaced.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::failover::how_it_was_filled;
use super::{Needs, Scenario, Stage};
use crate::daemon::{start_and_wait, synced_on, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, copies, copies_are_equal, copy_on, is_clean, is_settled_on, pull_drive,
    put_drives_back, remove, until, verb, written_volume, written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lost_copy_is_replaced_after_the_timeout",
        shows: "a copy whose node is gone is waited for, replaced on a healthy drive of another node, under load and of a \
                detached volume, and erased when its node is back",
        lab: Needs::Cluster,
        run: replaced,
    },
    Scenario {
        name: "pulled_drives_come_back_by_bitmap",
        shows: "the owner's drive and then a provider's is pulled under load and put back: Missing with the reason, and only \
                what was written meanwhile is copied",
        lab: Needs::Cluster,
        run: pulled,
    },
    Scenario {
        name: "last_copy_pulled_is_told_and_starts_anew",
        shows: "the drive with the only copy is pulled under load: it is said with what to do; once nobody uses the volume and the \
                drive is back it starts anew by itself, with every acknowledged write",
        lab: Needs::Cluster,
        run: last_pulled,
    },
];

fn replaced(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = written_volume(lab, 61, &format!("{TWO_COPIES} --member-missing-timeout 60"))?;
    verb(
        &one,
        &format!("volume create idle --size 300MiB --fs raw {TWO_COPIES} --member-missing-timeout 60"),
    )?;
    verb(&one, "volume attach idle")?;
    verb(&one, "volume detach idle")?;
    let lost = copies(lab, &one, "vol")?;
    let two = lab.node("node-2")?;
    two.power_cut()?;
    until(lab, &one, "vol", "the copy on node-2 is Missing", |record| {
        state_on(record, "node-2") == "Missing"
    })?;
    load.goes_on(20)?;
    let said = verb(&one, "explain volume/vol")?;
    ensure!(said.contains("it is replaced once it has been missing for 60 s"), "explain: {said}");
    let record = until(lab, &one, "vol", "a replacement on node-3", is_replaced)?;
    println!("    {}", told(&record, "ReplicaReplacing")?);
    println!("    {}", told(&record, "ReplicaReplaced")?);
    until(lab, &one, "idle", "a replacement, and nobody owns it", |record| {
        is_replaced(record) && word(record, "/status/owner").is_empty()
    })?;
    load.goes_on(20)?;
    two.power_on()?;
    two.wait_up()?;
    start_and_wait(lab, &two)?;
    until(lab, &one, "vol", "the old copy is erased", |record| is_settled_on(record, &["node-1", "node-3"]))?;
    lost.iter().filter(|copy| copy.node.name() == "node-2").try_for_each(crate::product::Copy::is_wiped)?;
    verb(&one, "volume rm idle")?;
    end(lab, &one, load)
}

/// Its copies are on node-1 and node-3, and nothing of it is under way.
fn is_replaced(record: &Value) -> bool {
    synced_on(record) == ["node-1", "node-3"]
        && record.pointer("/status/relocation").is_none_or(Value::is_null)
}

fn pulled(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = written_xfs(lab, 62, TWO_COPIES)?;
    for node in [&one, &lab.node("node-2")?] {
        let (name, serial) = (node.name().to_owned(), format!("{}-a", node.name()));
        pull_drive(node, &serial)?;
        until(lab, &one, "vol", &format!("the copy on {name} is Missing"), |record| {
            state_on(record, &name) == "Missing"
        })?;
        load.goes_on(20)?;
        let said = verb(&one, "explain volume/vol")?;
        ensure!(said.contains(&format!("drive {serial} is not in {name} any more")), "explain: {said}");
        put_drives_back(node)?;
        until(lab, &one, "vol", "two copies again", |record| is_settled_on(record, &["node-1", "node-2"]))?;
        let how = how_it_was_filled(&one, 1)?;
        ensure!(how.contains("(Bitmap recovery)"), "it was added by another way: {how}");
        load.goes_on(20)?;
    }
    end(lab, &one, load)
}

fn last_pulled(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 64, "--replicas 1 --on node-1")?;
    let serial = copy_on(lab, &one, "vol", "node-1")?.serial;
    pull_drive(&one, &serial)?;
    until(lab, &one, "vol", "it is said that its last copy is gone", is_dead)?;
    let said = verb(&one, "explain volume/vol")?;
    ensure!(said.contains(&format!("put {serial} back into node-1")), "explain: {said}");
    println!("    {}", said.trim().replace('\n', "\n    "));
    load.lost()?;
    put_drives_back(&one)?;
    verb(&one, "volume unmount vol")?;
    until(lab, &one, "vol", "started anew", |record| {
        !is_dead(record) && word(record, "/status/phase") == "Synced"
    })?;
    verb(&one, "volume mount vol /mnt/vol")?;
    load.verify(&one, FILE)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&one, "vol")?;
    remove(lab, &one, "vol")
}

/// Whether nothing below the volume works any more.
fn is_dead(record: &Value) -> bool {
    let reasons = record.pointer("/status/reasons").and_then(Value::as_array);
    reasons.into_iter().flatten().any(|reason| word(reason, "/code") == "LastCopyPulled")
}

/// Nothing acknowledged is lost, the copies are equal, and the judges are content.
fn end(lab: &Lab, owner: &Node, mut load: Load<'_>) -> Result<()> {
    load.stop()?;
    copies_are_equal(lab, owner, "vol", 0)?;
    load.verify(owner, FILE)?;
    verb(owner, "volume unmount vol")?;
    is_clean(owner, "vol")?;
    copies(lab, owner, "vol")?.iter().try_for_each(|copy| copy.examine().map(drop))?;
    remove(lab, owner, "vol")
}

fn state_on(record: &Value, node: &str) -> String {
    let members = record.pointer("/status/members").and_then(Value::as_array);
    let member = members.into_iter().flatten().find(|member| word(member, "/node") == node);
    member.map(|member| word(member, "/state")).unwrap_or_default()
}

/// The last event of this kind.
fn told(record: &Value, reason: &str) -> Result<String> {
    let events = record.pointer("/status/events").and_then(Value::as_array);
    let mut of_kind = events.into_iter().flatten().filter(|event| word(event, "/reason") == reason);
    let last = of_kind.next_back().map(|event| word(event, "/message"));
    last.ok_or_else(|| anyhow::anyhow!("no event {reason}: {record}"))
}
