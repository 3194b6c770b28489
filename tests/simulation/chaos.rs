//! Random operations and faults from a seed; then the faults stop, and everything has to be well.
//!
//! What will happen is drawn first ([`Script`]) and played then, so that a script that fails can be made shorter.

use std::fmt;

use mdfabric::domain::{Bytes, DriveId, FsType, MountRequest, NodeName, PlacementEntry};
use mdfabric::plan::scale;
use mdfabric::plan::verbs::{self, Cordon, CreateVolume, EditVolume, NewSize, Scrub};
use mdfabric::sim::{Config, DriveFault, Rng};

use super::support::{Failure, Scene, edit_record, failure, is_mounted, name, node, wish};

const NODES: u8 = 4;

/// A life as it is meant to go.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    config: Config,
    fs: FsType,
    replicas: u32,
    columns: u32,
    first_on: u8,
    acts: Vec<Act>,
}

/// Something happens after a pause of so many milliseconds.
#[derive(Debug, Clone)]
struct Act {
    pause: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Attach(u8),
    Detach,
    Move(u8, u8),
    /// To so many MiB, up to what every drive has room for.
    Grow(u64),
    Edit {
        add: Option<u8>,
        remove: Option<u8>,
        replicas: Option<u32>,
    },
    /// The record itself: entries beyond the first so many go, this one comes.
    EditRecord(usize, u8),
    Scrub(Scrub),
    KillDaemon(u8, u64),
    PowerCut(u8, u64),
    /// It breaks for so many milliseconds.
    Blink(Fault, u64),
    /// It breaks until it is mended, or until the end.
    Break(Fault),
    /// The fault that has lasted longest is mended.
    Mend,
}

/// What lasts until somebody ends it.
#[derive(Debug, Clone)]
enum Fault {
    Link(NodeName, NodeName),
    /// What the first sends does not get to the second.
    Way(NodeName, NodeName),
    Store(NodeName),
    Pause(NodeName),
    /// A drive answers nobody.
    Hang(DriveId),
    /// A node is emptied.
    Drain(NodeName),
    /// A drive is emptied.
    Evict(DriveId),
}

impl Fault {
    fn set(&self, scene: &mut Scene, well: bool) {
        match self {
            Self::Link(one, other) => scene.cluster.set_link(one, other, well),
            Self::Way(from, to) => scene.cluster.set_way(from, to, well),
            Self::Store(node) => scene.cluster.set_store(node, well),
            Self::Pause(node) => scene.cluster.set_paused(node, !well),
            Self::Hang(drive) => {
                scene.cluster.set_drive(drive, if well { DriveFault::None } else { DriveFault::Hung });
            }
            Self::Drain(node) => {
                let cordon = if well { Cordon::Off } else { Cordon::Empty };
                drop(scene.cluster.request(|world, _| verbs::cordon_node(world, node, cordon)));
            }
            Self::Evict(drive) => {
                let cordon = if well { Cordon::Off } else { Cordon::Empty };
                drop(scene.cluster.request(|world, _| verbs::cordon_drive(world, drive, cordon)));
            }
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replicas, columns, fs, first_on, .. } = self;
        writeln!(f, "{replicas} copies of {columns} columns of {fs:?}, attached on node-{first_on}")?;
        self.acts.iter().try_for_each(|act| writeln!(f, "  after {} ms {:?}", act.pause, act.what))
    }
}

/// What a seed stands for.
pub(crate) fn script(config: &Config) -> Script {
    let mut rng = Rng::new(config.seed ^ 0x6d64_6661_6272_6963);
    let (replicas, first_on) = (1 + u32::try_from(rng.below(3)).unwrap(), pick(&mut rng));
    let mut acts = Vec::new();
    for _ in 0..rng.between(4, 24) {
        let longest = if rng.one_in(3) { 12_000 } else { 800 };
        let pause = rng.below(longest);
        let what = if rng.one_in(2) { operation(&mut rng) } else { harm(&mut rng) };
        acts.push(Act { pause, what });
        if rng.one_in(3) {
            acts.push(Act { pause: 0, what: What::Mend });
        }
    }
    let fs = if config.seed.is_multiple_of(2) { FsType::Ext4 } else { FsType::Xfs };
    let columns = if config.seed % 8 < 6 { 1 } else { 2 };
    Script { config: Config { nodes: NODES, ..config.clone() }, fs, replicas, columns, first_on, acts }
}

