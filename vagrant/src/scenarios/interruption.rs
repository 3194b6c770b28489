//! A move goes on by itself after whatever interrupts it.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::brake::{self, Speed};
use super::moves::{counts_members, filling};
use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, start_and_wait, volume, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{
    FILE, TWO_COPIES, is_clean, is_explained, is_settled_on, remove, until, verb, written_volume,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "move_survives_kill_of_the_owners_daemon",
        shows: "the owner's daemon is killed in mid-copy under load: a new one finishes the move, nothing is lost",
        lab: Needs::Cluster,
        run: |stage| survives(stage, &|lab| restart(lab, "node-1")),
    },
    Scenario {
        name: "move_survives_kill_of_the_targets_daemon",
        shows: "the target's daemon is killed in mid-copy under load: the move finishes by itself, nothing is lost",
        lab: Needs::Cluster,
        run: |stage| survives(stage, &|lab| restart(lab, "node-3")),
    },
    Scenario {
        name: "move_survives_reboot_of_the_target",
        shows: "the target loses power in mid-copy, which explain says, and comes back: the move finishes by itself, nothing is lost",
        lab: Needs::Cluster,
        run: |stage| survives(stage, &power_cycle_target),
    },
];

/// Slow enough for there to be a middle.
const BRAKED: Speed = (1000, 4096);

fn restart(lab: &Lab, name: &str) -> Result<()> {
    let node = lab.node(name)?;
    kill(&node)?;
    start_and_wait(lab, &node)
}

fn power_cycle_target(lab: &Lab) -> Result<()> {
    let three = lab.node("node-3")?;
    three.power_cut()?;
    says_what_to_do(lab)?;
    three.power_on()?;
    three.wait_up()?;
    start_and_wait(lab, &three)
}

/// A move whose target is off: which one, why it does not go on, and what to do.
fn says_what_to_do(lab: &Lab) -> Result<()> {
    let words = [
        "NewCopyOutOfReach: the new copy on node-3",
        "A copy has been moving from node-2 to node-3",
        "What to do: bring node-3 or its network back",
        "`mdfabric volume edit vol --remove-replica node-3`",
    ];
    is_explained(lab, &lab.node("node-1")?, "volume/vol", &words)
}

fn survives(stage: &mut Stage<'_>, interrupt: &dyn Fn(&Lab) -> Result<()>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 9, TWO_COPIES)?;
    brake::set(&one, BRAKED)?;
    verb(&one, "volume move vol --from node-2 --to node-3 --no-wait")?;
    let (interrupted, looks) = interrupt_mid_copy(lab, &one, interrupt)?;
    println!("    interrupted at {interrupted} after {looks} looks");
    brake::set(&one, brake::RELEASED)?;
    until(lab, &one, "vol", "two copies on node-1 and node-3", |record| {
        is_settled_on(record, &["node-1", "node-3"])
    })?;
    load.goes_on(20)?;
    load.stop()?;
    load.verify(&one, FILE)?;
    verb(&one, "volume detach vol")?;
    verb(&one, "volume attach vol --node node-3")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let three = lab.node("node-3")?;
    load.verify(&three, FILE)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&three, "vol")?;
    remove(lab, &one, "vol")
}

/// `volume show` and `volume ls` tell of a move in its middle: one member more than copies, how far it is, and who is being filled.
fn is_shown(lab: &Lab, owner: &Node) -> Result<()> {
    let is_filled = |line: &str| line.contains(" node-3-a ") && line.contains(" Syncing ");
    let shown = lab.wait_for("the move to be shown", Duration::from_secs(30), || {
        let shown = verb(owner, "volume show vol -o wide")?;
        Ok((filling(&shown).is_some() && shown.lines().any(is_filled)).then_some(shown))
    })?;
    counts_members(&shown, ["3", "2", "0", "0"])?;
    let listed = verb(owner, "volume ls")?;
    ensure!(filling(&listed).is_some(), "the move is not listed:\n{listed}");
    Ok(())
}

/// Waits until the kernel copies, and interrupts.
fn interrupt_mid_copy(
    lab: &Lab,
    owner: &Node,
    interrupt: &dyn Fn(&Lab) -> Result<()>,
) -> Result<(String, u32)> {
    let mut looks = 0;
    let line = lab.wait_for("the kernel to copy", Duration::from_mins(1), || {
        looks += 1;
        let line = owner.sh("grep -o 'recovery = *[0-9.]*%' /proc/mdstat")?;
        Ok((line.status == 0).then(|| line.text().to_owned()))
    })?;
    is_shown(lab, owner)?;
    interrupt(lab)?;
    let record = volume(owner, "vol")?;
    ensure!(
        word(&record, "/status/phase") != "Synced" || !is_settled_on(&record, &["node-1", "node-2"]),
        "the move was forgotten"
    );
    Ok((line, looks))
}
