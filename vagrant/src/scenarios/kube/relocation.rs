//! The node of a writing pod is drained: the pod comes up elsewhere, and a copy follows it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::written::Written;
use super::{LOCAL, REPLICATED, only_volume, settled};
use crate::daemon::{synced_on, word};
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::kube::watch::{Watch, phases};
use crate::product::copy_on;
use crate::scenarios::Stage;
use crate::scenarios::moves::{come_in_order, counts_members, is_local_and_missing};
use crate::setup::helm::NAMESPACE;

/// What a table of volumes begins with.
const TITLES: &str = "NAME PHASE MDSTATE READY DEGRADED SYNC NODE AGE TOTAL ACTIVE FAILED DOWN";
/// What PHASE goes through while a copy follows.
const FOLLOWS: [&str; 4] = ["Synced", "Syncing", "Replacing", "Synced"];
/// A class of volumes that wait for a lost copy as short as can be.
const IMPATIENT: &str = "impatient";
/// For a lost copy to be waited for, and another one filled.
const HEALED: Duration = Duration::from_mins(5);
/// For a watch to show what there is already.
const SHOWN: Duration = Duration::from_secs(30);

pub(super) fn one_copy(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, LOCAL, 81)?;
    let old = written.node()?;
    let volume = settled(&cluster, "its copy where the pod is", |nodes| nodes == [old.name()])?;
    let name = word(&volume, "/metadata/name");
    let copy = copy_on(cluster.lab, &old, &name, old.name())?;
    let watch = volumes(&cluster, &name)?;
    drain(&cluster, old.name())?;
    let new = written.moved_from(&old)?;
    settled(&cluster, "its copy where the pod is now", |nodes| nodes == [new.name()])?;
    written.goes_on(20)?;
    let table = went(&cluster, &watch, &FOLLOWS)?;
    counts_members(&table, ["2", "1", "0", "0"])?;
    is_local_and_missing(cluster.lab, &new, &name)?;
    copy.is_wiped()?;
    uncordon(&cluster, old.name())?;
    written.end()
}

pub(super) fn two_copies(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, REPLICATED, 82)?;
    let old = written.node()?;
    let volume = settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let (name, copies) = (word(&volume, "/metadata/name"), synced_on(&volume));
    let other = copies.iter().find(|node| *node != old.name()).context("both copies are on one node")?;
    let watch = volumes(&cluster, &name)?;
    // So that the pod has to go where no copy is.
    cluster.kubectl.run(&["cordon", other])?;
    drain(&cluster, old.name())?;
    let new = written.moved_from(&old)?;
    let volume = settled(&cluster, "two copies, one of them where the pod is now", |nodes| {
        nodes.len() == 2 && nodes.iter().any(|node| node == new.name())
    })?;
    written.goes_on(20)?;
    let table = went(&cluster, &watch, &FOLLOWS)?;
    counts_members(&table, ["3", "2", "0", "0"])?;
    never_degraded(&table)?;
    uncordon(&cluster, other)?;
    uncordon(&cluster, old.name())?;
    let provider = synced_on(&volume).into_iter().find(|node| node != new.name()).context("one copy")?;
    serves_on(&cluster, &written, &provider)?;
    written.end()
}

pub(super) fn lost_provider(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::class(IMPATIENT, &json!({"replicaCount": "2", "memberMissingTimeout": "60"})))?;
    let written = Written::start(&cluster, IMPATIENT, 83)?;
    let owner = written.node()?;
    let volume = settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let (name, copies) = (word(&volume, "/metadata/name"), synced_on(&volume));
    let lost = copies.iter().find(|node| *node != owner.name()).context("both copies are on one node")?;
    let (copy, lost) = (copy_on(cluster.lab, &owner, &name, lost)?, cluster.lab.node(lost)?);
    lost.power_cut()?;
    cluster.kubectl.run(&["delete", "node", lost.name(), "--wait=false"])?;
    written.goes_on(20)?;
    cluster.lab.wait_for("a copy in place of the lost one", HEALED, || {
        let nodes = synced_on(&only_volume(&cluster)?);
        Ok((nodes.len() == 2 && !nodes.iter().any(|node| node == lost.name())).then_some(()))
    })?;
    written.goes_on(20)?;
    lost.power_on()?;
    lost.wait_up()?;
    cluster.wait_whole()?;
    settled(&cluster, "the lost copy to be forgotten", |nodes| nodes.len() == 2)?;
    copy.is_wiped()?;
    written.end()?;
    cluster.kubectl.run(&["delete", "storageclass", IMPATIENT]).map(drop)
}