fn pick(rng: &mut Rng) -> u8 {
    1 + u8::try_from(rng.below(u64::from(NODES))).unwrap()
}

/// Users may ask for anything; what is refused is refused.
fn operation(rng: &mut Rng) -> What {
    match rng.below(10) {
        9 => empty(rng),
        8 => What::Scrub(if rng.one_in(4) { Scrub::Stop } else { Scrub::Begin { repair: false } }),
        7 => What::Grow(1024 + 128 * rng.below(5)),
        4..=6 => resize(rng),
        0 | 1 => What::Move(pick(rng), pick(rng)),
        2 => What::Detach,
        _ => What::Attach(pick(rng)),
    }
}

/// More copies or fewer, by the verb or by the record itself.
fn resize(rng: &mut Rng) -> What {
    let edit = |add, remove, replicas| What::Edit { add, remove, replicas };
    match rng.below(4) {
        0 => edit(Some(pick(rng)), None, None),
        1 => edit(None, Some(pick(rng)), None),
        2 => edit(None, None, Some(1 + u32::try_from(rng.below(3)).unwrap())),
        _ => What::EditRecord(usize::try_from(rng.below(4)).unwrap(), pick(rng)),
    }
}

/// Copies shall leave a node or a drive.
fn empty(rng: &mut Rng) -> What {
    let victim = pick(rng);
    What::Break(if rng.one_in(2) { Fault::Drain(node(victim)) } else { Fault::Evict(drive(rng, victim)) })
}

fn drive(rng: &mut Rng, victim: u8) -> DriveId {
    format!("n{victim}d{}", 1 + rng.below(2)).parse().unwrap()
}

/// Something breaks: for a moment, or until it is mended.
fn harm(rng: &mut Rng) -> What {
    let victim = pick(rng);
    let fault = match rng.below(8) {
        0 | 1 => return What::KillDaemon(victim, rng.between(100, 3_000)),
        2 => return What::PowerCut(victim, rng.between(500, 30_000)),
        3 => Fault::Link(node(victim), node(pick(rng))),
        4 => Fault::Way(node(victim), node(pick(rng))),
        5 => Fault::Store(node(victim)),
        6 => Fault::Hang(drive(rng, victim)),
        _ => Fault::Pause(node(victim)),
    };
    let longest = if rng.one_in(3) { 40_000 } else { 4_000 };
    if rng.one_in(2) { What::Break(fault) } else { What::Blink(fault, rng.below(longest)) }
}

/// Plays a script to its end. Panics with the whole story when a promise is broken.
pub(crate) fn play(script: &Script) {
    drop(played(script));
}

/// What happened in it.
pub(crate) fn played(script: &Script) -> Scene {
    let mut scene = Scene::with(script.config.clone());
    scene.create(&CreateVolume { fs: script.fs, stripe_width: script.columns, ..wish(script.replicas) });
    scene.cluster.app(&name()).writing = true;
    attach(&mut scene, script.first_on);
    let mut faults = Vec::new();
    for act in &script.acts {
        scene.cluster.run_for(act.pause);
        happen(&mut scene, &act.what, &mut faults);
        scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    }
    for fault in &faults {
        fault.set(&mut scene, true);
    }
    settle(&mut scene);
    scene
}

