//! A new copy is compared with the old ones before one of them goes, by the kernel's own check over everything.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::brake::{self, Speed};
use super::{Needs, Scenario, Stage};
use crate::daemon::{synced_on, word};
use crate::lab::Lab;
use crate::node::{Node, Spawned};
use crate::product::{
    Load, TWO_COPIES, copy_on, device, is_clean, is_settled_on, remove, until, verb, written_volume,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "move_with_full_verification",
        shows: "with --verify full the kernel checks every sector under load before the old copy is dropped",
        lab: Needs::Cluster,
        run: everything_is_equal,
    },
    Scenario {
        name: "move_with_a_damaged_new_copy",
        shows: "one sector of the new copy is damaged while it is checked: it is Faulty, the old copy stays, nothing is lost",
        lab: Needs::Cluster,
        run: one_sector_differs,
    },
    Scenario {
        name: "move_with_a_new_copy_damaged_where_samples_are_taken",
        shows: "without --verify the ends, what the file system hangs on and some of the rest are compared: one sector that differs there, and \
                the new copy is Faulty, the old one stays, nothing is lost",
        lab: Needs::Cluster,
        run: a_sample_differs,
    },
];

const FILE: &str = "/mnt/vol/data";
/// Where the kernel's check was seen, one line a look.
const CHECKS: &str = "/tmp/checks";
/// Slow enough for the copy to be damaged before the check is there.
const BRAKED: Speed = (500, 1000);
/// So is that for the copy to be damaged where it is filled already.
const BRAKED_FILLING: Speed = (1000, 6000);
/// In the first MiB, which is always compared, bytes from the start of the data: inodes that nobody uses.
const SAMPLED: u64 = (1 << 20) - 512;
/// The damaged byte, bytes from the start of the data: near the end of 320 MiB, where nothing was written.
const DAMAGE: u64 = 290 << 20;

/// A volume with a copy on node-1, its owner, and on node-2, a writer on it, and node-2's copy asked to go to node-3.
fn moving_volume(lab: &Lab, seed: u64, braked: bool) -> Result<(Node, Load<'_>, Spawned)> {
    let one = lab.node("node-1")?;
    verb(&one, "volume create vol --size 320MiB --replicas 2 --on node-1 --on node-2 --verify full")?;
    verb(&one, "volume attach vol")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let mut load = Load::new(lab, seed);
    load.start(&one, FILE)?;
    let look = watch_checks(&one, braked)?;
    verb(&one, "volume move vol --from node-2 --to node-3 --no-wait")?;
    Ok((one, load, look))
}

/// Looks all the time whether the kernel checks; `braked` slows it down as soon as it does.
fn watch_checks(node: &Node, braked: bool) -> Result<Spawned> {
    let brake = if braked { brake::script(BRAKED) } else { ":".to_owned() };
    // Once: who releases it meanwhile is not braked again.
    let script = format!(
        "rm -f {CHECKS}; first=yes; while :; do grep -o 'check = *[0-9.]*%' /proc/mdstat && [ $first ] && {{ {brake}; first=; }}; sleep 0.05; done >{CHECKS}"
    );
    node.spawn(&["sh", "-c", &script])
}

fn everything_is_equal(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load, look) = moving_volume(lab, 14, false)?;
    let old = copy_on(lab, &one, "vol", "node-2")?;
    until(lab, &one, "vol", "two copies on node-1 and node-3", |record| {
        is_settled_on(record, &["node-1", "node-3"])
    })?;
    look.signal("KILL")?;
    let seen = one.run(&["cat", CHECKS])?.ok()?.stdout;
    ensure!(seen.lines().count() > 2, "the kernel was not seen to check: {seen:?}");
    println!("    the kernel was seen to check {} times, up to {}", seen.lines().count(), last(&seen));
    let array = device(&one, "vol")?;
    let mismatch =
        one.run(&["cat", &format!("/sys/block/{}/md/mismatch_cnt", array.trim_start_matches("/dev/"))])?;
    ensure!(mismatch.ok()?.text() == "0", "the copies differ");
    old.is_wiped()?;
    end(lab, &one, &mut load)
}

fn last(lines: &str) -> &str {
    lines.lines().last().unwrap_or_default()
}

fn one_sector_differs(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load, look) = moving_volume(lab, 15, true)?;
    let at = lab.wait_for("the kernel to check the new copy", Duration::from_mins(3), || {
        let seen = one.run(&["cat", CHECKS])?;
        Ok(seen.stdout.lines().next().map(str::to_owned))
    })?;
    copy_on(lab, &one, "vol", "node-3")?.damage(DAMAGE)?;
    let then = one.run(&["cat", CHECKS])?.ok()?.stdout;
    println!("    damaged at 93.8% while the check went from {at} to {}", last(&then));
    look.signal("KILL")?;
    brake::set(&one, brake::RELEASED)?;
    is_refused(lab, &one, load)
}

fn a_sample_differs(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, load) = written_volume(lab, 17, TWO_COPIES)?;
    brake::set(&one, BRAKED_FILLING)?;
    verb(&one, "volume move vol --from node-2 --to node-3 --no-wait")?;
    lab.wait_for("the kernel to have copied a tenth", Duration::from_mins(1), || {
        let line = one.sh("grep -o 'recovery = *[1-9][0-9][.]' /proc/mdstat")?;
        Ok((line.status == 0).then_some(()))
    })?;
    copy_on(lab, &one, "vol", "node-3")?.damage(SAMPLED)?;
    brake::set(&one, brake::RELEASED)?;
    is_refused(lab, &one, load)
}

/// The new copy is Faulty, says why, and goes; the old ones stay.
fn is_refused(lab: &Lab, one: &Node, mut load: Load<'_>) -> Result<()> {
    let record = until(lab, one, "vol", "the new copy to be refused", |record| {
        record.to_string().contains("VerificationFailed")
    })?;
    let states = states(&record);
    ensure!(states.contains(&("node-3".to_owned(), "Faulty".to_owned())), "{states:?}");
    println!("    {}", said(&record));
    until(lab, one, "vol", "the move to be given up", |record| record.to_string().contains("MoveGivenUp"))?;
    load.goes_on(20)?;
    until(lab, one, "vol", "node-1 and node-2 have kept theirs", |record| {
        synced_on(record) == ["node-1", "node-2"]
    })?;
    end(lab, one, &mut load)
}

fn states(record: &Value) -> Vec<(String, String)> {
    let members = record.pointer("/status/members").and_then(Value::as_array).cloned().unwrap_or_default();
    members.iter().map(|member| (word(member, "/node"), word(member, "/state"))).collect()
}

/// The event of the refusal.
fn said(record: &Value) -> String {
    let events = record.pointer("/status/events").and_then(Value::as_array).cloned().unwrap_or_default();
    let refusal = events.iter().find(|event| event.to_string().contains("VerificationFailed"));
    refusal.map(|event| word(event, "/message")).unwrap_or_default()
}

fn end(lab: &Lab, owner: &Node, load: &mut Load<'_>) -> Result<()> {
    load.stop()?;
    load.verify(owner, FILE)?;
    verb(owner, "volume unmount vol")?;
    is_clean(owner, "vol")?;
    remove(lab, owner, "vol")
}
