//! The main job, shown: `vagrant/lab demo`.
//!
//! Three nodes, a volume with two copies, a writer that never rests; a copy moves under it, the owner is drained, and a
//! volume with one copy follows its owner. In the end everything acknowledged has to be there, and tools that nobody here
//! wrote have to be content.

mod judges;
mod screen;
mod summary;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::daemon::{self, mdfabric, synced_on, volume, word};
use crate::guest::verify::Verdict;
use crate::guest::writer::Summary;
use crate::lab::Lab;
use crate::load::{self, BRISK, Work, Writer};
use crate::node::Node;
use crate::setup::Parts;
use screen::Screen;
use summary::{Facts, Move};

/// The volume with two copies.
const PAIR: &str = "orders";
/// The volume with one copy.
const SOLO: &str = "cache";
/// Bytes of a volume that the writer uses.
const WORK_BYTES: u64 = 128 << 20;
/// How long the writer works undisturbed before and after an act.
const CALM: Duration = Duration::from_secs(4);
/// How long a copy may take on emulated machines.
const MOVE_DEADLINE: Duration = Duration::from_mins(4);

/// Runs the demo on a private lab.
pub fn run(parts: &Parts) -> Result<()> {
    let start = Instant::now();
    println!("Booting three nodes with two NVMe drives each, and etcd …");
    let lab = Lab::private(parts, 3)?;
    daemon::start_all(&lab)?;
    daemon::add_drives(&lab)?;
    let screen = Screen::start(&lab)?;
    let played = play(&lab, &screen);
    let phases = screen.stop();
    let mut facts = played?;
    facts.phases = phases.of(SOLO);
    facts.judges = judges::all(&lab)?;
    facts.seconds = start.elapsed().as_secs_f64();
    println!("{facts}");
    ensure!(facts.is_good(), "the demo failed: see above");
    Ok(())
}

fn play(lab: &Lab, screen: &Screen) -> Result<Facts> {
    let mut facts = Facts::default();
    let pair = Work { path: format!("/mnt/{PAIR}/data"), size: WORK_BYTES, seed: 1, rest: BRISK };
    let logs = pair_moves_under_load(lab, screen, &pair, &mut facts)?;
    let drained = drain_owner(lab, screen, &pair, &logs, &mut facts)?;
    screen.say("every acknowledged write is read back on node-3");
    let verdict = pair.verify(&lab.node("node-3")?, &[logs, drained])?;
    facts.verified(PAIR, &verdict);
    solo_follows_owner(lab, screen, &mut facts)?;
    for name in [PAIR, SOLO] {
        facts.copies.push((name.to_owned(), synced_on(&volume(&lab.node("node-1")?, name)?)));
    }
    Ok(facts)
}

