//! The lab itself: what a booted node is, and is not.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::lab::Lab;
use crate::node::Node;
use crate::spec::{ETCD_ADDRESS, NodeSpec};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lab_boots_three_nodes",
        shows: "three nodes with two blank NVMe drives each see one another and etcd, nothing of the product is loaded",
        lab: Needs::Blank,
        run: boots_three_nodes,
    },
    Scenario {
        name: "lab_boots_systemd",
        shows: "the same image boots with systemd as its init, with network, state disk and payload in place",
        lab: Needs::Nothing,
        run: boots_systemd,
    },
];

/// A lab of one node whose init is systemd, booted to the end.
pub(super) fn systemd_lab(stage: &Stage<'_>) -> Result<(Lab, Node)> {
    let lab = Lab::private_with(stage.parts, vec![NodeSpec { systemd: true, ..NodeSpec::usual(1) }])?;
    let node = lab.node("node-1")?;
    lab.wait_for("systemd to finish booting", Duration::from_mins(3), || {
        let boot = node.run(&["systemctl", "is-system-running"])?;
        Ok(matches!(boot.text(), "running" | "degraded").then_some(()))
    })?;
    Ok((lab, node))
}

fn boots_systemd(stage: &mut Stage<'_>) -> Result<()> {
    let (_lab, node) = systemd_lab(stage)?;
    let failed = node.run(&["systemctl", "--failed", "--no-legend", "--plain"])?.ok()?;
    ensure!(failed.text().is_empty(), "failed units: {}", failed.text());
    ensure!(node.run(&["cat", "/proc/1/comm"])?.ok()?.text() == "systemd", "another init runs");
    has_its_name_and_drives(&node)?;
    node.run(&["ping", "-c", "1", "-W", "5", ETCD_ADDRESS])?.ok()?;
    node.run(&["lab", "--version"])?.ok().map(drop)
}

fn boots_three_nodes(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let nodes = lab.nodes();
    ensure!(nodes.len() == 3, "{} nodes", nodes.len());
    for node in &nodes {
        has_its_name_and_drives(node)?;
        is_untouched(node)?;
        for peer in nodes.iter().map(Node::address).chain([ETCD_ADDRESS.to_owned()]) {
            node.run(&["ping", "-c", "1", "-W", "5", &peer])?.ok()?;
        }
    }
    Ok(())
}

fn has_its_name_and_drives(node: &Node) -> Result<()> {
    let name = node.run(&["cat", "/proc/sys/kernel/hostname"])?.ok()?;
    ensure!(name.text() == node.name(), "{} calls itself {}", node.name(), name.text());
    let serials = node.sh("cat /sys/class/nvme/*/serial | tr -d ' ' | sort")?.ok()?;
    let wanted: Vec<&str> = node.spec().drives.iter().map(|drive| drive.serial.as_str()).collect();
    ensure!(serials.text().lines().eq(wanted), "{} has drives {}", node.name(), serials.text());
    node.sh("for d in /dev/nvme?n1; do cmp -n 1048576 $d /dev/zero; done")?.ok()?;
    node.sh("grep -q ' /var/lib/mdfabric ext4 rw' /proc/mounts && touch /var/lib/mdfabric/it-is-mine")?
        .ok()?;
    Ok(())
}

/// The modules the product needs are there, but not loaded, and nobody started anything that would touch arrays.
fn is_untouched(node: &Node) -> Result<()> {
    for module in
        ["raid1", "nvmet-tcp", "nvme-tcp", "dm-multipath", "dm-round-robin", "xfs", "tcp_diag", "nvmet"]
    {
        node.run(&["modprobe", "--dry-run", module])?.ok()?;
    }
    let loaded = node.run(&["lsmod"])?.ok()?;
    for module in ["md_mod", "raid1", "nvmet", "nvme_tcp", "nvme_fabrics", "dm_mod", "configfs"] {
        ensure!(
            !loaded.stdout.lines().any(|line| line.starts_with(&format!("{module} "))),
            "{module} is loaded"
        );
    }
    let stranger = node.sh("pgrep -x -a 'systemd-udevd|udevd|mdadm|multipathd'")?;
    ensure!(stranger.status == 1, "{} runs {}", node.name(), stranger.text());
    Ok(())
}