/// Draining a node that only has a copy moves nothing: its daemon stays, and goes on serving.
fn serves_on(cluster: &Cluster<'_>, written: &Written<'_>, provider: &str) -> Result<()> {
    let before = held(&only_volume(cluster)?);
    drain(cluster, provider)?;
    written.goes_on(50)?;
    let after = held(&only_volume(cluster)?);
    ensure!(after == before, "draining {provider} changed the volume: {before:?} became {after:?}");
    let on_node = format!("--field-selector=spec.nodeName={provider}");
    let daemons = "--selector=app.kubernetes.io/component=node";
    let pods = cluster.kubectl.list(&["pods", "--namespace", NAMESPACE, &on_node, daemons])?;
    ensure!(pods.len() == 1 && pods.iter().all(is_ready), "the daemon of {provider} was evicted");
    uncordon(cluster, provider)
}

/// Who owns it, and which copies hold every write.
fn held(volume: &Value) -> [Option<Value>; 2] {
    ["/status/epoch", "/status/inSync"].map(|at| volume.pointer(at).cloned())
}

/// The lab's controller has an empty directory for its socket, which an eviction takes with it.
pub(super) fn drain(cluster: &Cluster<'_>, node: &str) -> Result<()> {
    let said = cluster.kubectl.run(&[
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=240s",
    ])?;
    println!("    drain {node}: {}", said.trim().replace('\n', "; "));
    Ok(())
}

pub(super) fn uncordon(cluster: &Cluster<'_>, node: &str) -> Result<()> {
    cluster.kubectl.run(&["uncordon", node]).map(drop)
}

/// As `kubectl get mdvol -w -o wide` shows it.
pub(super) fn volumes(cluster: &Cluster<'_>, name: &str) -> Result<Watch> {
    Watch::start(cluster, "mdvol", &["mdvol", name, "--output=wide"])
}

/// The watch has the columns that users know, and PHASE went through these; gives its table.
pub(super) fn went(cluster: &Cluster<'_>, watch: &Watch, through: &[&str]) -> Result<String> {
    let last = through.last().copied().unwrap_or_default();
    let table = cluster.lab.wait_for(&format!("a watch to end with {last}"), SHOWN, || {
        Ok(Some(watch.table()?).filter(|table| phases(table).last().is_some_and(|phase| phase == last)))
    })?;
    let titles: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(titles.join(" ") == TITLES, "the columns are {titles:?}");
    come_in_order("PHASE", &phases(&table), through)?;
    Ok(table)
}

/// DEGRADED was false in every line: the new copy was whole before the old one went.
fn never_degraded(table: &str) -> Result<()> {
    let degraded = table.lines().skip(1).find(|line| line.split_whitespace().nth(4) != Some("false"));
    ensure!(degraded.is_none(), "the volume was degraded: {degraded:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_degraded_line_is_found() {
        let line = |degraded: &str| format!("pvc Synced active 2/2 {degraded} node-1 1m 2 2 0 0\n");
        let table = |lines: &[String]| format!("{TITLES}\n{}", lines.concat());
        assert!(never_degraded(&table(&[line("false"), line("false")])).is_ok());
        assert!(never_degraded(&table(&[line("false"), line("true"), line("false")])).is_err());
    }
}
