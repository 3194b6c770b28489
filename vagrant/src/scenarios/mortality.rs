//! kill -9 of every daemon at every single step of every verb, on the real kernel.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{CONFIG, LOG, kill, mdfabric, start_all, volume};
use crate::lab::Lab;
use crate::node::{Node, Spawned};
use crate::product::{
    Copy, Load, SMALL, SMALL_XFS, TWO_COPIES, copies, device, drive_device, is_clean, is_settled_on,
    nothing_left, until, verb,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "killed_after_every_step",
        shows: "create, attach, mount, move and grow under load, detach and delete, every daemon killed after each single step it does",
        lab: Needs::Cluster,
        run: |stage| at_every_step(stage, "after:/tmp/deaths", SMALL_XFS),
    },
    Scenario {
        name: "killed_before_every_step",
        shows: "the same verbs, every daemon killed before each single step it is about to do",
        lab: Needs::Cluster,
        run: |stage| at_every_step(stage, "before:/tmp/deaths", SMALL),
    },
];

const FILE: &str = "/mnt/vol/data";
/// The steps a node's daemon has died at, one a line: see `MDFABRIC_TEST_DIE`.
const DEATHS: &str = "/tmp/deaths";
/// How long a verb may take whose daemons die at every step.
const DEADLINE: Duration = Duration::from_mins(4);
/// What the command line may say of a daemon that died under it.
const LOST: [&str; 3] = ["no daemon answers", "the daemon went away", "has not read the records"];

/// The daemons of all nodes, each of which dies at every step once, and is started again.
struct Mortals<'a> {
    lab: &'a Lab,
    lives: Vec<(Node, Spawned)>,
    /// The node whose daemon is asked.
    asked: Node,
}

impl<'a> Mortals<'a> {
    /// Every daemon is killed, and from now on once at every step.
    fn start(lab: &'a Lab, death: &str) -> Result<Self> {
        let mut lives = Vec::new();
        for node in lab.nodes() {
            kill(&node)?;
            node.sh(&format!("rm -f {DEATHS}"))?.ok()?;
            let program = ["lab", "lives", "--config", CONFIG, "--log", LOG, "--death", death];
            lives.push((node.clone(), node.spawn_captured(&program)?));
        }
        Ok(Self { lab, lives, asked: lab.node("node-1")? })
    }

    /// Asks for a verb as often as the daemon dies under the command line, until it is done. `is_done` knows when
    /// asking again is refused because it is.
    fn play(&self, line: &str, is_done: impl Fn(&Self) -> bool) -> Result<()> {
        let (start, mut lost) = (Instant::now(), Vec::new());
        let words: Vec<&str> = line.split_whitespace().collect();
        self.lab.wait_for(line, DEADLINE, || {
            self.all_live_on()?;
            let output = mdfabric(&self.asked, &words)?;
            if output.status == 0 || is_done(self) {
                return Ok(Some(()));
            }
            let says = LOST.iter().any(|words| output.stderr.contains(words));
            ensure!(says, "{line}: exit status {}: {}", output.status, output.stderr);
            lost.push(output.stderr);
            Ok(None)
        })?;
        self.print(line, start.elapsed(), &lost)
    }

    /// What a verb has cost, and what the command line said when the daemon was gone.
    fn print(&self, line: &str, took: Duration, lost: &[String]) -> Result<()> {
        let deaths = self.deaths()?;
        let each: Vec<String> = deaths.iter().map(|(node, count)| format!("{node} {count}")).collect();
        let all: usize = deaths.iter().map(|(_, count)| count).sum();
        println!("    {line}: died at {all} steps ({}), {:.0} s", each.join(", "), took.as_secs_f64());
        if let Some(said) = lost.last() {
            let said = said.trim().replace('\n', " | ");
            println!("      {} times the command line had no daemon: {said}", lost.len());
        }
        ensure!(all > 0, "{line}: nobody died");
        Ok(())
    }

