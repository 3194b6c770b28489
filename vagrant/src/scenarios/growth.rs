//! Volumes that become larger while writers write.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage, refused};
use crate::daemon::word;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    Copy, FILE, Load, TWO_COPIES, copies, copies_are_equal, device, is_clean, is_settled_on, nothing_left,
    remove, until, verb, written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "grow_in_place_raw_ext4_xfs",
        shows: "a raw, an ext4 and an XFS volume grow to twice their size under load, each copy where it lies; device, file system and every copy are as large as they say, and equal",
        lab: Needs::Cluster,
        run: in_place,
    },
    Scenario {
        name: "grow_by_moving_first",
        shows: "copies with a neighbour move first, one within its node, one to another node since its own takes none, and the volume grows then, under load",
        lab: Needs::Cluster,
        run: by_moving_first,
    },
];

const MIB: u64 = 1 << 20;
/// MiB of somebody else's data behind a copy.
const LEFT: u64 = 16;
/// What every volume here is made with, MiB.
const SMALL: u64 = 320;

/// A volume of its own node, with drives of its own.
struct Growing<'a> {
    owner: Node,
    name: &'static str,
    /// What the writer writes.
    path: String,
    load: Load<'a>,
}

impl<'a> Growing<'a> {
    fn start(lab: &'a Lab, owner: &str, name: &'static str, places: &str, seed: u64) -> Result<Self> {
        let owner = lab.node(owner)?;
        verb(&owner, &format!("volume create {name} --size {SMALL}MiB --fs {name} --replicas 2 {places}"))?;
        verb(&owner, &format!("volume attach {name}"))?;
        let path = if name == "raw" {
            device(&owner, name)?
        } else {
            verb(&owner, &format!("volume mount {name} /mnt/{name}"))?;
            format!("/mnt/{name}/data")
        };
        let mut load = Load::new(lab, seed);
        load.start(&owner, &path)?;
        Ok(Self { owner, name, path, load })
    }

    /// The device, as the kernel has it, MiB.
    fn mib(&self) -> Result<u64> {
        let bytes = self.owner.run(&["blockdev", "--getsize64", &device(&self.owner, self.name)?])?.ok()?;
        Ok(bytes.text().parse::<u64>()? / MIB)
    }

    /// Something is written beyond the old end while the writer goes on.
    fn write_beyond(&self) -> Result<()> {
        let random = "if=/dev/urandom bs=1M conv=fsync status=none";
        let line = match self.name {
            "raw" => format!("dd {random} of={} seek=600 count=24", self.path),
            name => format!(
                "fallocate -l 400M /mnt/{name}/large && dd {random} of=/mnt/{name}/large conv=notrunc seek=370 count=24"
            ),
        };
        self.owner.sh(&line)?.ok().map(drop)
    }

    /// The file system has nearly all of the device.
    fn has_all_of_it(&self, mib: u64) -> Result<()> {
        if self.name != "raw" {
            let said = self.owner.sh(&format!("df -m --output=size /mnt/{} | tail -1", self.name))?.ok()?;
            let size: u64 = said.text().trim().parse()?;
            println!("    {}: df says {size} MiB of {mib}", self.name);
            ensure!(size > mib * 85 / 100 && size <= mib, "df says {size} MiB of {mib}");
        }
        Ok(())
    }

    /// What was behind the copies is nowhere in what was added. Of a file system's copies, that they are equal says as much.
    fn is_zero_beyond(&self) -> Result<()> {
        if self.name == "raw" {
            let (length, from) = ((LEFT + 2) * MIB, SMALL * MIB);
            let same = format!("cmp -n {length} -i {from}:0 {} /dev/zero", self.path);
            self.owner.sh(&same)?.ok().context("what is new is not zero")?;
        }
        Ok(())
    }

    fn end(mut self, lab: &Lab, mib: u64) -> Result<()> {
        let summary = self.load.stop()?;
        let [stall, pause] = [summary.longest_stall_ns, summary.longest_pause_ns].map(Duration::from_nanos);
        println!(
            "    {}: {} writes, longest {stall:.0?}, the guest's own longest pause {pause:.0?}",
            self.name, summary.writes
        );
        copies_are_equal(lab, &self.owner, self.name, SMALL - 32)?;
        self.load.verify(&self.owner, &self.path)?;
        if self.name != "raw" {
            verb(&self.owner, &format!("volume unmount {}", self.name))?;
            is_clean(&self.owner, self.name)?;
        }
        let all = copies(lab, &self.owner, self.name)?;
        verb(&self.owner, &format!("volume detach {}", self.name))?;
        for copy in &all {
            let said = copy.examine()?;
            let size = format!("Array Size : {} KiB", mib * 1024);
            ensure!(said.contains(&size), "{size:?} is not in\n{said}");
        }
        verb(&self.owner, &format!("volume rm {}", self.name))?;
        all.iter().try_for_each(Copy::is_wiped)
    }
}

