//! What the scenarios share: a cluster with drives, verbs, and the questions that are asked of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use mdfabric::domain::{
    Bytes, DriveState, FsType, Key, Kind, Member, MemberState, MountRequest, NodeName, Record, ReplicaId,
    VolumeName, VolumePhase, VolumeSpec, VolumeStatus, VolumeUid,
};
use mdfabric::plan::Write;
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::sim::{App, Cluster, Config, Crash, CrashWhen};
use uuid::Uuid;

pub(crate) fn node(index: u8) -> NodeName {
    format!("node-{index}").parse().unwrap()
}

pub(crate) fn name() -> VolumeName {
    "vol".parse().unwrap()
}

pub(crate) fn wish(replicas: u32) -> CreateVolume {
    CreateVolume { replicas, ..CreateVolume::new(name(), Bytes::gib(1)) }
}

/// What went wrong in a run.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) why: String,
    /// A promise was broken; else something did not come about.
    pub(crate) is_broken: bool,
    /// Milliseconds of virtual time.
    pub(crate) at: u64,
}

thread_local! {
    static LAST_FAILURE: std::cell::RefCell<Option<Failure>> = const { std::cell::RefCell::new(None) };
}

/// Runs `scenario`; what it fails with, if it does.
pub(crate) fn failure(scenario: impl FnOnce()) -> Option<Failure> {
    LAST_FAILURE.set(None);
    let went_well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scenario)).is_ok();
    let unsaid = || Failure { why: "a panic".to_owned(), is_broken: false, at: 0 };
    (!went_well).then(|| LAST_FAILURE.take().unwrap_or_else(unsaid))
}

