//! Random operations and faults from a seed; then the faults stop, and everything has to be well.
//!
//! What will happen is drawn first ([`Script`]) and played then, so that a script that fails can be made shorter.

use std::fmt;

use mdfabric::domain::{
    Bytes, DriveId, FsType, Member, MountRequest, NodeName, PlacementEntry, Reason, VolumeName, VolumeStatus,
    World,
};
use mdfabric::plan::scale;
use mdfabric::plan::verbs::{self, Cordon, CreateVolume, EditVolume, NewSize, Refusal, Scrub, Verdict};
use mdfabric::sim::{Cluster, Config, DriveFault, News, Rng};

use super::support::{
    Failure, Scene, edit_record, failure, has_all, has_copies, is_served, name, node, wish,
};

const NODES: u8 = 4;

/// Where news come late there is more time between two acts: so many times as much.
const SLOWNESS: u64 = 10;

/// A life as it is meant to go.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    config: Config,
    volumes: Vec<Volume>,
    acts: Vec<Act>,
}

/// A volume as it begins.
#[derive(Debug, Clone)]
struct Volume {
    wish: CreateVolume,
    first_on: u8,
}

/// Something happens after a pause of so many milliseconds.
#[derive(Debug, Clone)]
struct Act {
    pause: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Of a volume.
    Ask(VolumeName, Ask),
    KillDaemon(u8, u64),
    PowerCut(u8, u64),
    /// A drive fails for good. There is one such drive at most: copies have to be somewhere.
    Fail(DriveId),
    /// It breaks for so many milliseconds.
    Blink(Fault, u64),
    /// It breaks until it is mended, or until the end.
    Break(Fault),
    /// The fault that has lasted longest is mended.
    Mend,
}

#[derive(Debug, Clone)]
enum Ask {
    Attach(u8),
    Detach,
    Move(u8, u8),
    /// By so many MiB beyond what it began with, up to what every drive has room for.
    Grow(u64),
    Edit {
        add: Option<u8>,
        remove: Option<u8>,
        replicas: Option<u32>,
    },
    /// The record itself: entries beyond the first so many go, this one comes.
    EditRecord(usize, u8),
    Scrub(Scrub),
}

/// What lasts until somebody ends it.
#[derive(Debug, Clone, PartialEq)]
enum Fault {
    Link(NodeName, NodeName),
    /// What the first sends does not get to the second.
    Way(NodeName, NodeName),
    Store(NodeName),
    Pause(NodeName),
    /// A drive answers nobody.
    Hang(DriveId),
    /// A drive is not in its machine.
    Pull(DriveId),
    /// A node takes no new copies, or is emptied.
    Node(NodeName, Cordon),
    /// The same of a drive.
    Drive(DriveId, Cordon),
}

impl Fault {
    fn begin(&self, scene: &mut Scene) {
        match self {
            Self::Link(one, other) => scene.cluster.set_link(one, other, false),
            Self::Way(from, to) => scene.cluster.set_way(from, to, false),
            Self::Store(node) => scene.cluster.set_store(node, false),
            Self::Pause(node) => scene.cluster.set_paused(node, true),
            Self::Hang(drive) => scene.cluster.set_drive(drive, DriveFault::Hung),
            Self::Pull(drive) => scene.cluster.set_drive(drive, DriveFault::Pulled),
            Self::Node(node, cordon) => ask(scene, |world| verbs::cordon_node(world, node, *cordon)),
            Self::Drive(drive, cordon) => ask(scene, |world| verbs::cordon_drive(world, drive, *cordon)),
        }
    }

    fn end(&self, scene: &mut Scene) {
        match self {
            Self::Link(one, other) => scene.cluster.set_link(one, other, true),
            Self::Way(from, to) => scene.cluster.set_way(from, to, true),
            Self::Store(node) => scene.cluster.set_store(node, true),
            Self::Pause(node) => scene.cluster.set_paused(node, false),
            Self::Hang(drive) | Self::Pull(drive) => scene.cluster.set_drive(drive, DriveFault::None),
            Self::Node(node, _) => ask(scene, |world| verbs::cordon_node(world, node, Cordon::Off)),
            Self::Drive(drive, _) => ask(scene, |world| verbs::cordon_drive(world, drive, Cordon::Off)),
        }
    }

