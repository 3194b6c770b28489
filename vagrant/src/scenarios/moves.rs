//! Copies move while an application writes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::daemon::{synced_on, word};
use crate::lab::Lab;
use crate::node::{Node, Spawned};
use crate::product::{Load, copies, device, is_clean, is_settled_on, remove, until, verb};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "move_of_one_of_two_copies_under_load",
        shows: "one of two copies moves to a third node while a writer writes: never fewer than two in sync, nothing lost; used on a node without a copy it gets a local one, and then loses another, \
                with three members meanwhile",
        lab: Needs::Cluster,
        run: one_of_two,
    },
    Scenario {
        name: "one_copy_follows_its_owner",
        shows: "a one-copy volume attached elsewhere is served at once, gets a local copy and drops the remote one",
        lab: Needs::Cluster,
        run: follows_owner,
    },
];

/// How many slots the kernel has and how many members in sync, looked at all the time.
pub(super) struct Sampler {
    node: Node,
    loop_in_guest: Spawned,
}

/// What a sampler has seen.
pub(super) struct Sampled {
    /// The fewest members in sync.
    pub(super) fewest: u32,
    /// The most slots.
    pub(super) slots: u32,
    /// How often it has looked.
    pub(super) looks: usize,
}

impl Sampler {
    pub(super) fn start(node: &Node) -> Result<Self> {
        let script = "while :; do grep -o '\\[[0-9]*/[0-9]*\\]' /proc/mdstat; sleep 0.05; done >/tmp/in-sync";
        Ok(Self { node: node.clone(), loop_in_guest: node.spawn(&["sh", "-c", script])? })
    }

    /// Ends it.
    pub(super) fn stop(&self) -> Result<Sampled> {
        self.loop_in_guest.signal("KILL")?;
        let seen = self.node.run(&["cat", "/tmp/in-sync"])?.ok()?;
        counted(&seen.stdout).context("the sampler saw no array")
    }
}

/// Of lines like `[3/2]`: three slots, two members in sync.
fn counted(lines: &str) -> Option<Sampled> {
    let counts = |line: &str| {
        let (slots, in_sync) = line.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
        Some((slots.parse().ok()?, in_sync.parse().ok()?))
    };
    let counts: Vec<(u32, u32)> = lines.lines().filter_map(counts).collect();
    let fewest = counts.iter().map(|(_, in_sync)| *in_sync).min()?;
    let slots = counts.iter().map(|(slots, _)| *slots).max()?;
    Some(Sampled { fewest, slots, looks: counts.len() })
}

fn one_of_two(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, "volume create vol --size 320MiB --replicas 2 --on node-1 --on node-2")?;
    verb(&one, "volume attach vol")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let before = copies(lab, &one, "vol")?;
    let phases = Phases::start(&one)?;
    let mut load = Load::new(lab, 3);
    load.start(&one, "/mnt/vol/data")?;
    let sampler = Sampler::start(&one)?;
    println!("    {}", verb(&one, "volume move vol --from node-2 --to node-3")?.trim());
    let Sampled { fewest, slots, looks } = sampler.stop()?;
    ensure!(fewest >= 2, "only {fewest} members were in sync at one of {looks} looks");
    ensure!(slots == 3, "there were never more than {slots} slots for two copies and the one that comes");
    phases.went(&["Synced", "Syncing", "Replacing", "Synced"])?;
    load.goes_on(20)?;
    let summary = load.stop()?;
    let (stall, pause) = (summary.longest_stall_ns, summary.longest_pause_ns);
    let [stall, pause] = [stall, pause].map(Duration::from_nanos);
    println!("    {} writes, longest {stall:.0?}, the guest's own longest pause {pause:.0?}", summary.writes);
    println!("    {looks} looks at the array");

    until(lab, &one, "vol", "two copies on node-1 and node-3", |record| {
        is_settled_on(record, &["node-1", "node-3"])
    })?;
    let old = before.iter().find(|copy| copy.node.name() == "node-2").context("no copy on node-2")?;
    old.is_wiped()?;
    verb(&one, "volume detach vol")?;
    let two = lab.node("node-2")?;
    used_where_no_copy_is(lab, &two, &mut load)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&two, "vol")?;
    remove(lab, &one, "vol")
}

/// Both copies are elsewhere: it is served at once by both of them, and a local one takes the place of one of them, with three members
/// meanwhile.
fn used_where_no_copy_is(lab: &Lab, two: &Node, load: &mut Load<'_>) -> Result<()> {
    verb(two, "volume attach vol --node node-2")?;
    let sampler = Sampler::start(two)?;
    verb(two, "volume mount vol /mnt/vol")?;
    load.verify(two, "/mnt/vol/data")?;
    load.start(two, "/mnt/vol/data")?;
    let with_local = [["node-1", "node-2"], ["node-2", "node-3"]];
    let record = until(lab, two, "vol", "a local copy", |record| {
        with_local.iter().any(|nodes| is_settled_on(record, nodes))
    })?;
    let Sampled { fewest, slots, looks } = sampler.stop()?;
    ensure!(fewest >= 2 && slots == 3, "{fewest} in sync, {slots} slots at one of {looks} looks");
    println!("    used on node-2, which had no copy: they are on {} now", synced_on(&record).join(" and "));
    load.stop()?;
    load.verify(two, "/mnt/vol/data").map(drop)
}

