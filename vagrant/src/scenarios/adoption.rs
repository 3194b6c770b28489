//! The data path outlives the daemon, and what a power cut took comes back by itself.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, start_and_wait, volume, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, Load, TWO_COPIES, device, is_clean, is_settled_on, remove, until, verb, written_volume, written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "daemon_killed_reattaches",
        shows: "kill -9 of the owner's and the provider's daemon under load: writes go on, a new daemon adopts, nothing restarts",
        lab: Needs::Cluster,
        run: daemon_killed,
    },
    Scenario {
        name: "owner_power_cut_reattaches",
        shows: "after a power cut of its owner a volume is attached and mounted there again by itself, nothing is lost",
        lab: Needs::Cluster,
        run: owner_power_cut,
    },
    Scenario {
        name: "whole_cluster_reboot",
        shows: "after a power cut of all nodes at once a volume comes back attached and mounted, nothing is lost",
        lab: Needs::Cluster,
        run: whole_cluster_reboot,
    },
];

/// The end of all of them: every write is there, the file system is clean, nothing is left.
fn good_end(lab: &Lab, owner: &Node, load: &Load<'_>) -> Result<()> {
    load.verify(owner, FILE)?;
    verb(owner, "volume unmount vol")?;
    is_clean(owner, "vol")?;
    remove(lab, owner, "vol")
}

fn daemon_killed(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 5, TWO_COPIES)?;
    let two = lab.node("node-2")?;
    let before = made(&one, &two)?;
    let epoch = volume(&one, "vol")?.pointer("/status/epoch").cloned();
    for node in [&one, &two] {
        kill(node)?;
        load.goes_on(100)?;
        start_and_wait(lab, node)?;
        load.goes_on(100)?;
    }
    kill(&one)?;
    kill(&two)?;
    load.goes_on(100)?;
    start_and_wait(lab, &one)?;
    start_and_wait(lab, &two)?;
    until(lab, &one, "vol", "both copies in sync", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    load.goes_on(20)?;
    load.stop()?;
    let after = made(&one, &two)?;
    ensure!(before == after, "something was made anew: before\n{before}\nafter\n{after}");
    ensure!(volume(&one, "vol")?.pointer("/status/epoch").cloned() == epoch, "the ownership changed");
    good_end(lab, &one, &load)
}

/// What would be different if an array, a leg or an export had been made anew.
fn made(owner: &Node, provider: &Node) -> Result<String> {
    let device = device(owner, "vol")?;
    let look = format!(
        "mdadm --detail {device} | grep -E 'UUID|/dev/|Devices'; stat -c '%n %i' /sys/block/md* /sys/block/dm-*; \
         ls /sys/class/nvme-fabrics/ctl; dmesg | grep -c 'md/raid1'"
    );
    let exports =
        "find /sys/kernel/config/nvmet -name 'nqn*' -exec stat -c '%n %i' {} +; dmesg | grep -c nvmet";
    Ok(owner.sh(&look)?.ok()?.stdout + &provider.sh(exports)?.ok()?.stdout)
}

/// Waits until the volume is mounted again with both copies in sync.
fn is_back(lab: &Lab, owner: &Node) -> Result<()> {
    until(lab, owner, "vol", "mounted again", |record| {
        word(record, "/status/array/mountedAt") == "/mnt/vol" && is_settled_on(record, &["node-1", "node-2"])
    })?;
    lab.wait_for("the mount", Duration::from_secs(30), || {
        Ok((owner.run(&["test", "-e", FILE])?.status == 0).then_some(()))
    })
}

fn owner_power_cut(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 6, TWO_COPIES)?;
    load.goes_on(100)?;
    one.power_cut()?;
    load.lost()?;
    one.power_on()?;
    one.wait_up()?;
    start_and_wait(lab, &one)?;
    is_back(lab, &one)?;
    load.verify(&one, FILE)?;
    load.start(&one, FILE)?;
    load.stop()?;
    good_end(lab, &one, &load)
}

fn whole_cluster_reboot(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 7, TWO_COPIES)?;
    load.goes_on(100)?;
    lab.nodes().iter().try_for_each(Node::power_cut)?;
    load.lost()?;
    lab.nodes().iter().try_for_each(Node::power_on)?;
    lab.wait_up()?;
    crate::daemon::start_all(lab)?;
    is_back(lab, &one)?;
    load.verify(&one, FILE)?;
    load.start(&one, FILE)?;
    load.stop()?;
    good_end(lab, &one, &load)
}
