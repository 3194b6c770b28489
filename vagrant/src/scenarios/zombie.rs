//! A paused owner wakes up after its volume was taken over, with processes that know nothing of it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::failover::{FAIL_OVER_DEADLINE, attach_elsewhere, hops, is_mounted, is_whole_again};
use super::{Needs, Scenario, Stage};
use crate::guest::reader::{self, FAILED};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{FILE, Load, TWO_COPIES, verb, written_volume, written_xfs};
use crate::supervisor::control::Power;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "paused_owner_wakes_as_a_zombie",
        shows: "an owner that was paused under load while its volume was taken over acknowledges nothing when it wakes up, \
                soon gives no old data, ends who used it, and its copy comes back by a full copy",
        lab: Needs::Cluster,
        run: |stage| wakes(stage, |lab| written_xfs(lab, 24, TWO_COPIES)),
    },
    Scenario {
        name: "paused_owner_wakes_as_a_zombie_with_ext4",
        shows: "the same with ext4, which acknowledges what a leg held even after it was shut down: its writer is ended first",
        lab: Needs::Cluster,
        run: |stage| wakes(stage, |lab| written_volume(lab, 25, TWO_COPIES)),
    },
];

/// One block that says which owner wrote it.
const MARK: &str = "/mnt/vol/mark";
const LOG: &str = "/run/reader.log";

fn wakes(stage: &mut Stage<'_>, written: fn(&Lab) -> Result<(Node, Load<'_>)>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written(lab)?;
    let two = lab.node("node-2")?;
    mark(&one, '1')?;
    one.spawn(&["lab", "reader", "--path", MARK, "--log", LOG])?;
    load.goes_on(100)?;
    let asleep = reader::parse_uptime(&one.sh("cat /proc/uptime")?.ok()?.stdout)?;
    lab.power("node-1", Power::Pause)?;
    load.lost()?;
    attach_elsewhere(&two)?;
    is_mounted(lab, &two)?;
    load.verify(&two, FILE)?;
    mark(&two, '2')?;
    load.start(&two, FILE)?;
    lab.power("node-1", Power::Resume)?;
    let woken = Instant::now();
    lets_go(lab, &one)?;
    println!("    node-1 has let go {} ms after it was woken", woken.elapsed().as_millis());
    println!("    from its first step: {}", hops(&one, "begin: shut the file", "done: disconnect")?);

    // A write that was done before the pause may be logged after it; it is on every copy, as the last proof shows.
    let late = load.late(&one)?;
    ensure!(late <= 1, "{late} writes were acknowledged after the wake");
    println!("    writes of before the pause that were logged after it: {late}");
    println!("    {}", old_reads(&one, asleep)?);
    is_told(&one, &two)?;
    is_whole_again(lab, &two, load)
}

fn mark(node: &Node, byte: char) -> Result<()> {
    let write = "dd bs=4096 count=1 iflag=fullblock oflag=direct conv=notrunc,fsync";
    node.sh(&format!("tr '\\0' {byte} </dev/zero | {write} of={MARK}"))?.ok().map(drop)
}

fn lets_go(lab: &Lab, node: &Node) -> Result<()> {
    lab.wait_for(&format!("{} to let go of vol", node.name()), FAIL_OVER_DEADLINE, || {
        let held = "ls -d /sys/block/md* /sys/block/dm-* /sys/class/nvme-fabrics/ctl/nvme* 2>/dev/null";
        Ok(node.sh(held)?.text().is_empty().then_some(()))
    })
}

/// For how long the woken node gave old data: until the first read that failed, and never again.
fn old_reads(node: &Node, asleep: u64) -> Result<String> {
    let log = String::from_utf8(node.get_file(LOG)?)?;
    let (whole, _) = log.rsplit_once('\n').context("nothing was read")?;
    let reads = reader::parse(whole)?;
    let last = reads.iter().rev().find(|read| read.gave('1')).context("nothing was ever read")?;
    let failed = reads.iter().filter(|read| read.gave(FAILED)).count();
    let first = reads.iter().find(|read| read.gave(FAILED)).map_or(u64::MAX, |read| read.at);
    ensure!(last.at <= first, "old data was read again after reads had begun to fail: {last:?}");
    let after = last.at.saturating_sub(asleep) * 10;
    Ok(format!("old data was last read at most {after} ms after the wake; {failed} reads failed after that"))
}

/// Who was ended, and why, stands in the volume's events, and nobody of them is left.
fn is_told(one: &Node, two: &Node) -> Result<()> {
    let said = verb(two, "explain volume/vol")?;
    ensure!(said.contains("node-1 ended lab (pid "), "nobody says who was ended: {said}");
    let left = one.sh("pgrep -f 'lab (reader|writer)'")?;
    ensure!(left.status != 0, "still there: {}", left.text());
    Ok(())
}
