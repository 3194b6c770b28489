//! After the chaos: is everything there, in sync and equal, and nothing left?

use std::time::Duration;

use anyhow::{Result, ensure};

use super::world::World;
use super::{BRIEF, Used, VOLUMES, is_whole, watch};
use crate::daemon::{synced_on, word};
use crate::guest::ack::RECORD;
use crate::node::Node;
use crate::product::{Copy, copies, copies_are_equal, is_clean, list, nothing_left, verb};

/// Bytes of the log by which a volume is seen to be written.
const WRITTEN: u64 = 20 * RECORD as u64;
/// How long it may take until all volumes are where they are wanted.
const SERVED_DEADLINE: Duration = Duration::from_mins(4);
/// How long it may take until all copies are in sync again, a few of them made anew.
const SYNCED_DEADLINE: Duration = Duration::from_mins(8);

/// Waits until all volumes are written where they are wanted, and whole; says how long that took.
pub(super) fn all_served(world: &World<'_>) -> Result<()> {
    let from = world.line.now();
    for (port, used) in VOLUMES.iter().enumerate() {
        let before = watch::logged(world, port);
        world.lab.wait_for(&format!("{} to be written", used.name), SERVED_DEADLINE, || {
            Ok((watch::logged(world, port) >= before + WRITTEN).then_some(()))
        })?;
    }
    for used in VOLUMES {
        world.lab.wait_for(&format!("{} to be Synced", used.name), SYNCED_DEADLINE, || {
            let record = world.volume("", used.name);
            Ok(record.is_ok_and(|record| is_whole(&record)).then_some(()))
        })?;
    }
    let took = world.line.now().saturating_sub(from);
    world.line.say(&format!(
        "all volumes are written and Synced, {:.0} s after the last fault",
        took.as_secs_f64()
    ));
    Ok(())
}

/// Judges every volume and removes it; nothing may be left of any.
pub(super) fn judge(world: &World<'_>) -> Result<()> {
    for (port, used) in VOLUMES.iter().enumerate() {
        judge_volume(world, used, port)?;
    }
    remove_brief(&world.lab.node("node-1")?)?;
    nothing_left(world.lab)
}

/// It goes too, if it is there.
fn remove_brief(node: &Node) -> Result<()> {
    if list(node, "volume")?.iter().any(|volume| word(volume, "/spec/name") == BRIEF) {
        verb(node, &format!("volume detach {BRIEF}"))?;
        verb(node, &format!("volume rm {BRIEF}"))?;
    }
    Ok(())
}

fn judge_volume(world: &World<'_>, used: &Used, port: usize) -> Result<()> {
    let name = used.name;
    let record = world.volume("", name)?;
    let owner = world.lab.node(&word(&record, "/status/owner"))?;
    let all = copies(world.lab, &owner, name)?;
    // md checks nothing where there is nothing to compare with. A copy of several columns is that many partitions.
    let count = synced_on(&record).len();
    if count > 1 {
        copies_are_equal(world.lab, &owner, name, 0)?;
    }
    let logs: Result<Vec<_>> = world.parties().iter().map(|party| party.node.ack_log_of(port)).collect();
    let verdict = used.work(&used.path(&record)).verify(&owner, &logs?)?;
    ensure!(verdict.is_good() && verdict.acknowledged > 0, "{name}: {verdict:?}");
    if used.mount_point().is_some() {
        verb(&owner, &format!("volume unmount {name}"))?;
        is_clean(&owner, name)?;
    }
    verb(&owner, &format!("volume detach {name}"))?;
    all.iter().try_for_each(|copy| copy.examine().map(drop))?;
    verb(&owner, &format!("volume rm {name}"))?;
    all.iter().try_for_each(Copy::is_wiped)?;
    world.line.say(&format!(
        "{name}: {} acknowledged writes, {} MiB of them the last ones of their blocks and read back; {} equal copies on {} drives; judges content",
        verdict.acknowledged,
        verdict.verified_bytes >> 20,
        count,
        all.len()
    ));
    Ok(())
}
