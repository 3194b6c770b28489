//! `lab chaos`: faults and wishes out of a seed, while every volume is written; at the end every acknowledged write has to
//! be there, on copies that are equal.
//!
//! The row of faults depends on the seed alone ([`schedule`]). What a verb answers, and how long things take, does not: a
//! refused verb is a line of the time line, and so is a fault that finds its node still booting.

mod fault;
mod inflict;
mod judges;
mod schedule;
mod tenant;
mod timeline;
mod watch;
mod wishes;
mod world;

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Scope, sleep};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::daemon::{self, synced_on, word};
use crate::lab::Lab;
use crate::product::{put_drives_back, verb};
use crate::setup::Parts;
use crate::supervisor::control::Power;
use fault::Fault;
use schedule::{Event, What, Wish};
use tenant::{Tenant, Word};
use timeline::Begun;
use world::World;

/// A volume, and who uses it first.
struct Used {
    name: &'static str,
    fs: &'static str,
    /// What it is made with.
    copies: &'static str,
    /// Where it is attached first.
    home: &'static str,
    /// Of its writers.
    seed: u64,
}

/// All volumes: each kind of content, two copies and three, one that is healed soon, one of two columns.
const VOLUMES: &[Used] = &[
    Used {
        name: "raw",
        fs: "raw",
        copies: "--replicas 2 --on node-1 --on node-2",
        home: "node-1",
        seed: 901,
    },
    Used {
        name: "ext4",
        fs: "ext4",
        copies: "--replicas 2 --on node-2 --on node-3 --member-missing-timeout 60",
        home: "node-2",
        seed: 902,
    },
    Used { name: "xfs", fs: "xfs", copies: "--replicas 3", home: "node-3", seed: 903 },
    Used {
        name: "wide",
        fs: "ext4",
        copies: "--replicas 2 --on node-3 --on node-1 --stripe-width 2",
        home: "node-1",
        seed: 904,
    },
];

/// The volume that users make and delete now and then.
const BRIEF: &str = "brief";

/// Until an etcd that was just started does what it is told.
const ETCD_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes that a writer uses.
const WORK_BYTES: u64 = 32 << 20;
/// From this length on every kind of fault that was drawn has to happen; in a shorter run there may be no moment for it.
const LONG_MINUTES: u64 = 15;

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The seed of everything.
    #[arg(long)]
    pub seed: u64,
    /// How long faults go on, minutes.
    #[arg(long)]
    pub minutes: u64,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub nodes: u8,
}

/// Plays it on a private lab.
pub fn run(parts: &Parts, options: &Options) -> Result<()> {
    let length = Duration::from_secs(options.minutes * 60);
    let events = schedule::draw(options.seed, length, options.nodes);
    println!("Booting {} nodes; seed {}, {} events", options.nodes, options.seed, events.len());
    let lab = Lab::private(parts, options.nodes)?;
    prepare(&lab)?;
    let world = World::new(&lab);
    let is_long = options.minutes >= LONG_MINUTES;
    let played = play(&world, &events, is_long)
        .and_then(|()| judges::judge(&world))
        .and_then(|()| if is_long { drawn_kinds_happened(&world) } else { Ok(()) });
    println!("{}", world.line.summary());
    played.map_err(|err| {
        if format!("{err:#}").contains(crate::report::TITLE) { err } else { err.context(lab.report()) }
    })
}

/// A run that leaves a kind of fault out shows less than it says.
fn drawn_kinds_happened(world: &World<'_>) -> Result<()> {
    let missed = world.line.never_happened();
    ensure!(
        missed.is_empty(),
        "nothing was lost, but these kinds of fault were drawn and never happened: {}; \
         the lines \"left out\" above say why each was not begun",
        missed.join(", ")
    );
    Ok(())
}

/// Every drive is mdfabric's, every volume is there and attached.
fn prepare(lab: &Lab) -> Result<()> {
    daemon::start_all(lab)?;
    for node in lab.nodes() {
        for drive in &node.spec().drives {
            verb(&node, &format!("drive add {}", drive.serial))?;
        }
    }
    for used in VOLUMES {
        let home = lab.node(used.home)?;
        let (name, fs, copies) = (used.name, used.fs, used.copies);
        verb(&home, &format!("volume create {name} --size 320MiB --fs {fs} {copies}"))?;
        verb(&home, &format!("volume attach {name}"))?;
        if let Some(at) = used.mount_point() {
            verb(&home, &format!("volume mount {name} {at}"))?;
        }
    }
    Ok(())
}

fn play(world: &World<'_>, events: &[Event], is_long: bool) -> Result<()> {
    thread::scope(|scope| {
        let mut tenants = Vec::new();
        for (port, used) in VOLUMES.iter().enumerate() {
            let (words, heard) = channel();
            tenants.push(words);
            scope.spawn(move || Tenant::new(world, used, port).run(&heard));
            scope.spawn(move || watch::run(world, used, port));
        }
        thread::scope(|scope| follow(world, scope, events, &tenants));
        let mut whole = end_faults(world);
        if is_long && whole.is_ok() && make_up(world, events) {
            whole = end_faults(world);
        }
        for words in &tenants {
            words.send(Word::End).ok();
        }
        world.end_all();
        whole
    })
}