fn follows_owner(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let [one, two] = [lab.node("node-1")?, lab.node("node-2")?];
    verb(&one, "volume create solo --size 320MiB --replicas 1 --on node-1")?;
    verb(&one, "volume attach solo")?;
    verb(&one, "volume mount solo /mnt/solo")?;
    let mut load = Load::new(lab, 4);
    load.start(&one, "/mnt/solo/data")?;
    load.stop()?;
    verb(&one, "volume detach solo")?;
    let old = copies(lab, &one, "solo")?;

    let phases = Phases::start(&two)?;
    let wide = two.spawn(&["sh", "-c", "exec mdfabric volume ls -w -o wide >/tmp/wide 2>&1"])?;
    verb(&one, "volume attach solo --node node-2")?;
    verb(&one, "volume mount solo /mnt/solo")?;
    load.start(&two, "/mnt/solo/data")?;
    until(lab, &two, "solo", "its only copy on node-2", |record| is_settled_on(record, &["node-2"]))?;
    phases.went(&["Synced", "Syncing", "Replacing", "Synced"])?;
    wide.signal("TERM")?;
    counts_members(&two.run(&["cat", "/tmp/wide"])?.ok()?.stdout, ["2", "1", "0", "0"])?;
    load.stop()?;
    is_local_and_missing(lab, &two, "solo")?;
    old.iter().try_for_each(crate::product::Copy::is_wiped)?;
    load.verify(&two, "/mnt/solo/data")?;
    remove(lab, &two, "solo")
}

/// The line of a table of volumes that says how far the filling is.
pub(super) fn filling(table: &str) -> Option<&str> {
    table.lines().find(|line| line.contains("Syncing") && line.contains("recovering") && line.contains('%'))
}

/// The wide table has said how far the filling is, and meanwhile counted so many members, in sync, failed and down.
pub(super) fn counts_members(table: &str, counts: [&str; 4]) -> Result<()> {
    let filling = filling(table).with_context(|| format!("no line tells of the filling:\n{table}"))?;
    println!("    {}\n    {filling}", table.lines().next().unwrap_or_default());
    let fields: Vec<&str> = filling.split_whitespace().collect();
    ensure!(fields.ends_with(&counts), "TOTAL ACTIVE FAILED DOWN are not {counts:?}: {filling}");
    Ok(())
}

/// What a watch of the only volume shows as its PHASE.
pub(super) struct Phases {
    node: Node,
    watch: Spawned,
}

impl Phases {
    pub(super) fn start(node: &Node) -> Result<Self> {
        let watch = node.spawn(&["sh", "-c", "exec mdfabric volume ls -w -o json >/tmp/phases 2>&1"])?;
        Ok(Self { node: node.clone(), watch })
    }

    /// Ends the watch; it has seen these, in this order, and may have seen more.
    pub(super) fn went(&self, through: &[&str]) -> Result<()> {
        self.watch.signal("TERM")?;
        let text = self.node.run(&["cat", "/tmp/phases"])?.ok()?.stdout;
        let mut phases: Vec<String> = Vec::new();
        for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
            let phase = value?.pointer("/0").map(|volume| word(volume, "/status/phase")).unwrap_or_default();
            if phases.last() != Some(&phase) {
                phases.push(phase);
            }
        }
        come_in_order("PHASE", &phases, through)
    }
}

/// What a column showed came in this order; more may have come between.
pub(super) fn come_in_order(column: &str, seen: &[String], through: &[&str]) -> Result<()> {
    let all = seen.join(", ");
    println!("    {column} went {all}");
    let mut seen = seen.iter();
    for wanted in through {
        ensure!(seen.any(|word| word == wanted), "{column} went {all}: no {wanted} in its place");
    }
    Ok(())
}

/// A two-slot array with one local member and one missing one, as mdadm sees it.
pub(super) fn is_local_and_missing(lab: &Lab, node: &Node, name: &str) -> Result<()> {
    let device = device(node, name)?;
    let detail = lab.wait_for("mdadm to see one member", Duration::from_secs(30), || {
        let detail = node.run(&["mdadm", "--detail", &device])?.ok()?.stdout;
        Ok((detail.contains("Raid Devices : 2") && detail.contains("Total Devices : 1")).then_some(detail))
    })?;
    ensure!(detail.contains("removed") && detail.contains("active sync"), "{detail}");
    let local = detail.lines().find(|line| line.contains("active sync")).unwrap_or_default();
    ensure!(local.contains("/dev/nvme"), "the member is not local: {local}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sampler_counts_slots_and_members() {
        let Sampled { fewest, slots, looks } = counted("[2/2]\n[3/2]\n[3/3]\n[2/2]\n").unwrap();
        assert_eq!((fewest, slots, looks), (2, 3, 4));
        assert!(counted("").is_none());
    }

    #[test]
    fn what_comes_between_does_not_count_but_order_does() {
        let seen = ["Synced", "Waiting", "Syncing", "Synced"].map(str::to_owned);
        assert!(come_in_order("PHASE", &seen, &["Synced", "Syncing", "Synced"]).is_ok());
        assert!(come_in_order("PHASE", &seen, &["Syncing", "Waiting"]).is_err());
    }
}