    /// A drive is put back once the record knows what the kernel dropped with it: an owner that dies in between leaves a window
    /// (R1 in ARCHITECTURE.md).
    fn may_end(&self, cluster: &Cluster) -> bool {
        !matches!(self, Self::Pull(drive) if cluster.is_behind(drive))
    }

    /// Whose answers it is about.
    fn drive(&self) -> Option<&DriveId> {
        match self {
            Self::Hang(drive) | Self::Pull(drive) => Some(drive),
            Self::Link(..)
            | Self::Way(..)
            | Self::Store(_)
            | Self::Pause(_)
            | Self::Node(..)
            | Self::Drive(..) => None,
        }
    }
}

/// What is wrong at a moment.
#[derive(Debug, Default)]
struct Wrong {
    faults: Vec<Fault>,
    /// The drive that failed for good.
    failed: Option<DriveId>,
}

impl Wrong {
    /// Of a drive one thing at a time is wrong, and none is pulled in the window that the kernel leaves between what it drops and what is
    /// recorded.
    fn begin(&mut self, scene: &mut Scene, fault: &Fault) {
        let mut drives = self.faults.iter().filter_map(Fault::drive).chain(&self.failed);
        let free = fault.drive().is_none_or(|drive| drives.all(|other| other != drive));
        let too_early = matches!(fault, Fault::Pull(drive) if scene.cluster.is_all_that_counts(drive));
        if free && !too_early {
            fault.begin(scene);
            self.faults.push(fault.clone());
        }
    }

    /// The oldest that is like this one and may end.
    fn end(&mut self, scene: &mut Scene, is_it: impl Fn(&Fault) -> bool) -> bool {
        let mut faults = self.faults.iter();
        let Some(at) = faults.position(|fault| is_it(fault) && fault.may_end(&scene.cluster)) else {
            return false;
        };
        self.faults.remove(at).end(scene);
        true
    }

    fn end_all(&mut self, scene: &mut Scene) {
        while self.end(scene, |_| true) {}
    }

    fn fail(&mut self, scene: &mut Scene, drive: &DriveId) {
        if self.failed.is_none() && is_spare(&scene.cluster, drive) {
            self.faults.retain(|fault| fault.drive() != Some(drive));
            scene.cluster.set_drive(drive, DriveFault::Failing);
            self.failed = Some(drive.clone());
        }
    }
}

/// Whether every volume with a copy on a drive is made, and has another copy that holds every write.
fn is_spare(cluster: &Cluster, drive: &DriveId) -> bool {
    let volumes = cluster.world().volumes().filter_map(|volume| volume.status);
    let concerned = |status: &VolumeStatus| status.members.iter().any(|member| member.drives.contains(drive));
    let has_another = |status: VolumeStatus| {
        let elsewhere = |member: &&Member| !member.drives.contains(drive);
        let mut others = status.members.iter().filter(elsewhere);
        status.formatted && others.any(|member| status.in_sync.contains(&member.replica))
    };
    volumes.filter(concerned).all(has_another)
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Volume { wish, first_on } in &self.volumes {
            let CreateVolume { name, replicas, stripe_width, fs, .. } = wish;
            writeln!(
                f,
                "{name}: {replicas} copies of {stripe_width} columns of {fs:?}, attached on node-{first_on}"
            )?;
        }
        self.acts.iter().try_for_each(|act| writeln!(f, "  after {} ms {:?}", act.pause, act.what))
    }
}

