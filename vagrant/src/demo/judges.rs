//! Tools that nobody here wrote, asked about the result.

use anyhow::{Context as _, Result};

use super::{PAIR, SOLO};
use crate::daemon::{mdfabric, volume, word};
use crate::lab::Lab;
use crate::node::Node;

/// What a tool thinks.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) tool: &'static str,
    pub(super) object: String,
    pub(super) content: bool,
    pub(super) said: String,
}

/// Asks them all: about the arrays as they run, the file systems unmounted, the members and tables of every node.
pub(super) fn all(lab: &Lab) -> Result<Vec<Judgement>> {
    let mut judgements = Vec::new();
    for name in [PAIR, SOLO] {
        let owner = word(&volume(&lab.node("node-1")?, name)?, "/status/owner");
        let node = lab.node(&owner)?;
        mdfabric(&node, &["volume", "unmount", name])?.ok()?;
        let device = word(&volume(&node, name)?, "/status/array/device");
        judgements.push(detail(&node, name, &device)?);
        judgements.push(repair(&node, name, &device)?);
        mdfabric(&node, &["volume", "detach", name])?.ok()?;
    }
    for node in lab.nodes() {
        judgements.extend(drives(&node)?);
    }
    Ok(judgements)
}

/// The line of `text` that begins with `key`, without it.
fn line(text: &str, key: &str) -> Option<String> {
    let found = text.lines().find(|line| line.trim_start().starts_with(key))?;
    Some(found.split_once(':')?.1.trim().to_owned())
}

/// A volume with one copy has one slot free on purpose.
fn detail(node: &Node, name: &str, device: &str) -> Result<Judgement> {
    let output = node.run(&["mdadm", "--detail", device])?.ok()?;
    let state = line(&output.stdout, "State :").context("mdadm --detail says no state")?;
    let active = line(&output.stdout, "Active Devices").unwrap_or_default();
    let wanted = if name == SOLO { "1" } else { "2" };
    let degraded = state.contains("degraded") != (name == SOLO);
    let content = active == wanted && !degraded && !state.contains("FAILED");
    let said = format!("{state}, {active} active");
    Ok(Judgement { tool: "mdadm --detail", object: format!("{name} ({})", node.name()), content, said })
}

fn repair(node: &Node, name: &str, device: &str) -> Result<Judgement> {
    let output = node.run(&["xfs_repair", "-n", device])?;
    let said = format!("exit status {}", output.status);
    let object = format!("{name} ({})", node.name());
    Ok(Judgement { tool: "xfs_repair -n", object, content: output.status == 0, said })
}

/// The table of our drive, and the superblock of every partition in it.
fn drives(node: &Node) -> Result<Vec<Judgement>> {
    let serial = &node.spec().drives.first().context("a node without drives")?.serial;
    let script = format!(
        "for d in /sys/block/nvme*; do grep -qs '^{serial} *$' $d/device/serial && basename $d; done; true"
    );
    let drive = format!("/dev/{}", node.sh(&script)?.ok()?.text());
    let output = node.run(&["sfdisk", "-V", &drive])?;
    let said = output.stdout.lines().last().unwrap_or_default().trim().to_owned();
    let mut judgements = vec![Judgement {
        tool: "sfdisk -V",
        object: format!("{serial} ({})", node.name()),
        content: output.status == 0 && output.stdout.contains("No errors detected"),
        said,
    }];
    let partitions = node.sh(&format!("ls {drive}p* 2>/dev/null; true"))?.ok()?;
    for partition in partitions.stdout.split_whitespace() {
        judgements.push(examine(node, partition)?);
    }
    Ok(judgements)
}

fn examine(node: &Node, partition: &str) -> Result<Judgement> {
    let output = node.run(&["mdadm", "--examine", partition])?;
    let state = line(&output.stdout, "State :").unwrap_or_default();
    let checksum = line(&output.stdout, "Checksum").unwrap_or_default();
    let name = line(&output.stdout, "Name").unwrap_or_default();
    let content = output.status == 0 && state == "clean" && checksum.contains("correct");
    let said = format!("{state}, checksum {checksum}");
    Ok(Judgement {
        tool: "mdadm --examine",
        object: format!("{name} {partition} ({})", node.name()),
        content,
        said,
    })
}
