//! A volume's list of places is edited by `kubectl patch` while a pod writes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::relocation::{volumes, went};
use super::written::Written;
use super::{REPLICATED, only_volume, settled};
use crate::daemon::{synced_on, word};
use crate::kube::Cluster;
use crate::kube::watch::{Watch, states_on};
use crate::product::copy_on;
use crate::scenarios::Stage;
use crate::scenarios::moves::come_in_order;

/// What [`super::SIZE`] says, bytes.
const BYTES: u64 = 320 << 20;
/// What is told of it all, in the words that users know.
const SAID: [&str; 3] = [
    "successfully scaled volume replicas to 3",
    "Scaling down volume replicas from 3 to 2 is in progress",
    "successfully scaled volume replicas to 2",
];
/// The reason of events about the number of copies.
const SCALING: &str = "ScalingVolumeReplicas";
/// The type of the condition, and the reason of the event, that say that a copy does not hold every write.
const UNPROVEN: &str = "CopyNotInSync";
/// For a node without power to be missed.
const MISSED: Duration = Duration::from_mins(1);
/// Events and the space of drives are told after what they tell of.
const TOLD: Duration = Duration::from_mins(1);

pub(super) fn patched(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let lab = cluster.lab;
    let written = Written::start(&cluster, REPLICATED, 91)?;
    let owner = written.node()?;
    let volume = settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let (name, first) = (word(&volume, "/metadata/name"), synced_on(&volume));
    let all: Vec<String> = lab.nodes().iter().map(|node| node.name().to_owned()).collect();
    let going = first.iter().find(|node| *node != owner.name()).context("both copies are on one node")?;
    let coming = all.iter().find(|node| !first.contains(node)).context("no node without a copy")?;
    let watch = volumes(&cluster, &name)?;
    let copies = Watch::start(&cluster, "mdrep", &["mdrep"])?;

    place(&cluster, &name, &[owner.name(), going, coming])?;
    settled(&cluster, "a copy on each node", |nodes| nodes == all)?;
    told(&cluster, &name, &SAID[..1])?;
    went(&cluster, &watch, &["Synced", "Syncing", "Synced"])?;
    became_synced(&cluster, &copies, coming)?;
    written.goes_on(20)?;

    let copy = copy_on(lab, &owner, &name, going)?;
    let before = free(&cluster, &copy.serial)?;
    place(&cluster, &name, &[owner.name(), coming])?;
    settled(&cluster, &format!("no copy on {going}"), |nodes| nodes.len() == 2 && !nodes.contains(going))?;
    told(&cluster, &name, &SAID)?;
    went(&cluster, &watch, &["Synced", "Syncing", "Synced", "Replacing", "Synced"])?;
    copy.is_wiped()?;
    lab.wait_for(&format!("the space on {} to be free again", copy.serial), TOLD, || {
        Ok((free(&cluster, &copy.serial)? >= before + BYTES).then_some(()))
    })?;
    written.goes_on(20)?;
    written.end()
}

/// Fewer copies are not begun with while one that would stay does not hold every write: condition and event say so, and it is done once that one is back.
pub(super) fn waits_while_degraded(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let lab = cluster.lab;
    let written = Written::start(&cluster, REPLICATED, 92)?;
    let owner = written.node()?;
    let volume = settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let name = word(&volume, "/metadata/name");
    let all: Vec<String> = lab.nodes().iter().map(|node| node.name().to_owned()).collect();
    place(&cluster, &name, &all.iter().map(String::as_str).collect::<Vec<_>>())?;
    settled(&cluster, "a copy on each node", |nodes| nodes == all)?;
    let mut others = all.iter().filter(|node| *node != owner.name());
    let (lost, going) = (others.next().context("one node")?, others.next().context("two nodes")?);
    lab.node(lost)?.power_cut()?;
    lab.wait_for(&format!("{lost} to be missed"), MISSED, || {
        Ok((!synced_on(&only_volume(&cluster)?).contains(lost)).then_some(()))
    })?;

    place(&cluster, &name, &[owner.name(), lost])?;
    is_told_to_wait(&cluster, &name, lost)?;
    written.goes_on(20)?;
    let kept = synced_on(&only_volume(&cluster)?);
    ensure!(kept.contains(going) && kept.len() == 2, "in sync are {kept:?}");
    told(&cluster, &name, &SAID[..1])?;

    let lost = lab.node(lost)?;
    lost.power_on()?;
    lost.wait_up()?;
    cluster.wait_whole()?;
    settled(&cluster, &format!("no copy on {going}"), |nodes| nodes.len() == 2 && !nodes.contains(going))?;
    told(&cluster, &name, &SAID)?;
    written.goes_on(20)?;
    written.end()
}

