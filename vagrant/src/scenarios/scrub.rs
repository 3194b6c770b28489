//! All copies of a volume are compared in its everyday life.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, mdfabric, start_and_wait, synced_on};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    Copy, FILE, TWO_COPIES, arrays, copies_are_equal, copy_on, remove, until, verb, written_volume,
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "scrub_finds_a_mismatch_and_repairs_when_told",
    shows: "a scrub under load finds nothing; a damaged sector is found, told and left alone, by a new daemon and after the loss of a copy too, and repaired when told, from the copy that was named; a check left standing is ended",
    lab: Needs::Cluster,
    run: scrub,
}];

/// Bytes from the start of the data, near the end of 512 MiB, where nothing was written: on the second copy, on the first.
const SECOND: u64 = 480 << 20;
const FIRST: u64 = 490 << 20;
/// The kernel's own brakes, KiB a second: slow enough to be caught in the middle, and as they are without anybody's doing.
const BRAKED: (u32, u32) = (500, 20_000);
const RELEASED: (u32, u32) = (1000, 200_000);

fn scrub(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 16, TWO_COPIES)?;
    let said = verb(&one, "volume scrub vol")?;
    ensure!(said.contains("all copies are equal"), "{said}");
    load.goes_on(20)?;
    load.stop()?;
    let first = copy_on(lab, &one, "vol", "node-1")?;
    let second = copy_on(lab, &one, "vol", "node-2")?;
    second.damage(SECOND)?;
    let before = (sums(&first)?, sums(&second)?);
    ensure!(before.0 != before.1, "nothing is damaged");
    is_found(&one, 1)?;
    ends_what_was_left_standing(lab, &one)?;
    survives_a_lost_copy(lab, &one)?;
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

/// One sector differs, md counts 64 KiB for it; verb, condition and record say so.
fn is_found(one: &Node, places: u64) -> Result<()> {
    let found = mdfabric(one, &["volume", "scrub", "vol"])?;
    ensure!(found.status == 1 && found.stderr.contains("nothing was changed"), "{found:?}");
    println!("    {}", found.stderr.lines().next().unwrap_or_default());
    let explained = verb(one, "explain volume/vol")?;
    let count = format!("places of {} bytes in all where the copies differ", places << 16);
    for words in ["CopiesDiffer", &count, "--repair` writes what the copy on node-1 has"] {
        ensure!(explained.contains(words), "{words:?} is not in\n{explained}");
    }
    Ok(())
}

/// The kernel's part without a daemon: the end of a running check is moved on, not back; then it stands there. A daemon that comes
/// ends it.
fn ends_what_was_left_standing(lab: &Lab, one: &Node) -> Result<()> {
    let array = arrays(one, "vol")?.join("");
    let md = format!("/sys/block/{array}/md");
    kill(one)?;
    one.sh(&format!("cd {md} && echo 0 >sync_min && echo 8192 >sync_max && echo check >sync_action"))?
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
    let back = one.sh(&format!("echo 4096 >{md}/sync_max"))?;
    ensure!(back.status != 0, "the end of a running check was moved back");
    let action = one.sh(&format!("cat {md}/sync_action"))?.ok()?;
    ensure!(action.text() == "check", "a check that stands at its end is {}", action.text());
    start_and_wait(lab, one)?;
    lab.wait_for("the check to be ended", Duration::from_mins(1), || {
        let seen = one.sh(&format!("cat {md}/sync_action {md}/sync_max"))?.ok()?;
        Ok((seen.text() == "idle\nmax").then_some(()))
    })
}

/// A copy is lost in the middle of a scrub: it waits, and counts right in the end.
fn survives_a_lost_copy(lab: &Lab, one: &Node) -> Result<()> {
    one.sh(&set_speed(BRAKED))?.ok()?;
    verb(one, "volume scrub vol --no-wait")?;
    lab.wait_for("the kernel to check", Duration::from_mins(1), || {
        Ok((one.sh("cat /sys/block/md*/md/sync_action")?.ok()?.text() == "check").then_some(()))
    })?;
    lab.cut("node-1", "node-2")?;
    let record = until(lab, one, "vol", "the copy to be lost", |record| synced_on(record) == ["node-1"])?;
    ensure!(!at(&record, "/status/scrub/running").is_null(), "the scrub was over before the copy was lost");
    lab.mend("node-1", "node-2")?;
    until(lab, one, "vol", "both copies again", |record| synced_on(record).len() == 2)?;
    one.sh(&set_speed(RELEASED))?.ok()?;
    let record = until(lab, one, "vol", "the scrub to end", is_over)?;
    println!("    after a loss in the middle: {}", at(&record, "/status/scrub/last"));
    ensure!(at(&record, "/status/scrub/last/mismatched") == 1 << 16, "{record}");
    Ok(())
}

fn is_over(record: &Value) -> bool {
    at(record, "/status/scrub/running").is_null()
        && at(record, "/status/scrub/generation") == at(record, "/spec/scrub/generation")
}

fn at(record: &Value, path: &str) -> Value {
    record.pointer(path).cloned().unwrap_or_default()
}

fn set_speed((least, most): (u32, u32)) -> String {
    let dir = "/proc/sys/dev/raid";
    format!("echo {least} >{dir}/speed_limit_min; echo {most} >{dir}/speed_limit_max")
}

/// The first copy wins, where it is right and where it is not.
fn is_repaired(lab: &Lab, one: &Node, first: &Copy, second: &Copy) -> Result<()> {
    first.damage(FIRST)?;
    is_found(one, 2)?;
    let right = sums(first)?;
    let repaired = verb(one, "volume scrub vol --repair")?;
    ensure!(repaired.contains("were made equal"), "{repaired}");
    let after = (sums(first)?, sums(second)?);
    ensure!(after.0 == right && after.1 == right, "{right:?} became {after:?}");
    copies_are_equal(lab, one, "vol", 0)?;
    let explained = verb(one, "explain volume/vol")?;
    ensure!(!explained.contains("CopiesDiffer"), "{explained}");
    Ok(())
}
