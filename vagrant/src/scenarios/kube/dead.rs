//! A node loses its power: its pod comes back elsewhere by what people do about it, and what is deleted meanwhile goes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::relocation::{drain, uncordon};
use super::written::Written;
use super::{
    CLAIM, GONE_DEADLINE, POD, REPLICATED, SIZE, is_read, no_more, nothing_of_claims, only_volume, remove,
    run, settled, writer,
};
use crate::daemon::{synced_on, word};
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::node::Node;
use crate::product::copy_on;
use crate::scenarios::Stage;

/// Says to Kubernetes that a node is without power, and stays so until somebody takes this away again.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// Kubernetes misses a node after 50 s.
const MISSED: Duration = Duration::from_mins(3);
/// For the next pod to write, once Kubernetes knows that the one before does not.
const TAKEN_OVER: Duration = Duration::from_mins(6);
/// The same where it does not know: it gives up the pods of a node that it does not have after a minute, and six minutes later what they had mounted.
const TAKEN_OVER_UNTOLD: Duration = Duration::from_mins(14);

pub(super) fn out_of_service(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, REPLICATED, 121)?;
    let dead = loses_power(&cluster, &written)?;
    cluster.lab.wait_for(&format!("{} not to be ready", dead.name()), MISSED, || {
        let node = cluster.kubectl.find("node", dead.name())?;
        Ok(node.is_some_and(|node| !is_ready(&node)).then_some(()))
    })?;
    taint(&cluster, &dead, "=nodeshutdown:NoExecute")?;
    comes_back(&cluster, &written, &dead, TAKEN_OVER)?;
    returns(&cluster, &written, &dead)?;
    taint(&cluster, &dead, "-")?;
    written.end()
}

pub(super) fn deleted(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, REPLICATED, 122)?;
    let dead = loses_power(&cluster, &written)?;
    cluster.kubectl.run(&["delete", "node", dead.name(), "--wait=false"])?;
    comes_back(&cluster, &written, &dead, TAKEN_OVER_UNTOLD)?;
    returns(&cluster, &written, &dead)?;
    written.end()
}

/// The node that only has a copy is the one without power. It is drained before, so that it does not take the lab's only controller with it.
pub(super) fn with_a_copy(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let lab = cluster.lab;
    cluster.make(&objects::claim(CLAIM, REPLICATED, SIZE))?;
    let here = run(&cluster, &writer())?;
    is_read(&cluster)?;
    let volume = settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let (name, copies) = (word(&volume, "/metadata/name"), synced_on(&volume));
    let there = copies.iter().find(|node| **node != here).context("both copies are on one node")?;
    let (user, dead) = (lab.node(&here)?, lab.node(there)?);
    let (near, far) = (copy_on(lab, &user, &name, &here)?, copy_on(lab, &user, &name, there)?);
    drain(&cluster, there)?;
    dead.power_cut()?;

    remove(&cluster, "pod", POD)?;
    no_more(&cluster, "volumeattachments")?;
    remove(&cluster, "persistentvolumeclaim", CLAIM)?;
    no_more(&cluster, "persistentvolumes")?;
    lab.wait_for(&format!("the copy on {here} to be erased"), GONE_DEADLINE, || Ok(near.is_wiped().ok()))?;
    let phase = word(&only_volume(&cluster)?, "/status/phase");
    ensure!(phase == "Deleting", "with a copy on a dead node the volume is {phase:?}, not Deleting");

    dead.power_on()?;
    dead.wait_up()?;
    cluster.wait_whole()?;
    uncordon(&cluster, there)?;
    ["mdvol", "mdrep"].iter().try_for_each(|kind| no_more(&cluster, kind))?;
    far.is_wiped()?;
    nothing_of_claims(&cluster)
}

/// The node of the pod is without power. The other copy has every write that was acknowledged.
fn loses_power(cluster: &Cluster<'_>, written: &Written<'_>) -> Result<Node> {
    settled(cluster, "two copies", |nodes| nodes.len() == 2)?;
    written.goes_on(20)?;
    let node = written.node()?;
    node.power_cut()?;
    Ok(node)
}

fn taint(cluster: &Cluster<'_>, node: &Node, effect: &str) -> Result<()> {
    cluster.kubectl.run(&["taint", "node", node.name(), &format!("{OUT_OF_SERVICE}{effect}")]).map(drop)
}

/// The pod writes elsewhere, and its volume is attached there and nowhere else.
fn comes_back(cluster: &Cluster<'_>, written: &Written<'_>, dead: &Node, deadline: Duration) -> Result<()> {
    let start = Instant::now();
    let new = written.moved_within(deadline, dead)?;
    println!("    which took {:.0} s", start.elapsed().as_secs_f64());
    let attachments = cluster.kubectl.list(&["volumeattachments"])?;
    let nodes: Vec<String> =
        attachments.iter().map(|attachment| word(attachment, "/spec/nodeName")).collect();
    ensure!(nodes == [new.name()], "the volume is attached to {nodes:?}, not to {} alone", new.name());
    Ok(())
}

/// The node is back and the pod stays where it is now, with two copies, one of them there.
fn returns(cluster: &Cluster<'_>, written: &Written<'_>, dead: &Node) -> Result<()> {
    dead.power_on()?;
    dead.wait_up()?;
    cluster.wait_whole()?;
    let new = written.node()?;
    ensure!(new.name() != dead.name(), "the pod went back to {}", dead.name());
    settled(cluster, &format!("two copies, one of them on {}", new.name()), |nodes| {
        nodes.len() == 2 && nodes.iter().any(|node| node == new.name())
    })?;
    written.goes_on(20)
}