/// Runs a verb; gives how long it took.
fn verb(node: &Node, screen: &Screen, arguments: &[&str]) -> Result<f64> {
    screen.say(&format!("{}# mdfabric {}", node.name(), arguments.join(" ")));
    let start = Instant::now();
    mdfabric(node, arguments)?.ok()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Lets the writer work for a while: it must have had something acknowledged since.
fn calm(lab: &Lab, writer: &Writer) -> Result<()> {
    let before = writer.acks()?.len();
    let until = Instant::now() + CALM;
    lab.wait_for("the writer to write", MOVE_DEADLINE, || {
        Ok((writer.acks()?.len() > before + 20 && Instant::now() >= until).then_some(()))
    })
}

/// Acts 1 and 2: two copies on node-1 and node-2, then one moves from node-2 to node-3 under the writer.
fn pair_moves_under_load(lab: &Lab, screen: &Screen, work: &Work, facts: &mut Facts) -> Result<Vec<u8>> {
    let owner = lab.node("node-1")?;
    screen.title("1  a volume with two copies, mounted and written on node-1");
    let on = ["--on", "node-1", "--on", "node-2"];
    verb(
        &owner,
        screen,
        &[&["volume", "create", PAIR, "--size", "1GiB", "--replicas", "2"], &on[..]].concat(),
    )?;
    bring_up(&owner, screen, PAIR)?;
    let writer = work.start(&owner, 1)?;
    calm(lab, &writer)?;
    screen.title("2  one copy moves from node-2 to node-3 while the writer writes");
    let seconds = verb(&owner, screen, &["volume", "move", PAIR, "--from", "node-2", "--to", "node-3"])?;
    calm(lab, &writer)?;
    let summary = writer.stop()?;
    note_writer(&summary, facts)?;
    facts.moves.push(finished_move(&owner, PAIR, "move under load", seconds, &summary)?);
    owner.ack_log()
}

fn bring_up(node: &Node, screen: &Screen, name: &str) -> Result<()> {
    verb(node, screen, &["volume", "attach", name, "--node", node.name()])?;
    verb(node, screen, &["volume", "mount", name, &format!("/mnt/{name}")])?;
    Ok(())
}

fn note_writer(summary: &Summary, facts: &mut Facts) -> Result<()> {
    ensure!(summary.error.is_none(), "the writer failed: {:?}", summary.error);
    facts.written_bytes += summary.bytes;
    facts.writes += summary.writes;
    Ok(())
}

fn finished_move(node: &Node, name: &str, what: &str, seconds: f64, writer: &Summary) -> Result<Move> {
    let status = volume(node, name)?;
    let copied = status.pointer("/status/lastMove/copied").and_then(serde_json::Value::as_u64);
    Ok(Move {
        what: what.to_owned(),
        seconds,
        longest_stall_ns: writer.longest_stall_ns,
        longest_pause_ns: writer.longest_pause_ns,
        copied_bytes: copied.unwrap_or_default(),
    })
}

/// Act 3: the writer on node-1 stops, the volume goes up on node-3, the writer goes on there.
fn drain_owner(lab: &Lab, screen: &Screen, work: &Work, log: &[u8], facts: &mut Facts) -> Result<Vec<u8>> {
    screen.title("3  node-1 is drained: the volume goes on on node-3");
    let (old, new) = (lab.node("node-1")?, lab.node("node-3")?);
    let start = Instant::now();
    verb(&old, screen, &["volume", "detach", PAIR])?;
    bring_up(&new, screen, PAIR)?;
    facts.drain_seconds = start.elapsed().as_secs_f64();
    let first = load::next_version(&[crate::guest::ack::parse(log).context("damaged log")?]);
    let writer = work.start(&new, first)?;
    calm(lab, &writer)?;
    note_writer(&writer.stop()?, facts)?;
    new.ack_log()
}

/// Act 4, seed A's walk: [local, missing] on node-1, then [remote, local] syncing and [local, missing] on node-2.
fn solo_follows_owner(lab: &Lab, screen: &Screen, facts: &mut Facts) -> Result<()> {
    screen.title("4  a volume with one copy follows its owner from node-1 to node-2");
    let (old, new) = (lab.node("node-1")?, lab.node("node-2")?);
    let work = Work { path: format!("/mnt/{SOLO}/data"), size: WORK_BYTES, seed: 2, rest: BRISK };
    let create = ["volume", "create", SOLO, "--size", "512MiB", "--replicas", "1", "--on", "node-1"];
    verb(&old, screen, &create)?;
    bring_up(&old, screen, SOLO)?;
    let before = old.ack_log()?.len();
    let writer = work.start(&old, 1)?;
    calm(lab, &writer)?;
    note_writer(&writer.stop()?, facts)?;
    let log = old.ack_log()?.split_off(before);
    verb(&old, screen, &["volume", "detach", SOLO])?;
    let start = Instant::now();
    bring_up(&new, screen, SOLO)?;
    let first = load::next_version(&[crate::guest::ack::parse(&log).context("damaged log")?]);
    let writer = work.start(&new, first)?;
    lab.wait_for("the copy to arrive on node-2", MOVE_DEADLINE, || {
        let seen = volume(&new, SOLO)?;
        Ok((synced_on(&seen) == ["node-2"] && word(&seen, "/status/phase") == "Synced").then_some(()))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    calm(lab, &writer)?;
    let summary = writer.stop()?;
    note_writer(&summary, facts)?;
    facts.moves.push(finished_move(&new, SOLO, "follow the owner", seconds, &summary)?);
    screen.say("every acknowledged write is read back on node-2");
    let verdict: Verdict = work.verify(&new, &[log, new.ack_log()?])?;
    facts.verified(SOLO, &verdict);
    Ok(())
}