fn has_grown(record: &Value, mib: u64) -> bool {
    record.pointer("/status/size").and_then(Value::as_u64) == Some(mib * MIB)
        && record.pointer("/status/growth").is_none_or(Value::is_null)
        && word(record, "/status/phase") == "Synced"
}

fn starts(copies: &[Copy]) -> Vec<(String, String, u64)> {
    let place = |copy: &Copy| (copy.node.name().to_owned(), copy.serial.clone(), copy.start);
    let mut all: Vec<_> = copies.iter().map(place).collect();
    all.sort();
    all
}

/// Each copy is alone on its drive, so that what follows it is free.
fn in_place(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    for node in lab.nodes() {
        verb(&node, &format!("drive add {}-b", node.name()))?;
    }
    let volumes = [
        Growing::start(lab, "node-1", "raw", "--on node-1/node-1-a --on node-2/node-2-a", 41)?,
        Growing::start(lab, "node-3", "ext4", "--on node-3/node-3-a --on node-1/node-1-b", 42)?,
        Growing::start(lab, "node-2", "xfs", "--on node-2/node-2-b --on node-3/node-3-b", 43)?,
    ];
    let large = 2 * SMALL;
    for volume in &volumes {
        let all = copies(lab, &volume.owner, volume.name)?;
        all.iter().try_for_each(used_behind)?;
        let before = starts(&all);
        let said = verb(&volume.owner, &format!("volume grow {} {large}MiB", volume.name))?;
        println!("    {}", said.trim());
        let record = until(lab, &volume.owner, volume.name, "grown", |record| has_grown(record, large))?;
        println!("    {}", last_event(&record));
        ensure!(starts(&copies(lab, &volume.owner, volume.name)?) == before, "{} has moved", volume.name);
        ensure!(volume.mib()? == large, "{}: the device has {} MiB", volume.name, volume.mib()?);
        volume.has_all_of_it(large)?;
        volume.is_zero_beyond()?;
        volume.write_beyond()?;
        volume.load.goes_on(20)?;
    }
    let one = lab.node("node-1")?;
    let same = verb(&one, "volume grow raw 640MiB")?;
    ensure!(same.contains("is 640 MiB large already"), "{same}");
    refused(&one, "volume grow raw 320MiB", 1, &["raw", "cannot be made smaller"])?;
    refused(&one, "volume grow raw 64GiB", 1, &["raw", "no other place", "node-3"])?;
    for volume in volumes {
        volume.end(lab, large)?;
    }
    nothing_left(lab)?;
    for node in lab.nodes() {
        verb(&node, &format!("drive remove {}-b", node.name()))?;
    }
    Ok(())
}

/// The drive's space behind a copy has what somebody else has left there.
fn used_behind(copy: &Copy) -> Result<()> {
    let (drive, mib) = (copy.drive()?, copy.start / MIB + SMALL + 2);
    let fill =
        format!("dd if=/dev/urandom of={drive} bs=1M seek={mib} count={LEFT} oflag=direct conv=notrunc");
    copy.node.sh(&fill)?.ok().map(drop)
}

fn last_event(record: &Value) -> String {
    let events = record.pointer("/status/events").and_then(Value::as_array);
    events.and_then(|events| events.last()).map(|event| word(event, "/message")).unwrap_or_default()
}

/// A neighbour follows both copies. Node-2's drive takes no new copies: its copy cannot move within it.
fn by_moving_first(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 44, TWO_COPIES)?;
    verb(&one, &format!("volume create next --size {SMALL}MiB --fs raw {TWO_COPIES}"))?;
    let before = copies(lab, &one, "vol")?;
    verb(&one, "drive cordon node-2-a")?;
    let said = verb(&one, "volume grow vol +64MiB --dry-run")?;
    for words in ["it moves first, now it would go to node-1", "now it would go to node-3", "384 MiB large"] {
        ensure!(said.contains(words), "{words:?} is not in\n{said}");
    }
    println!("    {}", verb(&one, "volume grow vol +64MiB")?.trim().replace('\n', "; "));
    let record = until(lab, &one, "vol", "grown on node-1 and node-3", |record| {
        has_grown(record, SMALL + 64) && is_settled_on(record, &["node-1", "node-3"])
    })?;
    println!("    {}", last_event(&record));
    let (old, new) = (starts(&before), starts(&copies(lab, &one, "vol")?));
    ensure!(new.iter().all(|place| !old.contains(place)), "from {old:?} to {new:?}");
    before.iter().try_for_each(Copy::is_wiped)?;
    load.goes_on(20)?;
    let summary = load.stop()?;
    println!("    longest write {:.0?}", Duration::from_nanos(summary.longest_stall_ns));
    copies_are_equal(lab, &one, "vol", SMALL - 32)?;
    load.verify(&one, FILE)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&one, "vol")?;
    verb(&one, "drive uncordon node-2-a")?;
    verb(&one, "volume rm next")?;
    remove(lab, &one, "vol").context("after the growth")
}