fn happen(scene: &mut Scene, what: &What, faults: &mut Vec<Fault>) {
    match what {
        What::Attach(on) => attach(scene, *on),
        What::Detach => drop(scene.cluster.request(|world, _| verbs::detach(world, &name()))),
        What::Move(from, to) => {
            let (from, to) = (node(*from), node(*to));
            drop(scene.cluster.request(|world, _| verbs::move_replica(world, &name(), &from, &to, None)));
        }
        What::Grow(mib) => {
            let size = NewSize::Of(Bytes::mib(*mib));
            drop(scene.cluster.request(|world, _| verbs::grow(world, &name(), size)));
        }
        What::Edit { add, remove, replicas } => edit(scene, *add, *remove, *replicas),
        What::EditRecord(kept, entry) => edit_record(scene, |spec| {
            spec.placement.entries.truncate(*kept);
            if !spec.placement.entries.contains(&at(*entry)) {
                spec.placement.entries.push(at(*entry));
            }
        }),
        What::Scrub(what) => drop(scene.cluster.request(|world, _| verbs::scrub(world, &name(), *what))),
        What::KillDaemon(victim, down) => scene.cluster.kill_daemon(&node(*victim), *down),
        What::PowerCut(victim, down) => scene.cluster.power_cut(&node(*victim), Some(*down)),
        What::Blink(fault, millis) => {
            fault.set(scene, false);
            scene.cluster.run_for(*millis);
            fault.set(scene, true);
        }
        What::Break(fault) => {
            fault.set(scene, false);
            faults.push(fault.clone());
        }
        What::Mend if faults.is_empty() => {}
        What::Mend => faults.remove(0).set(scene, true),
    }
}

fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

fn edit(scene: &mut Scene, add: Option<u8>, remove: Option<u8>, replicas: Option<u32>) {
    let (add, remove) = (add.map(at).into_iter().collect(), remove.map(at).into_iter().collect());
    let wish = EditVolume { add, remove, replicas, ..EditVolume::new(name()) };
    drop(scene.cluster.request(|world, _| verbs::edit(world, &wish)));
}

fn attach(scene: &mut Scene, on: u8) {
    drop(scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(on))));
    let mount = MountRequest::at("/mnt/vol");
    drop(scene.cluster.request(|world, _| verbs::mount(world, &name(), mount)));
}

/// The faults are over: everything becomes whole, mounts, takes writes, moves on and goes without a trace.
fn settle(scene: &mut Scene) {
    scene.until(60_000, "everybody is back", mdfabric::sim::Cluster::is_up);
    scene.until(300_000, "no detach is under way", |cluster| {
        let world = cluster.world();
        let attached = world.volume_spec(&name()).is_some_and(|spec| spec.attachment.is_some());
        attached || world.volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    attach(scene, 1);
    scene.until(300_000, "mounted", is_mounted);
    ask_for_what_is_possible(scene);
    scene.whole();
    scene.until(300_000, "no scrub is under way", is_scrubbed);
    scene.write_a_little();
    scene.quiet_while_writing();
    scene.detach();
    scene.request_delete();
    scene.gone();
}

fn is_scrubbed(cluster: &mdfabric::sim::Cluster) -> bool {
    let spec = cluster.world().volume_spec(&name()).map(|spec| spec.scrub.generation);
    cluster
        .world()
        .volume_status(&name())
        .is_some_and(|status| status.scrub.running.is_none() && Some(status.scrub.generation) == spec)
}

/// Somebody may have written into the record what cannot be: it can always be mended by the verb.
fn ask_for_what_is_possible(scene: &mut Scene) {
    scene.until(300_000, "no copy is under way", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.relocation.is_none())
    });
    let status = scene.status().unwrap();
    let spec = scene.cluster.world().volume_spec(&name()).unwrap();
    if scale::impossible(spec, status).is_some() {
        let replicas = u32::try_from(status.copies(spec)).ok();
        let wish = EditVolume { replicas, ..EditVolume::new(name()) };
        scene.cluster.request(|world, _| verbs::edit(world, &wish)).unwrap();
    }
}

/// A script that fails, without every act it fails without, and what it fails with.
pub(crate) fn shrink(mut script: Script, mut failed: Failure) -> (Script, Failure) {
    let mut index = 0;
    while index < script.acts.len() {
        let mut shorter = script.clone();
        shorter.acts.remove(index);
        match failure(|| play(&shorter)) {
            Some(still) => (script, failed) = (shorter, still),
            None => index += 1,
        }
    }
    (script, failed)
}
