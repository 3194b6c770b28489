//! Power can be cut and comes back; what was durable is still there.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lab_power_cut_and_on",
        shows: "a power cut ends a node at once; drives and state disk keep what was synced, everything else is new",
        lab: Needs::Blank,
        run: cut_and_on,
    },
    Scenario {
        name: "lab_pause_and_resume",
        shows: "a paused node answers nothing and goes on where it stopped",
        lab: Needs::AsIs,
        run: pause_and_resume,
    },
];

fn cut_and_on(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let node = lab.node("node-2")?;
    node.sh("echo kept >/var/lib/mdfabric/f; sync -f /var/lib/mdfabric; echo gone >/root/f")?.ok()?;
    node.sh("yes mdfabric | head -c 1048576 | dd of=/dev/nvme0n1 bs=1M oflag=direct iflag=fullblock")?
        .ok()?;
    let sum =
        node.sh("head -c 1048576 /dev/nvme0n1 | sha256sum; cat /sys/block/nvme0n1/device/serial")?.ok()?;

    node.power_cut()?;
    ensure!(
        lab.status()?.nodes.iter().any(|(name, pid)| name == "node-2" && pid.is_none()),
        "it is still on"
    );
    let gone = lab.node("node-1")?.run(&["ping", "-q", "-c", "1", "-W", "2", &node.address()])?;
    ensure!(gone.status != 0, "a node without power answers");

    node.power_on()?;
    node.wait_up()?;
    let drive = "d=$(grep -l node-2-a /sys/class/nvme/*/serial | cut -d/ -f5); head -c 1048576 /dev/${d}n1 | sha256sum; \
                 cat /sys/class/nvme/$d/serial";
    let drive = if sum.stdout.contains("node-2-b") {
        drive.replace("node-2-a", "node-2-b")
    } else {
        drive.to_owned()
    };
    ensure!(node.sh(&drive)?.ok()?.text() == sum.text(), "the drive lost what was written directly");
    ensure!(
        node.run(&["cat", "/var/lib/mdfabric/f"])?.ok()?.text() == "kept",
        "the state disk lost a synced file"
    );
    ensure!(node.run(&["test", "-e", "/root/f"])?.status == 1, "the root file system outlived the power cut");
    Ok(())
}

fn pause_and_resume(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, two) = (lab.node("node-1")?, lab.node("node-2")?);
    one.pause()?;
    let silent = two.run(&["ping", "-q", "-c", "1", "-W", "2", &one.address()])?;
    one.resume()?;
    ensure!(silent.status != 0, "a paused node answers");
    lab.wait_for("the resumed node to answer", Duration::from_secs(30), || {
        Ok((two.run(&["ping", "-q", "-c", "1", "-W", "2", &one.address()])?.status == 0).then_some(()))
    })
}