    /// No daemon has ended otherwise than it was told.
    fn all_live_on(&self) -> Result<()> {
        for (node, lives) in &self.lives {
            if let Some(ended) = lives.poll()? {
                anyhow::bail!(
                    "the daemon of {} lives no more: {}{}",
                    node.name(),
                    ended.stdout,
                    ended.stderr
                );
            }
        }
        Ok(())
    }

    /// How many steps each node's daemon has died at since this was asked last; it may die at them again.
    fn deaths(&self) -> Result<Vec<(String, usize)>> {
        let take = format!("mv {DEATHS} {DEATHS}.taken 2>/dev/null && cat {DEATHS}.taken; true");
        let count = |(node, _): &(Node, Spawned)| {
            let steps = node.sh(&take)?.ok()?.stdout;
            Ok((node.name().to_owned(), steps.lines().count()))
        };
        self.lives.iter().map(count).collect()
    }

    /// Ordinary daemons run again.
    fn end(self) -> Result<()> {
        for (node, lives) in &self.lives {
            lives.signal("KILL")?;
            lives.wait(Duration::from_secs(30))?;
            node.kill_process("mdfabric", "KILL")?;
        }
        start_all(self.lab)
    }
}

fn at_every_step(stage: &mut Stage<'_>, death: &str, form: &str) -> Result<()> {
    let lab = stage.lab()?;
    let [one, three] = [lab.node("node-1")?, lab.node("node-3")?];
    let all = Mortals::start(lab, death)?;
    let repeatable = |_: &Mortals| false;
    all.play(&format!("volume create vol {form} {TWO_COPIES}"), repeatable)?;
    all.play("volume attach vol --node node-1", repeatable)?;
    all.play("volume mount vol /mnt/vol", repeatable)?;
    let mut load = Load::new(lab, 12);
    load.start(&one, FILE)?;
    let before = copies(lab, &one, "vol")?;
    all.play("volume move vol --from node-2 --to node-3", has_moved)?;
    load.goes_on(20)?;
    all.play("volume grow vol 384MiB", repeatable)?;
    load.goes_on(20)?;
    load.stop()?;
    let old = before.iter().find(|copy| copy.node.name() == "node-2").context("no copy on node-2")?;
    old.is_wiped()?;
    until(lab, &one, "vol", "two copies in sync", |record| is_settled_on(record, &["node-1", "node-3"]))?;
    is_whole(&one)?;
    all.play("volume detach vol", repeatable)?;
    let after = copies(lab, &one, "vol")?;
    ensure!(after.len() == 2, "{after:?}");
    after.iter().try_for_each(|copy| copy.examine().map(drop))?;

    all.play("volume attach vol --node node-3", repeatable)?;
    all.play("volume mount vol /mnt/vol", repeatable)?;
    load.verify(&three, FILE)?;
    all.play("volume unmount vol", repeatable)?;
    is_clean(&three, "vol")?;
    all.play("volume detach vol", repeatable)?;
    all.play("volume rm vol", repeatable)?;
    all.end()?;
    after.iter().try_for_each(Copy::is_wiped)?;
    tables_are_whole(lab)?;
    verb(&one, "volume ls")?;
    nothing_left(lab)
}

fn has_moved(mortals: &Mortals) -> bool {
    volume(&mortals.asked, "vol").is_ok_and(|record| is_settled_on(&record, &["node-1", "node-3"]))
}

/// mdadm sees two members of two, both in sync.
fn is_whole(owner: &Node) -> Result<()> {
    let detail = owner.run(&["mdadm", "--detail", &device(owner, "vol")?])?.ok()?.stdout;
    let whole = detail.contains("Raid Devices : 2") && detail.contains("Active Devices : 2");
    ensure!(whole && !detail.contains("degraded"), "{detail}");
    Ok(())
}

fn tables_are_whole(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        let drive = drive_device(&node, &format!("{}-a", node.name()))?;
        let said = node.run(&["sfdisk", "-V", &drive])?.ok()?.stdout;
        ensure!(said.contains("No errors detected"), "{drive} of {}: {said}", node.name());
    }
    Ok(())
}
