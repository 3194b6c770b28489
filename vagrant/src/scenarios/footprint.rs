//! What a daemon costs that has nothing to do. Prints; judges only that there is something to print.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Needs, Scenario, Stage};
use crate::daemon::{add_drives, start_all};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::verb;
use crate::setup::product::is_static;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "idle_costs_nothing",
    shows: "memory, processor time and wake-ups of idle daemons with 1 and with 20 volumes, and the size of the binary",
    lab: Needs::Blank,
    run: idle,
}];

/// How long an idle daemon is watched.
const WATCHED: Duration = Duration::from_secs(10);
/// Clock ticks a second in /proc/PID/stat (`USER_HZ`).
pub(super) const TICKS: f64 = 100.0;
const NODES: usize = 3;
const VOLUMES: usize = 20;

fn idle(stage: &mut Stage<'_>) -> Result<()> {
    let product = stage.parts.programs.last().context("no program to look at")?;
    let mib = f64::from(u32::try_from(fs::metadata(product)?.len() >> 10)?) / 1024.0;
    let linked = if is_static(&fs::read(product)?).context("no ELF")? { "static" } else { "dynamic" };
    println!("    the binary: {mib:.1} MiB, {linked}");
    let lab = stage.lab()?;
    start_all(lab)?;
    add_drives(lab)?;
    for node in lab.nodes() {
        verb(&node, &format!("drive add {}-b", node.name()))?;
    }
    attach(lab, 0..1)?;
    print_idle(lab, 1)?;
    attach(lab, 1..VOLUMES)?;
    print_idle(lab, VOLUMES)
}

/// One-copy volumes, spread over the nodes; all are made at once, then attached where they are.
fn attach(lab: &Lab, numbers: std::ops::Range<usize>) -> Result<()> {
    let asked = lab.node("node-1")?;
    let home = |number: usize| format!("node-{}", number % NODES + 1);
    for number in numbers.clone() {
        let place = home(number);
        verb(
            &asked,
            &format!("volume create v{number} --size 320MiB --replicas 1 --fs raw --on {place} --no-wait"),
        )?;
    }
    for number in numbers {
        verb(&asked, &format!("volume attach v{number} --node {}", home(number)))?;
    }
    Ok(())
}

/// What /proc says of a daemon.
#[derive(Debug, Clone)]
struct Usage {
    resident_kib: f64,
    anonymous_kib: f64,
    /// User and system time since its start, clock ticks.
    ticks: f64,
    /// Times each of its threads went to sleep of its own will, by thread id.
    sleeps: BTreeMap<u32, f64>,
}

impl Usage {
    /// Sleeps since `before` of the threads that were there then and are there now.
    fn sleeps_since(&self, before: &Self) -> f64 {
        let more = |(thread, count): (&u32, &f64)| Some(count - before.sleeps.get(thread)?);
        self.sleeps.iter().filter_map(more).sum()
    }
}

fn usage(node: &Node) -> Result<Usage> {
    let look = "p=/proc/$(pgrep -x mdfabric); awk '/^VmRSS|^RssAnon/ { print $2 }' $p/status; \
                awk '{ print $14 + $15 }' $p/stat; cat $p/task/*/status | awk '/^Pid/ { t = $2 } /^voluntary/ { print t, $2 }'";
    let said = node.sh(look)?.ok()?.stdout;
    read_usage(&said).with_context(|| format!("{}: cannot read {said:?}", node.name()))
}

fn read_usage(said: &str) -> Option<Usage> {
    let mut lines = said.lines();
    let mut figure = || lines.next()?.parse().ok();
    let (resident_kib, anonymous_kib, ticks) = (figure()?, figure()?, figure()?);
    let thread = |line: &str| {
        let (thread, count) = line.split_once(' ')?;
        Some((thread.parse().ok()?, count.parse().ok()?))
    };
    Some(Usage { resident_kib, anonymous_kib, ticks, sleeps: lines.map(thread).collect::<Option<_>>()? })
}

fn print_idle(lab: &Lab, volumes: usize) -> Result<()> {
    let (nodes, start) = (lab.nodes(), Instant::now());
    let before: Vec<Usage> = nodes.iter().map(usage).collect::<Result<_>>()?;
    lab.wait_for(
        "the daemons to be watched",
        WATCHED * 2,
        || Ok((start.elapsed() >= WATCHED).then_some(())),
    )?;
    println!("    {volumes} volumes, {:.0} s without anything to do:", WATCHED.as_secs_f64());
    for (node, before) in nodes.iter().zip(before) {
        let now = usage(node)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "      {}: {:.1} MiB resident ({:.1} anonymous), {:.1} % of an emulated processor, {:.1} wake-ups a second",
            node.name(),
            now.resident_kib / 1024.0,
            now.anonymous_kib / 1024.0,
            (now.ticks - before.ticks) / TICKS / seconds * 100.0,
            now.sleeps_since(&before) / seconds
        );
    }
    Ok(())
}