/// Everything in its time, on a thread of its own: a boot holds up nothing else. Only what breaks a medium holds up all that comes
/// after it, while it waits for whole volumes: a wish meanwhile would have one of them not whole again. Ends when all are done.
fn follow<'s, 'e: 's>(
    world: &'e World<'_>,
    scope: &'s Scope<'s, 'e>,
    events: &'e [Event],
    tenants: &[Sender<Word>],
) {
    let mut open = Vec::new();
    let mut start = world.line.now();
    for event in events {
        // Nobody reboots such a node: what would be seen from here on is not chaos. It is told of at the end.
        if every_kernel_lives(world).is_err() {
            break;
        }
        sleep((start + event.at).saturating_sub(world.line.now()));
        match &event.what {
            What::Begin(fault) => {
                world.line.drawn(fault.kind());
                let due = world.line.now();
                let may_begin = tell(
                    world,
                    &fault.to_string(),
                    world.wait_until_harmless(fault, inflict::WHOLE_DEADLINE),
                );
                start += world.line.now().saturating_sub(due);
                if may_begin {
                    open.push((fault, scope.spawn(move || begin(world, fault))));
                }
            }
            What::End(fault) => {
                let Some(at) = open.iter().position(|(other, _)| *other == fault) else { continue };
                let (_, begun) = open.remove(at);
                scope.spawn(move || {
                    if let Ok(Some(span)) = begun.join() {
                        end(world, fault, span);
                    }
                });
            }
            What::Ask(Wish::Attach { volume, to }) => {
                if let Some(words) = tenants.get(*volume) {
                    words.send(Word::Go(to.clone())).ok();
                }
            }
            What::Ask(wish) => {
                scope.spawn(move || {
                    let span = world.line.begin(wish.kind());
                    tell(world, wish.kind(), world.ask_for(wish));
                    world.line.end(span);
                });
            }
        }
    }
}

/// Nothing if it was refused: then there is nothing to end. What went wrong on the way may have been done all the same: it does not
/// count, and is ended.
fn begin(world: &World<'_>, fault: &Fault) -> Option<Begun> {
    if !tell(world, &fault.to_string(), world.ensure_stands(fault)) {
        return None;
    }
    world.line.say(&format!("begin  {fault}"));
    let span = world.line.begin(fault.kind());
    if !tell(world, &fault.to_string(), world.begin(fault)) {
        world.line.forget(span);
    }
    Some(span)
}

fn end(world: &World<'_>, fault: &Fault, span: Begun) {
    tell(world, &fault.to_string(), world.end(fault));
    world.line.say(&format!("end    {fault}"));
    world.line.end(span);
}

/// What breaks a medium may have found no moment at which every volume was whole. It gets one now that all are and nothing else goes on.
/// Whether anything was done.
fn make_up(world: &World<'_>, events: &[Event]) -> bool {
    let missed = world.line.never_happened();
    for (fault, length) in missed.iter().filter_map(|kind| schedule::last_of(events, kind)) {
        if tell(world, &fault.to_string(), world.wait_until_harmless(fault, inflict::CALM_DEADLINE))
            && let Some(span) = begin(world, fault)
        {
            sleep(length);
            end(world, fault, span);
        }
    }
    !missed.is_empty()
}

/// Whether it is done; if not, the time line says so.
fn tell(world: &World<'_>, what: &str, done: Result<()>) -> bool {
    done.map_err(|err| world.line.left_out(what, &format!("{err:#}"))).is_ok()
}

fn every_kernel_lives(world: &World<'_>) -> Result<()> {
    world.parties().iter().try_for_each(|party| party.node.has_kernel())
}

/// Until every volume is served and whole again.
fn end_faults(world: &World<'_>) -> Result<()> {
    make_whole(world).and_then(|()| judges::all_served(world))
}

/// All faults have ended; one that could not be ended in its time is now.
fn make_whole(world: &World<'_>) -> Result<()> {
    every_kernel_lives(world)?;
    world.line.say("no more faults");
    world.lab.heal()?;
    world.lab.etcd_power(Power::On)?;
    world.lab.etcd_power(Power::Resume)?;
    world
        .lab
        .wait_for("etcd to take writes", ETCD_DEADLINE, || Ok(world.lab.etcd_power(Power::Free).ok()))?;
    for party in world.parties() {
        party.node.power_on()?;
        party.node.resume()?;
    }
    for party in world.parties() {
        let node = &party.node;
        node.wait_up()?;
        put_drives_back(node)?;
        // One that runs already is in its way, and goes on.
        daemon::start_and_wait(world.lab, node)?;
        party.set_answers(true);
        let wish = |line: String| world.wish(node.name(), &line);
        wish(format!("node uncordon {}", node.name()));
        for drive in &node.spec().drives {
            wish(format!("drive uncordon {}", drive.serial));
        }
    }
    Ok(())
}

/// Whether all copies that a volume shall have are in sync and nothing is under way.
fn is_whole(record: &Value) -> bool {
    let nothing = |path: &str| record.pointer(path).is_none_or(Value::is_null);
    let members = record.pointer("/status/members").and_then(Value::as_array).map_or(0, Vec::len);
    let wanted = record.pointer("/spec/replicas").and_then(Value::as_u64);
    word(record, "/status/phase") == "Synced"
        && synced_on(record).len() == members
        && wanted == u64::try_from(members).ok()
        && nothing("/status/relocation")
        && nothing("/status/growth")
}
