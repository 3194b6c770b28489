//! Damaged records on drives.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::daemon::{kill, start_and_wait, word};
use crate::product::{Load, copies, device, drive_device, list, remove, until, verb};
use crate::scenarios::Stage;

/// The primary table is overwritten while no daemon looks; the next one repairs it.
pub(super) fn partition_table(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let two = lab.node("node-2")?;
    verb(&two, "volume create vol --size 320MiB --replicas 1 --on node-2")?;
    let drive = drive_device(&two, "node-2-a")?;
    kill(&two)?;
    two.sh(&format!("head -c 16384 /dev/urandom | dd of={drive} bs=512 seek=1 conv=notrunc oflag=direct"))?
        .ok()?;
    let damaged = two.run(&["sfdisk", "-V", &drive])?;
    ensure!(
        !damaged.stdout.contains("No errors detected") || !damaged.stderr.is_empty(),
        "it is not damaged: {damaged:?}"
    );
    start_and_wait(lab, &two)?;
    lab.wait_for("the table to be repaired", Duration::from_mins(1), || {
        let table = two.run(&["sfdisk", "-V", &drive])?;
        let whole = table.stdout.contains("No errors detected") && !table.stderr.contains("corrupt");
        Ok(whole.then_some(()))
    })?;
    verb(&two, "volume attach vol")?;
    remove(lab, &two, "vol")
}

/// The superblock of one of two copies is overwritten while the volume is detached.
pub(super) fn superblock(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, "volume create vol --size 320MiB --replicas 2 --fs raw --on node-1 --on node-2")?;
    verb(&one, "volume attach vol")?;
    let mut load = Load::new(lab, 10);
    load.start(&one, &device(&one, "vol")?)?;
    load.stop()?;
    verb(&one, "volume detach vol")?;
    let copies = copies(lab, &one, "vol")?;
    let hurt = copies.iter().find(|copy| copy.node.name() == "node-2").context("no copy on node-2")?;
    let partition = hurt.partition()?;
    let overwrite =
        format!("head -c 4096 /dev/urandom | dd of={partition} bs=4096 seek=1 conv=notrunc oflag=direct");
    hurt.node.sh(&overwrite)?.ok()?;
    verb(&one, "volume attach vol")?;
    load.verify(&one, &device(&one, "vol")?)?;
    until(lab, &one, "vol", "the reason of the Faulty copy", |record| {
        record.to_string().contains("superblock")
    })?;
    let replicas = list(&one, "replica")?;
    let copy = replicas.iter().find(|replica| word(replica, "/spec/node") == "node-2");
    ensure!(copy.is_some_and(|copy| word(copy, "/state") == "Faulty"), "{replicas:?}");
    remove(lab, &one, "vol")
}
