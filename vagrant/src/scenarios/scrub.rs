//! All copies of a volume are compared in its everyday life.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::brake::{self, Speed};
use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, mdfabric, start_and_wait, synced_on, volume};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    Copy, FILE, TWO_COPIES, arrays, copies_are_equal, copy_on, remove, until, verb, written_xfs,
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "scrub_finds_a_mismatch_and_repairs_when_told",
    shows: "a scrub under load finds one damaged sector, tells of it and leaves it alone; one whose daemon dies and whose copy is lost counts right, and a check left standing is ended; it is repaired when told, from the copy that was named",
    lab: Needs::Cluster,
    run: scrub,
}];

/// Bytes from the start of the data, near the end of 320 MiB, where nothing was written: on the second copy, on the first.
const SECOND: u64 = 290 << 20;
const FIRST: u64 = 300 << 20;
/// What md counts for one place.
const PLACE: u64 = 64 << 10;
/// Slow enough to be caught in the middle.
const BRAKED: Speed = (500, 20_000);

fn scrub(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_xfs(lab, 16, TWO_COPIES)?;
    let first = copy_on(lab, &one, "vol", "node-1")?;
    let second = copy_on(lab, &one, "vol", "node-2")?;
    second.damage(SECOND)?;
    let before = (sums(&first)?, sums(&second)?);
    ensure!(before.0 != before.1, "nothing is damaged");
    is_found(&one)?;
    load.goes_on(20)?;
    load.stop()?;
    survives_death_and_loss(lab, &one)?;
    ensure!(before == (sums(&first)?, sums(&second)?), "a scrub without --repair changed a copy");
    is_repaired(lab, &one, &first, &second)?;
    load.verify(&one, FILE)?;
    verb(&one, "volume unmount vol")?;
    remove(lab, &one, "vol")
}

/// What a copy has around both places.
fn sums(copy: &Copy) -> Result<[String; 2]> {
    Ok([copy.sum(SECOND)?, copy.sum(FIRST)?])
}

/// Under load: one sector differs, md counts 64 KiB for it; verb, event, condition and record say so.
fn is_found(one: &Node) -> Result<()> {
    let begun = Instant::now();
    let found = mdfabric(one, &["volume", "scrub", "vol"])?;
    ensure!(found.status == 1 && found.stderr.contains("nothing was changed"), "{found:?}");
    println!("    {} ({:.1?})", found.stderr.lines().next().unwrap_or_default(), begun.elapsed());
    let explained = verb(one, "explain volume/vol")?;
    let count = "places of 65536 bytes in all where the copies differ";
    for words in
        ["Warning: CopiesDiffer", count, "--repair` writes what the copy on node-1 has", "ago: CopiesDiffer"]
    {
        ensure!(explained.contains(words), "{words:?} is not in\n{explained}");
    }
    let record = volume(one, "vol")?;
    ensure!(at(&record, "/status/scrub/last/mismatched") == PLACE, "{record}");
    Ok(())
}

/// A daemon dies in the middle of a scrub and leaves a check standing, the next one loses a copy: it ends all the same, and counts
/// right.
fn survives_death_and_loss(lab: &Lab, one: &Node) -> Result<()> {
    let begun = Instant::now();
    brake::set(one, BRAKED)?;
    verb(one, "volume scrub vol --no-wait")?;
    checks(lab, one)?;
    let md = format!("/sys/block/{}/md", arrays(one, "vol")?.join(""));
    kill(one)?;
    stands_where_it_was_left(lab, one, &md)?;
    start_and_wait(lab, one)?;
    checks(lab, one)?;
    lab.cut("node-1", "node-2")?;
    let record = until(lab, one, "vol", "the copy to be lost", |record| synced_on(record) == ["node-1"])?;
    ensure!(!at(&record, "/status/scrub/running").is_null(), "the scrub was over before the copy was lost");
    lab.mend("node-1", "node-2")?;
    until(lab, one, "vol", "both copies again", |record| synced_on(record).len() == 2)?;
    brake::set(one, brake::RELEASED)?;
    let record = until(lab, one, "vol", "the scrub to end", is_over)?;
    println!("    killed, then a copy lost: {} ({:.1?})", at(&record, "/status/scrub/last"), begun.elapsed());
    ensure!(at(&record, "/status/scrub/last/mismatched") == PLACE, "{record}");
    Ok(())
}

/// By the daemon's doing, which sets an end.
fn checks(lab: &Lab, one: &Node) -> Result<()> {
    lab.wait_for("the kernel to check", Duration::from_mins(1), || {
        let seen = one.sh("cat /sys/block/md*/md/sync_action /sys/block/md*/md/sync_max")?.ok()?;
        let text = seen.text();
        Ok((text.starts_with("check\n") && !text.ends_with("max")).then_some(()))
    })
}

/// The kernel's part without a daemon: while it is frozen a beginning is taken at once, the end of a running check is moved on, not
/// back; there it stands.
fn stands_where_it_was_left(lab: &Lab, one: &Node, md: &str) -> Result<()> {
    one.sh(&format!(
        "cd {md} && echo frozen >sync_action && echo max >sync_max && echo 4096 >sync_min && echo 8192 >sync_max && echo check >sync_action"
    ))?
    .ok()?;
    let stands_at = |sectors: u64| {
        lab.wait_for(&format!("the check to stand at {sectors}"), Duration::from_mins(1), || {
            let seen = one.sh(&format!("cat {md}/sync_completed"))?.ok()?;
            Ok(seen.text().starts_with(&format!("{sectors} /")).then_some(()))
        })
    };
    stands_at(8192)?;
    one.sh(&format!("echo 16384 >{md}/sync_max"))?.ok()?;
    stands_at(16384)?;
    let back = one.sh(&format!("echo 8192 >{md}/sync_max"))?;
    ensure!(back.status != 0, "the end of a running check was moved back");
    let action = one.sh(&format!("cat {md}/sync_action"))?.ok()?;
    ensure!(action.text() == "check", "a check that stands at its end is {}", action.text());
    Ok(())
}

fn is_over(record: &Value) -> bool {
    at(record, "/status/scrub/running").is_null()
        && at(record, "/status/scrub/generation") == at(record, "/spec/scrub/generation")
}

fn at(record: &Value, path: &str) -> Value {
    record.pointer(path).cloned().unwrap_or_default()
}

/// The first copy wins, where it is right and where it is not.
fn is_repaired(lab: &Lab, one: &Node, first: &Copy, second: &Copy) -> Result<()> {
    first.damage(FIRST)?;
    let (right, begun) = (sums(first)?, Instant::now());
    let repaired = verb(one, "volume scrub vol --repair")?;
    println!("    {} ({:.1?})", repaired.trim(), begun.elapsed());
    ensure!(
        repaired.contains("places of 131072 bytes in all differed between the copies and were made equal"),
        "{repaired}"
    );
    let after = (sums(first)?, sums(second)?);
    ensure!(after.0 == right && after.1 == right, "{right:?} became {after:?}");
    copies_are_equal(lab, one, "vol", 0)?;
    let explained = verb(one, "explain volume/vol")?;
    ensure!(!explained.contains("Warning: CopiesDiffer"), "{explained}");
    Ok(())
}