/// `work` for every item, on all processors; the results in the order of the items.
pub(crate) fn on_all_processors<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, item)) = take(items, &next) {
            done.push((index, work(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

/// Plays a life once for each `every`-th of its moments, with the death of `victim` (or of whose step it is) in it. `life` returns how many
/// moments it has. What of them was not survived.
pub(crate) fn fatal(
    (when, victim, every): (CrashWhen, Option<u8>, usize),
    life: impl Fn(Option<Crash>) -> usize,
) -> Vec<String> {
    let down = if when == CrashWhen::PowerCut { 3_000 } else { 300 };
    let survives = |at: &usize| {
        let crash = Crash { at: *at, when, node: victim.map(node), down };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life(Some(crash)))).is_ok()
    };
    let moments = (0..life(None)).step_by(every);
    let fatal = moments.filter(|at| !survives(at));
    fatal.map(|at| format!("{when:?} at step {at} of {victim:?}")).collect()
}

/// Before and after every step, and without power at every step, for whose step it is and for each of `nodes`.
pub(crate) fn every_death(nodes: &[u8]) -> Vec<(CrashWhen, Option<u8>, usize)> {
    let own =
        [CrashWhen::BeforeEffect, CrashWhen::AfterEffect, CrashWhen::PowerCut].map(|when| (when, None, 1));
    let others = nodes.iter().map(|node| (CrashWhen::PowerCut, Some(*node), 1));
    own.into_iter().chain(others).collect()
}

/// The life of a volume, or of several, on a simulated cluster.
pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    /// Which one is asked for and about.
    pub(crate) volume: VolumeName,
    /// Every PHASE the volume went through.
    pub(crate) phases: Vec<VolumePhase>,
}

impl Scene {
    /// A cluster whose drives are all added.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(Config { seed, ..Config::default() })
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut cluster = Cluster::new(config);
        cluster.run_for(500);
        let ids: Vec<_> = cluster.world().drives().map(|(id, _)| id).collect();
        for (index, id) in (1u128..).zip(&ids) {
            cluster
                .request(|world, now| verbs::add_drive(world, id, None, Uuid::from_u128(index), now))
                .unwrap();
        }
        let ready = cluster.run_until(30_000, |cluster| {
            cluster
                .world()
                .drives()
                .all(|(_, drive)| drive.status.is_some_and(|status| status.state == DriveState::Ready))
        });
        let scene = Self { cluster, volume: name(), phases: Vec::new() };
        scene.demand(ready, "all drives ready");
        scene
    }

    pub(crate) fn status(&self) -> Option<&VolumeStatus> {
        self.cluster.world().volume_status(&self.volume)
    }

    /// Runs until `done`, or fails with all that is known.
    pub(crate) fn until(&mut self, millis: u64, what: &str, done: impl Fn(&Cluster) -> bool) {
        let (phases, volume) = (&mut self.phases, &self.volume);
        let came = self.cluster.run_until(millis, |cluster| {
            if let Some(status) = cluster.world().volume_status(volume)
                && phases.last() != Some(&status.phase)
            {
                phases.push(status.phase);
            }
            done(cluster)
        });
        self.demand(came, what);
        self.demand(self.cluster.violations().is_empty(), "no promise is broken");
    }

    /// The same, of what is recorded of the volume.
    pub(crate) fn until_recorded(&mut self, millis: u64, what: &str, done: impl Fn(&VolumeStatus) -> bool) {
        let volume = self.volume.clone();
        self.until(millis, what, |cluster| cluster.world().volume_status(&volume).is_some_and(&done));
    }

    pub(crate) fn app(&mut self) -> &mut App {
        self.cluster.app(&self.volume)
    }

    pub(crate) fn demand(&self, holds: bool, what: &str) {
        if !holds {
            let broken = self.cluster.violations().first();
            let why = broken.map_or_else(|| format!("not so: {what}"), |broken| broken.what.clone());
            LAST_FAILURE.set(Some(Failure { why, is_broken: broken.is_some(), at: self.cluster.now().0 }));
            panic!("{what}: not so\n{}", self.story());
        }
    }

    pub(crate) fn story(&self) -> String {
        let trace = self.cluster.trace();
        let from = trace
            .len()
            .saturating_sub(std::env::var("SIM_TRACE").ok().and_then(|text| text.parse().ok()).unwrap_or(60));
        format!(
            "{}\nviolations: {:#?}\nstatus: {:#?}\n{}",
            trace[from..].join("\n"),
            self.cluster.violations(),
            self.status().map(|status| (
                &status.reasons,
                status.phase,
                &status.owner,
                &status.members,
                &status.in_sync,
                &status.relocation,
                (&status.size, &status.growth)
            )),
            self.cluster.picture(),
        )
    }

    pub(crate) fn create(&mut self, wish: &CreateVolume) {
        let uid = VolumeUid(Uuid::from_u128(u128::from(self.cluster.now().0)));
        self.cluster.request(|world, now| verbs::create(world, wish, uid, now)).unwrap();
        *self.app() = App::default();
        self.until_recorded(60_000, "created", |status| status.phase == VolumePhase::Synced);
    }

    pub(crate) fn attach(&mut self, on: u8) {
        self.request_attach(on);
        let volume = self.volume.clone();
        self.until(120_000, "mounted", |cluster| is_served(cluster, &volume));
    }

    pub(crate) fn request_attach(&mut self, on: u8) {
        let volume = &self.volume;
        self.cluster.request(|world, _| verbs::attach(world, volume, &node(on))).unwrap();
        let mount = MountRequest::at(format!("/mnt/{volume}"));
        self.cluster.request(|world, _| verbs::mount(world, volume, mount)).unwrap();
    }

    /// Attaches it where it can be used as it is, mounts it there if it has a file system, and writes.
    pub(crate) fn begin(&mut self, fs: FsType, on: u8) {
        if fs == FsType::Raw {
            self.cluster.request(|world, _| verbs::attach(world, &self.volume, &node(on))).unwrap();
        } else {
            self.attach(on);
        }
        self.write_a_little();
    }

    pub(crate) fn write_for(&mut self, millis: u64) {
        self.app().writing = true;
        let before = self.app().acks;
        self.cluster.run_for(millis);
        let after = self.app().acks;
        self.demand(after > before, "writes are acknowledged");
        self.demand(self.cluster.violations().is_empty(), "no promise is broken");
    }

    /// Until a few writes were acknowledged since now.
    pub(crate) fn write_a_little(&mut self) {
        let app = self.app();
        app.writing = true;
        let (enough, volume) = (app.acks + 10, self.volume.clone());
        self.until(120_000, "writes are acknowledged", |cluster| cluster.acks(&volume) >= enough);
    }

    /// A copy that can move, and where to.
    pub(crate) fn a_move(&self) -> (u8, u8) {
        let holds = |index: &u8| self.status().unwrap().member_on(&node(*index)).is_some();
        let to = (1..=3).find(|index| !holds(index)).unwrap();
        let from = (2..=3).chain(1..=1).find(holds).unwrap();
        (from, to)
    }

    pub(crate) fn request_detach(&mut self) {
        self.cluster.request(|world, _| verbs::detach(world, &self.volume)).unwrap();
    }

    pub(crate) fn detach(&mut self) {
        self.app().writing = false;
        self.request_detach();
        self.until_recorded(60_000, "detached", |status| status.owner.is_none());
    }

    pub(crate) fn request_move(&mut self, from: u8, to: u8) {
        self.cluster
            .request(|world, _| verbs::move_replica(world, &self.volume, &node(from), &node(to), None))
            .unwrap();
    }

    pub(crate) fn moved(&mut self, from: u8, to: u8) {
        let volume = self.volume.clone();
        self.until(180_000, "moved", |cluster| {
            let status = cluster.world().volume_status(&volume);
            let at = |index| status.is_some_and(|status| status.member_on(&node(index)).is_some());
            at(to) && !at(from) && has_all(cluster, &volume)
        });
    }

    pub(crate) fn request_delete(&mut self) {
        self.cluster.request(|world, _| verbs::delete(world, &self.volume)).unwrap();
    }

    /// Detached, used on node-2, and deleted without a trace.
    pub(crate) fn lives_on_node_2_and_ends(&mut self) {
        self.detach();
        self.quiet();
        self.attach(2);
        self.write_for(2_000);
        self.whole();
        self.detach();
        self.request_delete();
        self.gone();
    }

    pub(crate) fn gone(&mut self) {
        let volume = self.volume.clone();
        self.until(60_000, "deleted", |cluster| cluster.world().volume_spec(&volume).is_none());
        self.until(60_000, "everybody is back", Cluster::is_up);
        self.quiet();
        let left = self.cluster.leftovers();
        self.demand(left.is_empty(), &format!("everything is freed, but there is {left:?}"));
        let of_replicas = |key: &&Key| matches!(key.kind, Kind::ReplicaSpec | Kind::ReplicaStatus);
        let records = self.cluster.world().records().map(|(key, _)| key);
        let left: Vec<String> = records.filter(of_replicas).map(Key::to_string).collect();
        self.demand(left.is_empty(), &format!("no record of a replica is left, but there is {left:?}"));
    }

    /// Nothing is written or done any more but heartbeats and the lease.
    pub(crate) fn quiet(&mut self) {
        self.cluster.run_for(3_000);
        let before = self.cluster.trace().len();
        self.cluster.run_for(20_000);
        let after = self.cluster.trace().len();
        self.demand(before == after, &format!("quiet, but {} things happened", after - before));
        let leaked = self.cluster.leaked();
        self.demand(leaked.is_empty(), &format!("nothing is there that nobody wants, but {leaked:?}"));
        let torn = self.cluster.torn();
        self.demand(torn.is_empty(), &format!("every column has what the record says, but {torn:?}"));
    }

    /// The application writes until everything is in use and the record says so; apart from that nothing happens.
    pub(crate) fn quiet_while_writing(&mut self) {
        self.app().writing = true;
        self.until_it_is_known_how_full();
        self.quiet();
    }

    pub(crate) fn until_it_is_known_how_full(&mut self) {
        let volume = self.volume.clone();
        self.until(120_000, "the record knows how full it is", |cluster| is_full(cluster, &volume));
    }

    pub(crate) fn whole(&mut self) {
        let volume = self.volume.clone();
        self.until(180_000, "whole again", |cluster| has_all(cluster, &volume));
    }

    pub(crate) fn in_sync(&self) -> Vec<ReplicaId> {
        self.status().map(|status| status.in_sync.iter().copied().collect()).unwrap_or_default()
    }
}

