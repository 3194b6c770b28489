//! Nodes and drives that are emptied while their copies are in use.

use anyhow::{Result, ensure};

use super::scaling::longest_write;
use super::{Needs, Scenario, Stage, refused};
use crate::daemon::{synced_on, volume};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, copies, copies_are_equal, is_clean, is_settled_on, remove, until, verb,
    written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "nodes_are_drained_and_a_drive_is_evicted",
    shows: "a provider is drained, a drive evicted, a provider and the owner drained that have to serve on, all under load: each says before where the copies go, \
            what is safe to reboot or pull is answered, and nothing is lost",
    lab: Needs::Cluster,
    run: emptied,
}];

fn emptied(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 71, TWO_COPIES)?;
    refused(&one, "node safe-to-reboot node-1", 1, &["volume vol is attached on node-1"])?;

    let said = verb(&one, "node drain node-2")?;
    ensure!(said.contains("vol: its copy moves from node-2 (drive node-2-a) to node-3"), "{said}");
    settled(lab, &one, &["node-1", "node-3"])?;
    load.goes_on(20)?;
    ensure!(verb(&one, "node safe-to-reboot node-2")?.contains("can be shut down"), "node-2 hosts nothing");
    ensure!(verb(&one, "node ls")?.contains("Draining"), "node ls does not say so");
    verb(&one, "node uncordon node-2")?;

    refused(&one, "drive safe-to-remove node-3-a", 1, &["volume vol", "mdfabric drive evict node-3-a"])?;
    let foretold = verb(&one, "drive evict node-3-a --dry-run")?;
    ensure!(foretold.contains("vol: its copy moves from node-3 (drive node-3-a) to node-2"), "{foretold}");
    verb(&one, "drive evict node-3-a")?;
    settled(lab, &one, &["node-1", "node-2"])?;
    verb(&one, "drive safe-to-remove node-3-a")?;
    load.goes_on(20)?;

    serves_on(lab, &one, &load)?;

    let words = ["still serves 1 copies", "node-2: hosts a copy", "node-3-a: cordoned"];
    refused(&one, "node drain node-1", 1, &words)?;
    verb(&one, "drive uncordon node-3-a")?;
    settled(lab, &one, &["node-2", "node-3"])?;
    verb(&one, "node uncordon node-1")?;
    load.goes_on(20)?;
    longest_write(&mut load)?;
    copies_are_equal(lab, &one, "vol", 0)?;
    load.verify(&one, FILE)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&one, "vol")?;
    copies(lab, &one, "vol")?.iter().try_for_each(|copy| copy.examine().map(drop))?;
    remove(lab, &one, "vol")
}

/// A provider that is drained and whose copy finds no place: its export stays, the owner's connection too, and the copy in sync.
fn serves_on(lab: &Lab, one: &Node, load: &Load<'_>) -> Result<()> {
    let words = ["still serves 1 copies", "node-1: hosts a copy", "node-3-a: cordoned"];
    refused(one, "node drain node-2", 1, &words)?;
    load.goes_on(20)?;
    let look = "cd /sys/kernel/config/nvmet/subsystems; cat *mdfabric*/namespaces/1/enable; ls *mdfabric*/allowed_hosts";
    let exports = lab.node("node-2")?.sh(look)?.ok()?;
    ensure!(
        exports.text() == "1\nnqn.2026-11.io.mdfabric:host:node-1",
        "node-2 exports {:?}",
        exports.text()
    );
    let path = one.sh("cat /sys/class/nvme-fabrics/ctl/nvme*/state")?.ok()?;
    ensure!(path.text() == "live", "the connection is {:?}", path.text());
    let kept = synced_on(&volume(one, "vol")?);
    ensure!(kept == ["node-1", "node-2"], "in sync are {kept:?}");
    verb(one, "node uncordon node-2")?;
    until(lab, one, "vol", "nothing is to leave node-2", |record| !record.to_string().contains("CannotMove"))
        .map(drop)
}

fn settled(lab: &Lab, asked: &Node, nodes: &[&str]) -> Result<()> {
    let what = format!("its copies are on {}", nodes.join(", "));
    until(lab, asked, "vol", &what, |record| is_settled_on(record, nodes)).map(drop)
}
