//! Volumes of several columns.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::failover::how_it_was_filled;
use super::{Needs, Scenario, Stage, refused};
use crate::daemon::{self, kill, start_and_wait};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    Copy, Load, arrays, copies, copies_are_equal, device, is_clean, is_settled_on, nothing_left, until, verb,
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "stripes_of_two_columns",
    shows: "a volume striped over two drives of each node: a lost copy comes back by bitmap in both columns, it moves and grows \
            under load although the daemon is killed meanwhile, and leaves nothing behind",
    lab: Needs::Cluster,
    run: two_columns,
}];

const MIB: u64 = 1 << 20;
/// What the volume is made with and what it becomes, MiB.
const SMALL: u64 = 320;
const LARGE: u64 = 384;
const FILE: &str = "/mnt/wide/data";

fn two_columns(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    let create =
        format!("volume create wide --size {SMALL}MiB --fs ext4 --on node-1 --on node-2 --stripe-width");
    refused(&one, &format!("{create} 9"), 1, &["stripeWidth 9", "1 to 8"])?;
    refused(&one, &format!("{create} 2"), 1, &["node-1: 1 drive with room, 2 needed"])?;
    for node in lab.nodes() {
        verb(&node, &format!("drive add {}-b", node.name()))?;
    }
    verb(&one, &format!("{create} 2"))?;
    verb(&one, "volume attach wide")?;
    verb(&one, "volume mount wide /mnt/wide")?;
    is_striped(&one, SMALL)?;
    let mut load = Load::new(lab, 91);
    load.start(&one, FILE)?;

    lost_and_back(lab, &one, &load)?;
    killed_meanwhile(lab, &one, "volume move wide --from node-2 --to node-3")?;
    until(lab, &one, "wide", "moved", |record| is_settled_on(record, &["node-1", "node-3"]))?;
    load.goes_on(20)?;
    killed_meanwhile(lab, &one, &format!("volume grow wide {LARGE}MiB"))?;
    until(lab, &one, "wide", "grown", |record| {
        record.pointer("/status/size").and_then(serde_json::Value::as_u64) == Some(LARGE * MIB)
            && record.pointer("/status/growth").is_none_or(serde_json::Value::is_null)
    })?;
    is_striped(&one, LARGE)?;
    load.goes_on(20)?;
    end(lab, &one, load)
}

/// Two columns in chunks of 128 KiB, as dmsetup sees them, each of them an array with two copies, as mdadm does.
fn is_striped(owner: &Node, mib: u64) -> Result<()> {
    let device = device(owner, "wide")?;
    let name = device.trim_start_matches("/dev/");
    let table = owner.sh(&format!("dmsetup table $(cat /sys/block/{name}/dm/name)"))?.ok()?;
    println!("    {device}: {}", table.text());
    let begins = format!("0 {} striped 2 256 9:", mib * 2048);
    ensure!(table.text().starts_with(&begins), "{begins:?} is not how the table begins: {}", table.text());
    let columns = arrays(owner, "wide")?;
    ensure!(columns.len() == 2, "the columns are {columns:?}");
    for column in columns {
        let said = owner.run(&["mdadm", "--detail", &format!("/dev/{column}")])?.ok()?.stdout;
        let size = format!("Array Size : {} ", mib * 512);
        for words in ["Raid Level : raid1", "Total Devices : 2", "Active Devices : 2", &size] {
            ensure!(said.contains(words), "{words:?} is not in mdadm --detail\n{said}");
        }
    }
    Ok(())
}

/// Out of reach for longer than is waited for: what was written meanwhile is copied, in both columns, and nothing else.
fn lost_and_back(lab: &Lab, one: &Node, load: &Load<'_>) -> Result<()> {
    lab.cut("node-1", "node-2")?;
    until(lab, one, "wide", "the copy on node-2 is missing", |record| {
        daemon::synced_on(record) == ["node-1"]
    })?;
    load.goes_on(20)?;
    lab.heal()?;
    until(lab, one, "wide", "two copies again", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    let filled = how_it_was_filled(one, 2)?;
    let by_bitmap = filled.matches("(Bitmap recovery)").count();
    println!("    {by_bitmap} columns came back by bitmap");
    ensure!(by_bitmap == 2, "it was filled so:\n{filled}");
    Ok(())
}

/// The owner's daemon is killed as soon as the verb was taken, and started again.
fn killed_meanwhile(lab: &Lab, owner: &Node, line: &str) -> Result<()> {
    verb(owner, &format!("{line} --no-wait"))?;
    kill(owner)?;
    start_and_wait(lab, owner)
}

fn end(lab: &Lab, owner: &Node, mut load: Load<'_>) -> Result<()> {
    let summary = load.stop()?;
    println!("    {} writes, longest {:.0?}", summary.writes, Duration::from_nanos(summary.longest_stall_ns));
    copies_are_equal(lab, owner, "wide", 0)?;
    load.verify(owner, FILE)?;
    verb(owner, "volume unmount wide")?;
    is_clean(owner, "wide")?;
    let all = copies(lab, owner, "wide")?;
    ensure!(all.len() == 4, "{} partitions of two copies in two columns", all.len());
    verb(owner, "volume detach wide")?;
    all.iter().try_for_each(|copy| copy.examine().map(drop))?;
    verb(owner, "volume rm wide")?;
    all.iter().try_for_each(Copy::is_wiped)?;
    nothing_left(lab)?;
    lab.nodes().iter().try_for_each(|node| verb(node, &format!("drive remove {}-b", node.name())).map(drop))
}
