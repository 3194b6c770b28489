//! Drives that carry something of somebody.

use std::time::Duration;

use anyhow::Result;

use crate::daemon::word;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{drive_device, list, pull_drive, put_drives_back, remove, verb};
use crate::scenarios::{Stage, refused};

const SERIAL: &str = "node-3-b";

/// What is made on the drive, and the word it is refused with.
const FOREIGN: &[(&str, &str)] = &[
    ("mke2fs -q -F -t ext4 $D 65536", "ext"),
    ("echo 'label: gpt\n,1G,L' | sfdisk -q --no-reread $D", "GPT"),
    (
        "printf LABELONE | dd of=$D seek=512 bs=1 conv=notrunc; printf 'LVM2 001' | dd of=$D seek=536 bs=1 conv=notrunc",
        "LVM",
    ),
    (
        "mdadm --create /dev/md/foreign --run --force --level=1 --raid-devices=1 --metadata=1.2 $D && mdadm --stop /dev/md/foreign",
        "MD member",
    ),
];

pub(super) fn foreign(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let three = lab.node("node-3")?;
    let device = drive_device(&three, SERIAL)?;
    for (make, found) in FOREIGN {
        blank(&three, &device)?;
        three.sh(&make.replace("$D", &device))?.ok()?;
        announce(&three, &device)?;
        is_seen(lab, &three, "Foreign")?;
        refused(&three, &format!("drive add {SERIAL}"), 1, &[SERIAL, found, "--wipe"])?;
    }
    refused(&three, &format!("drive add {SERIAL} --wipe node-3-a"), 1, &[SERIAL, "node-3-a"])?;
    verb(&three, &format!("drive add {SERIAL} --wipe {SERIAL}"))?;
    three.run(&["sfdisk", "-V", &device])?.ok()?;
    verb(&three, &format!("drive remove {SERIAL}"))?;
    mounted(lab, &three, &device)?;
    blank(&three, &device)
}

/// A drive in use is refused even with `--wipe`.
fn mounted(lab: &Lab, node: &Node, device: &str) -> Result<()> {
    blank(node, device)?;
    node.sh(&format!("mke2fs -q -F -t ext4 {device} 65536 && mkdir -p /mnt/own && mount {device} /mnt/own"))?
        .ok()?;
    announce(node, device)?;
    is_seen(lab, node, "Foreign")?;
    refused(node, &format!("drive add {SERIAL} --wipe {SERIAL}"), 1, &[SERIAL, "in use"])?;
    node.run(&["umount", "/mnt/own"])?.ok().map(drop)
}

fn blank(node: &Node, device: &str) -> Result<()> {
    let script = format!(
        "dd if=/dev/zero of={device} bs=1M count=4 conv=notrunc oflag=direct 2>/dev/null; \
         dd if=/dev/zero of={device} bs=1M seek=4092 count=4 conv=notrunc oflag=direct 2>/dev/null; blockdev --rereadpt {device}"
    );
    node.sh(&script)?.ok().map(drop)
}

/// Says that the drive was written, as udevd does when its last writer closes it: no udevd runs here.
fn announce(node: &Node, device: &str) -> Result<()> {
    node.sh(&format!("echo change >/sys/class/block/$(basename {device})/uevent"))?.ok().map(drop)
}

/// Waits until the node's daemon has seen what is on the drive now.
fn is_seen(lab: &Lab, node: &Node, state: &str) -> Result<()> {
    lab.wait_for(&format!("drive {SERIAL} to be {state}"), Duration::from_mins(1), || {
        let drives = list(node, "drive")?;
        let drive = drives.iter().find(|drive| word(drive, "/name") == SERIAL);
        Ok(drive.is_some_and(|drive| word(drive, "/status/state") == state).then_some(()))
    })
}

/// The drive is pulled while its copy is zeroed.
pub(super) fn vanishes(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let three = lab.node("node-3")?;
    verb(&three, "volume create vol --size 320MiB --replicas 1 --on node-3 --no-wait")?;
    pull_drive(&three, "node-3-a")?;
    lab.wait_for("the missing drive to be reported", Duration::from_mins(1), || {
        let drives = list(&three, "drive")?;
        let drive = drives.iter().find(|drive| word(drive, "/name") == "node-3-a");
        let missing = drive.is_some_and(|drive| word(drive, "/status/state") == "Missing");
        let said = verb(&three, "explain volume/vol")?;
        Ok((missing && said.contains("node-3-a")).then_some(()))
    })?;
    put_drives_back(&three)?;
    verb(&three, "volume attach vol")?;
    remove(lab, &three, "vol")
}