/// What a seed stands for.
pub(crate) fn script(config: &Config) -> Script {
    let mut rng = Rng::new(config.seed ^ 0x6d64_6661_6272_6963);
    let volumes = volumes(config.seed, &mut rng);
    let mut acts = Vec::new();
    for _ in 0..rng.between(4, 24) {
        let longest = if rng.one_in(3) { 12_000 } else { 800 };
        let pause = rng.below(longest);
        let what = if rng.one_in(2) { operation(&mut rng, &volumes) } else { harm(&mut rng) };
        acts.push(Act { pause, what });
        if rng.one_in(3) {
            acts.push(Act { pause: 0, what: What::Mend });
        }
    }
    Script { config: Config { nodes: NODES, ..config.clone() }, volumes, acts }
}

/// One, and in some seeds another one that shares its nodes and drives.
fn volumes(seed: u64, rng: &mut Rng) -> Vec<Volume> {
    let mut drawn = |wish: CreateVolume| Volume {
        wish: CreateVolume { replicas: 1 + u32::try_from(rng.below(3)).unwrap(), ..wish },
        first_on: pick(rng),
    };
    let fs = if seed.is_multiple_of(2) { FsType::Ext4 } else { FsType::Xfs };
    let first = CreateVolume { fs, stripe_width: if seed % 8 < 6 { 1 } else { 2 }, ..wish(1) };
    let mut volumes = vec![drawn(first)];
    if seed % 8 == 3 || seed % 8 == 6 {
        let fs = if seed % 8 == 3 { FsType::Raw } else { FsType::Xfs };
        volumes
            .push(drawn(CreateVolume { fs, ..CreateVolume::new("other".parse().unwrap(), Bytes::mib(512)) }));
    }
    volumes
}

fn pick(rng: &mut Rng) -> u8 {
    1 + u8::try_from(rng.below(u64::from(NODES))).unwrap()
}

/// Users may ask for anything; what is refused is refused.
fn operation(rng: &mut Rng, volumes: &[Volume]) -> What {
    let volume = &volumes[usize::try_from(rng.below(volumes.len() as u64)).unwrap()];
    let asked = match rng.below(10) {
        9 => return empty(rng),
        8 => Ask::Scrub(if rng.one_in(4) { Scrub::Stop } else { Scrub::Begin { repair: rng.one_in(2) } }),
        7 => Ask::Grow(128 * rng.below(5)),
        4..=6 => resize(rng),
        0 | 1 => Ask::Move(pick(rng), pick(rng)),
        2 => Ask::Detach,
        _ => Ask::Attach(pick(rng)),
    };
    What::Ask(volume.wish.name.clone(), asked)
}

/// More copies or fewer, by the verb or by the record itself.
fn resize(rng: &mut Rng) -> Ask {
    let edit = |add, remove, replicas| Ask::Edit { add, remove, replicas };
    match rng.below(4) {
        0 => edit(Some(pick(rng)), None, None),
        1 => edit(None, Some(pick(rng)), None),
        2 => edit(None, None, Some(1 + u32::try_from(rng.below(3)).unwrap())),
        _ => Ask::EditRecord(usize::try_from(rng.below(4)).unwrap(), pick(rng)),
    }
}

/// A node or a drive takes no new copies; those it has shall leave it, too, or not.
fn empty(rng: &mut Rng) -> What {
    let victim = pick(rng);
    let cordon = if rng.one_in(3) { Cordon::On } else { Cordon::Empty };
    let of_node = rng.one_in(2);
    What::Break(if of_node {
        Fault::Node(node(victim), cordon)
    } else {
        Fault::Drive(drive(rng, victim), cordon)
    })
}

fn drive(rng: &mut Rng, victim: u8) -> DriveId {
    format!("n{victim}d{}", 1 + rng.below(2)).parse().unwrap()
}