/// Attached where it is wanted, and mounted there if it has a file system.
pub(crate) fn is_served(cluster: &Cluster, volume: &VolumeName) -> bool {
    let world = cluster.world();
    let Some(spec) = world.volume_spec(volume) else { return false };
    let wanted = spec.attachment.as_ref().map(|attachment| &attachment.node);
    world.volume_status(volume).is_some_and(|status| {
        let raw = spec.fs == FsType::Raw && status.array.device.is_some();
        (raw || status.array.mounted_at.is_some()) && status.owner.as_ref() == wanted
    })
}

pub(crate) fn is_mounted(cluster: &Cluster) -> bool {
    is_served(cluster, &name())
}

/// What is raw has nothing that is measured.
fn is_full(cluster: &Cluster, volume: &VolumeName) -> bool {
    let world = cluster.world();
    let Some(spec) = world.volume_spec(volume) else { return false };
    let used = world.volume_status(volume).and_then(|status| status.used);
    spec.fs == FsType::Raw || used == Some(spec.size)
}

/// Every copy asked for holds every write, no other copy is there, and one is where it is used.
pub(crate) fn has_all(cluster: &Cluster, volume: &VolumeName) -> bool {
    let status = cluster.world().volume_status(volume);
    has_copies(cluster, volume) && status.is_some_and(|status| !status.follow_owner)
}

/// The same, wherever it is used.
pub(crate) fn has_copies(cluster: &Cluster, volume: &VolumeName) -> bool {
    let world = cluster.world();
    let Some(spec) = world.volume_spec(volume) else { return false };
    // A Faulty one beyond their number goes with the next change.
    let counts = |member: &&Member| member.state != MemberState::Faulty;
    world.volume_status(volume).is_some_and(|status| {
        status.phase == VolumePhase::Synced
            && status.in_sync.len() == status.copies(spec)
            && status.members.iter().filter(counts).count() == status.copies(spec)
            && status.relocation.is_none()
            && status.is_placed(spec)
            && !status.is_expanding(spec)
    })
}

pub(crate) fn is_whole(cluster: &Cluster) -> bool {
    has_all(cluster, &name())
}

/// The user's record is edited past the verbs, without a new generation.
pub(crate) fn edit_record(scene: &mut Scene, edit: impl FnOnce(&mut VolumeSpec)) {
    let mut spec = scene.cluster.world().volume_spec(&scene.volume).unwrap().clone();
    edit(&mut spec);
    let key = Key::new(Kind::VolumeSpec, &scene.volume);
    scene.cluster.write(&[Write { key, record: Some(Record::VolumeSpec(spec)) }]);
}