/// Condition and event say that it waits for the copy on `lost`.
fn is_told_to_wait(cluster: &Cluster<'_>, volume: &str, lost: &str) -> Result<()> {
    let said = cluster.lab.wait_for(&format!("the condition {UNPROVEN}"), TOLD, || {
        Ok(condition(&only_volume(cluster)?, UNPROVEN))
    })?;
    println!("    {UNPROVEN}: {said}");
    ensure!(said.contains(lost), "the condition does not name {lost}: {said}");
    cluster.lab.wait_for(&format!("the event {UNPROVEN}"), TOLD, || {
        let told = events(cluster, volume, UNPROVEN)?;
        Ok(told.iter().any(|told| told.contains(lost)).then_some(()))
    })
}

/// What a condition of this type says, if it stands.
fn condition(volume: &Value, kind: &str) -> Option<String> {
    let conditions = volume.pointer("/status/conditions").and_then(Value::as_array)?;
    let stands =
        |condition: &&Value| word(condition, "/type") == kind && word(condition, "/status") == "True";
    conditions.iter().find(stands).map(|condition| word(condition, "/message"))
}

/// STATE of the copy on `node` went from Syncing to Synced.
fn became_synced(cluster: &Cluster<'_>, copies: &Watch, node: &str) -> Result<()> {
    let states =
        cluster.lab.wait_for(&format!("the copy on {node} to be Synced in a watch"), TOLD, || {
            let states = states_on(&copies.table()?, node);
            Ok(states.last().is_some_and(|state| state == "Synced").then_some(states))
        })?;
    come_in_order("STATE", &states, &["Syncing", "Synced"])
}

/// The list is these nodes; as `kubectl edit` would leave it.
fn place(cluster: &Cluster<'_>, volume: &str, nodes: &[&str]) -> Result<()> {
    let entries: Vec<Value> = nodes.iter().map(|node| json!({"node": node})).collect();
    let patch = json!({"spec": {"placement": {"entries": entries}}}).to_string();
    cluster.kubectl.run(&["patch", "mdvol", volume, "--type=merge", "--patch", &patch]).map(drop)
}

/// All events about the number of copies are these.
fn told(cluster: &Cluster<'_>, volume: &str, said: &[&str]) -> Result<()> {
    let mut wanted: Vec<String> = said.iter().map(|said| (*said).to_owned()).collect();
    wanted.sort();
    cluster.lab.wait_for(&format!("events: {}", wanted.join("; ")), TOLD, || {
        let mut told = events(cluster, volume, SCALING)?;
        told.sort();
        Ok((told == wanted).then_some(()))
    })
}

/// What events with this reason say of a volume.
fn events(cluster: &Cluster<'_>, volume: &str, reason: &str) -> Result<Vec<String>> {
    let about =
        format!("--field-selector=involvedObject.kind=Volume,involvedObject.name={volume},reason={reason}");
    let events = cluster.kubectl.list(&["events", "--namespace=default", &about])?;
    Ok(events.iter().map(|event| word(event, "/message")).collect())
}

/// What is free on the drive, bytes.
fn free(cluster: &Cluster<'_>, serial: &str) -> Result<u64> {
    let drives = cluster.kubectl.list(&["mddrive"])?;
    let drive = drives.iter().find(|drive| word(drive, "/spec/id") == serial);
    let free = drive.and_then(|drive| drive.pointer("/status/free")).and_then(Value::as_u64);
    free.with_context(|| format!("no drive {serial}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_counts_while_it_stands() {
        let volume = |status: &str| {
            json!({"status": {"conditions": [
                {"type": "Whole", "status": "False", "message": "2 of 3"},
                {"type": UNPROVEN, "status": status, "message": "node-2"},
            ]}})
        };
        assert_eq!(condition(&volume("True"), UNPROVEN).as_deref(), Some("node-2"));
        assert_eq!(condition(&volume("False"), UNPROVEN), None);
        assert_eq!(condition(&json!({}), UNPROVEN), None);
    }
}