/// Something breaks: for a moment, or until it is mended.
fn harm(rng: &mut Rng) -> What {
    let victim = pick(rng);
    let fault = match rng.below(10) {
        0 | 1 => return What::KillDaemon(victim, rng.between(100, 3_000)),
        2 => return What::PowerCut(victim, rng.between(500, 30_000)),
        3 => return What::Fail(drive(rng, victim)),
        4 => Fault::Link(node(victim), node(pick(rng))),
        5 => Fault::Way(node(victim), node(pick(rng))),
        6 => Fault::Store(node(victim)),
        7 => Fault::Hang(drive(rng, victim)),
        8 => Fault::Pull(drive(rng, victim)),
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
    let mut wrong = Wrong::default();
    for Volume { wish, first_on } in &script.volumes {
        scene.volume = wish.name.clone();
        scene.create(wish);
        scene.cluster.app(&wish.name).writing = true;
        attach(&mut scene, *first_on);
    }
    let slowness = if script.config.late { SLOWNESS } else { 1 };
    if script.config.late {
        hear_late(&mut scene, script.config.seed);
    }
    for act in &script.acts {
        scene.cluster.run_for(act.pause * slowness);
        happen(&mut scene, &act.what, &mut wrong);
        scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    }
    let volumes: Vec<VolumeName> = script.volumes.iter().map(|volume| volume.wish.name.clone()).collect();
    settle(&mut scene, &volumes, wrong);
    scene
}

/// Of four nodes one hears soon what others write, two hear it late, and one does not hear it before the end.
fn hear_late(scene: &mut Scene, seed: u64) {
    let news = [News::Soon, News::Late, News::Never, News::Late];
    for (index, node) in scene.cluster.node_names().into_iter().enumerate() {
        let turned = (index + usize::try_from(seed).unwrap()) % news.len();
        scene.cluster.set_news(&node, news[turned]);
    }
}

fn happen(scene: &mut Scene, what: &What, wrong: &mut Wrong) {
    match what {
        What::Ask(volume, asked) => {
            scene.volume = volume.clone();
            ask_for(scene, asked);
        }
        What::KillDaemon(victim, down) => scene.cluster.kill_daemon(&node(*victim), *down),
        What::PowerCut(victim, down) => scene.cluster.power_cut(&node(*victim), Some(*down)),
        What::Fail(drive) => wrong.fail(scene, drive),
        What::Blink(fault, millis) => {
            wrong.begin(scene, fault);
            scene.cluster.run_for(*millis);
            wrong.end(scene, |other| other == fault);
        }
        What::Break(fault) => wrong.begin(scene, fault),
        What::Mend => {
            wrong.end(scene, |_| true);
        }
    }
}

/// What is refused is refused.
fn ask(scene: &mut Scene, verb: impl FnOnce(&World) -> Result<Verdict, Refusal>) {
    drop(scene.cluster.request(|world, _| verb(world)));
}

fn ask_for(scene: &mut Scene, asked: &Ask) {
    let volume = scene.volume.clone();
    match asked {
        Ask::Attach(on) => attach(scene, *on),
        Ask::Detach => ask(scene, |world| verbs::detach(world, &volume)),
        Ask::Move(from, to) => {
            ask(scene, |world| verbs::move_replica(world, &volume, &node(*from), &node(*to), None));
        }
        Ask::Grow(mib) => {
            let least = if volume == name() { 1024 } else { 512 };
            ask(scene, |world| verbs::grow(world, &volume, NewSize::Of(Bytes::mib(least + mib))));
        }
        Ask::Edit { add, remove, replicas } => edit(scene, *add, *remove, *replicas),
        Ask::EditRecord(kept, entry) => edit_record(scene, |spec| {
            spec.placement.entries.truncate(*kept);
            if !spec.placement.entries.contains(&at(*entry)) {
                spec.placement.entries.push(at(*entry));
            }
        }),
        Ask::Scrub(what) => ask(scene, |world| verbs::scrub(world, &volume, *what)),
    }
}

fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

fn edit(scene: &mut Scene, add: Option<u8>, remove: Option<u8>, replicas: Option<u32>) {
    let (add, remove) = (add.map(at).into_iter().collect(), remove.map(at).into_iter().collect());
    let wish = EditVolume { add, remove, replicas, ..EditVolume::new(scene.volume.clone()) };
    ask(scene, |world| verbs::edit(world, &wish));
}

/// What is raw refuses to be mounted.
fn attach(scene: &mut Scene, on: u8) {
    let volume = scene.volume.clone();
    ask(scene, |world| verbs::attach(world, &volume, &node(on)));
    let mount = MountRequest::at(format!("/mnt/{volume}"));
    ask(scene, |world| verbs::mount(world, &volume, mount));
}

/// The faults are over: everything becomes whole, mounts, takes writes, moves on and goes without a trace.
fn settle(scene: &mut Scene, volumes: &[VolumeName], mut wrong: Wrong) {
    wrong.end_all(scene);
    for node in scene.cluster.node_names() {
        scene.cluster.set_news(&node, News::Soon);
    }
    scene.until(60_000, "everybody is back", Cluster::is_up);
    for_each(scene, volumes, |scene| attach(scene, 1));
    put_back(scene, &wrong.faults);
    for_each(scene, volumes, start_anew);
    if let Some(drive) = &wrong.failed {
        for_each(scene, volumes, |scene| do_without(scene, drive));
        until_not_behind(scene, drive);
        scene.cluster.set_drive(drive, DriveFault::None);
    }
    for_each(scene, volumes, |scene| {
        until_so(scene, "served", is_served);
        ask_for_what_is_possible(scene);
    });
    for_each(scene, volumes, |scene| {
        until_whole(scene, "whole again", |cluster, volume| {
            has_all(cluster, volume) || has_copies(cluster, volume) && follows_in_vain(cluster, volume)
        });
        until_so(scene, "no scrub is under way", is_scrubbed);
        scene.write_a_little();
    });
    for_each(scene, volumes, Scene::until_it_is_known_how_full);
    scene.quiet();
    for_each(scene, volumes, |scene| {
        scene.detach();
        scene.request_delete();
    });
    scene.until(60_000, "all are deleted", |cluster| cluster.world().volumes().next().is_none());
    scene.gone();
}

fn for_each(scene: &mut Scene, volumes: &[VolumeName], mut work: impl FnMut(&mut Scene)) {
    for volume in volumes {
        scene.volume = volume.clone();
        work(scene);
    }
}

fn until_so(scene: &mut Scene, what: &str, so: impl Fn(&Cluster, &VolumeName) -> bool) {
    let volume = scene.volume.clone();
    scene.until(300_000, &format!("{volume}: {what}"), |cluster| so(cluster, &volume));
}

fn until_not_behind(scene: &mut Scene, drive: &DriveId) {
    scene.until(300_000, "the record knows what the kernel dropped", |cluster| !cluster.is_behind(drive));
}

/// Drives that could not be put back before.
fn put_back(scene: &mut Scene, pulled: &[Fault]) {
    for fault in pulled {
        scene.until(300_000, "the record knows what the kernel dropped", |cluster| fault.may_end(cluster));
        fault.end(scene);
    }
}

/// Whoever uses a volume whose last copy was pulled from below it has to let go of it. It may stay in its owner's hands: a copy that was
/// being filled is filled further.
fn start_anew(scene: &mut Scene) {
    scene.cluster.run_for(2_000);
    let is_dead = |cluster: &Cluster, volume: &VolumeName| {
        says(cluster, volume, |reason| reason.code == "LastCopyPulled")
    };
    if is_dead(&scene.cluster, &scene.volume) {
        scene.app().writing = false;
        scene.request_detach();
        until_so(scene, "started anew, or let go", |cluster, volume| !is_dead(cluster, volume));
        scene.app().writing = true;
        attach(scene, 1);
    }
}

/// What has another copy than the one on the drive that failed is made whole without it.
fn do_without(scene: &mut Scene, drive: &DriveId) {
    let needs = |cluster: &Cluster, volume: &VolumeName| needs_drive(cluster, volume, drive);
    until_so(scene, "served", |cluster, volume| is_served(cluster, volume) || needs(cluster, volume));
    if !needs(&scene.cluster, &scene.volume) {
        ask_for_what_is_possible(scene);
        until_whole(scene, "whole without the drive that failed", |cluster, volume| {
            is_whole_without(cluster, volume, drive) || needs(cluster, volume)
        });
    }
}

/// Whether nothing else counts: another copy just went in favour of the one there, or did not answer before that was read the first time.
fn needs_drive(cluster: &Cluster, volume: &VolumeName, drive: &DriveId) -> bool {
    let Some(status) = cluster.world().volume_status(volume) else { return false };
    let mut counted = status.members.iter().filter(|member| status.in_sync.contains(&member.replica));
    counted.all(|member| member.drives.contains(drive))
}

/// Who asked for a place where there is none takes that back.
fn until_whole(scene: &mut Scene, what: &str, is_whole: impl Fn(&Cluster, &VolumeName) -> bool) {
    for _ in 0..4 {
        until_so(scene, what, |cluster, volume| is_whole(cluster, volume) || has_no_place(cluster, volume));
        if has_no_place(&scene.cluster, &scene.volume) {
            ask_for_what_is_there(scene);
            scene.cluster.run_for(2_000);
        }
    }
    until_so(scene, what, is_whole);
}

fn says(cluster: &Cluster, volume: &VolumeName, it: impl Fn(&Reason) -> bool) -> bool {
    cluster.world().volume_status(volume).is_some_and(|status| status.reasons.iter().any(it))
}

/// A copy where it is used was tried on a drive that failed: that is not tried again.
fn follows_in_vain(cluster: &Cluster, volume: &VolumeName) -> bool {
    let follows = cluster.world().volume_status(volume).is_some_and(|status| status.follow_owner);
    follows && says(cluster, volume, |reason| reason.message.contains("tried in vain"))
}

fn has_no_place(cluster: &Cluster, volume: &VolumeName) -> bool {
    let world = cluster.world();
    let known = world.volume_spec(volume).zip(world.volume_status(volume));
    let waits = known.is_some_and(|(spec, status)| !status.is_placed(spec));
    waits && says(cluster, volume, |reason| reason.code == "NoPlace")
}

fn ask_for_what_is_there(scene: &mut Scene) {
    let status = scene.status().unwrap();
    let good = status.staying().filter(|member| status.in_sync.contains(&member.replica));
    let there: Vec<PlacementEntry> =
        good.map(|member| PlacementEntry { node: member.node.clone(), drive: None }).collect();
    edit_record(scene, |spec| {
        spec.replicas = u8::try_from(there.len()).unwrap();
        spec.placement.entries = there;
    });
}

/// The copy on the drive itself cannot be erased before it answers.
fn is_whole_without(cluster: &Cluster, volume: &VolumeName, drive: &DriveId) -> bool {
    let world = cluster.world();
    let Some((spec, status)) = world.volume_spec(volume).zip(world.volume_status(volume)) else {
        return false;
    };
    let copies = status.copies(spec);
    let staying = || status.staying().filter(|member| !member.drives.contains(drive));
    status.in_sync.len() == copies && staying().count() == copies && status.relocation.is_none()
}

fn is_scrubbed(cluster: &Cluster, volume: &VolumeName) -> bool {
    let world = cluster.world();
    let asked = world.volume_spec(volume).map(|spec| spec.scrub.generation);
    world
        .volume_status(volume)
        .is_some_and(|status| status.scrub.running.is_none() && Some(status.scrub.generation) == asked)
}

/// Somebody may have written into the record what cannot be: it can always be mended by the verb.
fn ask_for_what_is_possible(scene: &mut Scene) {
    scene.until_recorded(300_000, "no copy is under way", |status| status.relocation.is_none());
    let status = scene.status().unwrap();
    let spec = scene.cluster.world().volume_spec(&scene.volume).unwrap();
    if scale::impossible(spec, status).is_some() {
        let replicas = u32::try_from(status.copies(spec)).ok();
        let wish = EditVolume { replicas, ..EditVolume::new(scene.volume.clone()) };
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
