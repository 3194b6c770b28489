//! The records of one volume, made by the simulation, and what of them makes a difference.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, RwLock};

use mdfabric::domain::{
    Attachment, Bytes, DriveId, Epoch, FsType, Key, Kind, Locality, Member, MemberState, NodeName,
    PlacementEntry, Record, ReplicaId, Revision, Timestamp, Versioned, VolumeName, VolumeUid, World,
};
use mdfabric::plan::safety::Guard;
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::plan::{self, Held, Holder, Input, Memory, Process, Through, Who, Write, controller};
use mdfabric::sim::{Cluster, Config};
use uuid::Uuid;

use super::state::{Call, State, User};

/// The moment at which everything happens.
const NOW: Timestamp = Timestamp(1_000_000_000);
/// Later than every timer.
const LATER: u64 = 600_000;

/// What never changes.
pub(crate) struct Setup {
    pub(crate) nodes: Vec<NodeName>,
    pub(crate) replicas: Vec<ReplicaId>,
    pub(crate) drives: Vec<DriveId>,
    pub(crate) volume: VolumeName,
    pub(crate) uid: VolumeUid,
    world: Arc<World>,
    /// Of every record that makes a difference.
    pub(crate) keys: Vec<Key>,
    sabotage: Option<Guard>,
    /// What was planned before, by what it hangs on.
    plans: RwLock<HashMap<u64, Arc<Planned>>>,
    /// What plans are made of: writes by what they change, calls by their words.
    writes: RwLock<HashMap<(Key, Digest), Arc<Write>>>,
    calls: RwLock<HashMap<String, Call>>,
    /// All there ever was in the records.
    worlds: RwLock<HashMap<Digest, Records>>,
}

/// What the machines of a node want written first, of what matters, and done.
pub(crate) struct Planned {
    pub(crate) write: Option<Arc<Write>>,
    pub(crate) steps: Vec<Call>,
}

/// What is known by its key is kept once: there are millions of moments, and few things that are said in them.
fn once<K: Eq + Hash, V: Clone>(known: &RwLock<HashMap<K, V>>, key: K, value: impl FnOnce() -> V) -> V {
    if let Some(known) = known.read().unwrap().get(&key) {
        return known.clone();
    }
    let value = value();
    known.write().unwrap().entry(key).or_insert(value).clone()
}

/// What a plan is made of besides records and kernel: have the timers run out, and who is taken for dead.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Timing {
    pub(crate) late: bool,
    pub(crate) suspects: u8,
}

impl Timing {
    pub(crate) const FRESH: Self = Self { late: false, suspects: 0 };

    /// Fresh, run out, and run out with any others taken for dead.
    pub(crate) fn all(me: usize, nodes: usize) -> impl Iterator<Item = Self> {
        let guesses = (1..1u8 << nodes).filter(move |suspects| suspects & (1 << me) == 0);
        let trusting = [false, true].map(|late| Self { late, suspects: 0 });
        trusting.into_iter().chain(guesses.map(|suspects| Self { late: true, suspects }))
    }
}

/// The part of the records that decisions and promises hang on; the rest is for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    pub(crate) attached: usize,
    pub(crate) owner: Option<usize>,
    pub(crate) epoch: u64,
    pub(crate) taken_over: bool,
    pub(crate) in_sync: BTreeSet<usize>,
    members: Vec<(usize, u8, bool)>,
    /// Who may use each copy in which epoch, and what its provider has acknowledged.
    exports: Vec<(Option<(usize, u64)>, u64)>,
}

/// What the status of the volume says.
type Status<'a> = (Option<usize>, u64, bool, &'a BTreeSet<usize>, &'a Vec<(usize, u8, bool)>);

impl Digest {
    fn status(&self) -> Status<'_> {
        (self.owner, self.epoch, self.taken_over, &self.in_sync, &self.members)
    }
}

/// All records at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub(crate) world: Arc<World>,
    pub(crate) key: Arc<Digest>,
}

impl Setup {
    /// A raw volume with `copies` copies on the first nodes, made, started once and detached again.
    pub(crate) fn new(nodes: usize, copies: usize, sabotage: Option<Guard>) -> Self {
        let config = Config { nodes: u8::try_from(nodes).unwrap(), drives: 1, ..Config::default() };
        let mut cluster = Cluster::new(config);
        cluster.run_for(500);
        let drives: Vec<DriveId> = cluster.world().drives().map(|(id, _)| id).collect();
        for (index, id) in (1u128..).zip(&drives) {
            cluster
                .request(|world, now| verbs::add_drive(world, id, None, Uuid::from_u128(index), now))
                .unwrap();
        }
        let names = cluster.node_names();
        let (volume, uid): (VolumeName, _) = ("vol".parse().unwrap(), VolumeUid(Uuid::from_u128(7)));
        let at = |node: &NodeName| PlacementEntry { node: node.clone(), drive: None };
        let wish = CreateVolume {
            replicas: u32::try_from(copies).unwrap(),
            fs: FsType::Raw,
            locality: Locality::Fixed,
            placement: names.iter().take(copies).map(at).collect(),
            ..CreateVolume::new(volume.clone(), Bytes::gib(1))
        };
        cluster.run_for(5_000);
        cluster.request(|world, now| verbs::create(world, &wish, uid, now)).unwrap();
        cluster.run_for(20_000);
        cluster.request(|world, _| verbs::attach(world, &volume, &names[0])).unwrap();
        cluster.run_for(20_000);
        cluster.request(|world, _| verbs::detach(world, &volume)).unwrap();
        cluster.run_for(20_000);
        let status = cluster.world().volume_status(&volume).unwrap();
        assert!(status.created && status.formatted && status.owner.is_none(), "{status:#?}");
        let on = |node: &NodeName| status.member_on(node).unwrap().replica;
        let replicas: Vec<ReplicaId> = names.iter().take(copies).map(on).collect();
        let of_volume = [Kind::VolumeSpec, Kind::VolumeStatus].map(|kind| Key::new(kind, &volume));
        let of_replica = |replica: &ReplicaId| {
            [Kind::ReplicaSpec, Kind::ReplicaStatus].map(|kind| Key::new(kind, replica))
        };
        let keys = of_volume.into_iter().chain(replicas.iter().flat_map(of_replica)).collect();
        let mut setup = Self {
            replicas,
            drives,
            volume,
            uid,
            world: Arc::new(cluster.world().clone()),
            keys,
            nodes: names,
            sabotage,
            plans: RwLock::default(),
            writes: RwLock::default(),
            calls: RwLock::default(),
            worlds: RwLock::default(),
        };
        // Nobody has it attached yet: no digest says that.
        let nowhere = Digest { attached: usize::MAX, ..setup.digest_of(&setup.world, 0) };
        let records = Records { key: Arc::new(nowhere), world: setup.world.clone() };
        setup.world = setup.with_attachment(&records, 0).world;
        setup
    }

    /// What is recorded before anything happens.
    pub(crate) fn records(&self) -> Records {
        Records { world: self.world.clone(), key: Arc::new(self.digest(&self.world)) }
    }

    fn number(&self, node: &NodeName) -> usize {
        self.nodes.iter().position(|known| known == node).unwrap()
    }

    pub(crate) fn copy_of(&self, partition: Uuid) -> Option<usize> {
        self.replicas.iter().position(|replica| replica.0 == partition)
    }

    fn digest(&self, world: &World) -> Digest {
        let attachment = world.volume_spec(&self.volume).unwrap().attachment.as_ref().unwrap();
        self.digest_of(world, self.number(&attachment.node))
    }

    fn digest_of(&self, world: &World, attached: usize) -> Digest {
        let records = self.keys.iter().filter(|key| key.kind != Kind::VolumeSpec);
        let known = records.filter_map(|key| Some((key, world.record(key)?)));
        known.fold(self.nothing(attached), |digest, (key, record)| self.with(digest, key, record))
    }

    fn nothing(&self, attached: usize) -> Digest {
        Digest {
            attached,
            owner: None,
            epoch: 0,
            taken_over: false,
            in_sync: BTreeSet::new(),
            members: Vec::new(),
            exports: vec![(None, 0); self.replicas.len()],
        }
    }

    /// The digest once this record is written too.
    fn with(&self, mut digest: Digest, key: &Key, record: &Record) -> Digest {
        let copy = |replica: &ReplicaId| self.copy_of(replica.0).unwrap();
        match record {
            Record::VolumeSpec(spec) => {
                digest.attached = self.number(&spec.attachment.as_ref().unwrap().node);
            }
            Record::VolumeStatus(status) => {
                digest.owner = status.owner.as_ref().map(|owner| self.number(owner));
                digest.epoch = status.epoch.0;
                digest.taken_over = status.taken_over;
                digest.in_sync = status.in_sync.iter().map(copy).collect();
                let members = status.members.iter();
                digest.members = members
                    .map(|member| (copy(&member.replica), state_number(member.state), member.diverged))
                    .collect();
            }
            Record::ReplicaSpec(spec) => {
                let export = spec.export.as_ref().map(|export| (self.number(&export.node), export.epoch.0));
                digest.exports[copy(&spec.id)].0 = export;
            }
            Record::ReplicaStatus(status) => {
                let of_replica = self.keys.iter().filter(|key| key.kind == Kind::ReplicaStatus);
                let copy = of_replica.zip(0..).find(|(known, _)| *known == key).unwrap().1;
                let exports: &mut (_, u64) = &mut digest.exports[copy];
                exports.1 = status.acked_epoch.0;
            }
            other => panic!("the model knows no {other:?}"),
        }
        digest
    }

    /// The records with one more write. `None` if it changes nothing that matters.
    pub(crate) fn written(&self, records: &Records, key: &Key, record: &Record) -> Option<Records> {
        let digest = self.digest_with(records, key, record)?;
        Some(self.known(digest, records, key, || at_the_moment(record.clone())))
    }

    /// Records that say the same are the same: they are kept once. `record` is what this one changes in those before.
    fn known(&self, digest: Digest, before: &Records, key: &Key, record: impl FnOnce() -> Record) -> Records {
        once(&self.worlds, digest.clone(), || {
            let mut world = before.world.clone();
            let revision = Revision(world.revision(key).0 + 1);
            Arc::make_mut(&mut world).set(key.clone(), Some(Versioned { revision, value: record() }));
            Records { world, key: Arc::new(digest) }
        })
    }

    /// Whether a record says the same here and there. One that was changed and changed back counts as untouched, which lets a
    /// little more happen than can.
    pub(crate) fn agree(&self, one: &Digest, other: &Digest, key: &Key) -> bool {
        let copy = |kind| self.keys.iter().filter(|known| known.kind == kind).position(|known| known == key);
        match key.kind {
            Kind::VolumeSpec => one.attached == other.attached,
            Kind::VolumeStatus => one.status() == other.status(),
            Kind::ReplicaSpec => {
                copy(Kind::ReplicaSpec).is_none_or(|copy| one.exports[copy].0 == other.exports[copy].0)
            }
            Kind::ReplicaStatus => {
                copy(Kind::ReplicaStatus).is_none_or(|copy| one.exports[copy].1 == other.exports[copy].1)
            }
            kind => panic!("the model knows no {kind:?}"),
        }
    }

    /// A copy more than there are is not made in here.
    fn is_of_these(&self, record: &Record) -> bool {
        let Record::VolumeStatus(status) = record else { return true };
        status.members.iter().all(|member| self.copy_of(member.replica.0).is_some())
    }

    fn digest_with(&self, records: &Records, key: &Key, record: &Record) -> Option<Digest> {
        let digest = self.with((*records.key).clone(), key, record);
        (digest != *records.key).then_some(digest)
    }

    pub(crate) fn with_attachment(&self, records: &Records, to: usize) -> Records {
        let key = Key::new(Kind::VolumeSpec, &self.volume);
        let spec = || {
            let mut spec = records.world.volume_spec(&self.volume).unwrap().clone();
            spec.attachment =
                Some(Attachment { node: self.nodes[to].clone(), ..attachment(&records.world, self) });
            Record::VolumeSpec(spec)
        };
        self.known(Digest { attached: to, ..(*records.key).clone() }, records, &key, spec)
    }

    /// The plan of a node; one that hangs on the same is made once.
    pub(crate) fn plan(&self, state: &State, me: usize, timing: Timing) -> Arc<Planned> {
        let mut hasher = DefaultHasher::new();
        (me, timing).hash(&mut hasher);
        state.hash_sight(me, &mut hasher);
        let id = hasher.finish();
        once(&self.plans, id, || Arc::new(self.planned(state, me, timing)))
    }

    fn planned(&self, state: &State, me: usize, timing: Timing) -> Planned {
        let (node, seen) = (&state.nodes[me], state.observe(self, me));
        let now = if timing.late { NOW.plus(LATER) } else { NOW };
        let mut memory = Memory { started_at: NOW, sabotage: self.sabotage, ..Memory::default() };
        memory.track_legs(&seen, NOW);
        memory.readable = self.replicas.iter().map(|replica| (replica.0, now)).collect();
        node.running.iter().for_each(|call| memory.begin((**call).clone(), NOW));
        if let Some(found) = node.found {
            let holders = holder(found).into_iter().collect();
            memory.holders.insert(self.volume.clone(), Held { holders, at: now });
        }
        memory.liveness.store_answered(now);
        for (index, name) in self.nodes.iter().enumerate() {
            let silent = if timing.suspects & (1 << index) != 0 { 60_000 } else { 0 };
            memory.liveness.heard([Key::new(Kind::NodeStatus, name)], Timestamp(now.0 - silent));
        }
        let input =
            Input { me: &self.nodes[me], world: &state.view(me).world, seen: &seen, memory: &memory, now };
        let mut plan = plan::node(&input);
        plan.merge(controller::plan(&input));
        let steps = plan.steps.into_iter().map(|step| self.call(Call::new(step)));
        Planned {
            steps: steps.collect(),
            write: plan.writes.into_iter().find_map(|write| self.write(state.view(me), write)),
        }
    }

    fn call(&self, call: Call) -> Call {
        once(&self.calls, call.words().to_owned(), || call)
    }

    /// A write, if it changes anything that matters.
    fn write(&self, view: &Records, write: Write) -> Option<Arc<Write>> {
        let record = write
            .record
            .as_ref()
            .filter(|record| self.keys.contains(&write.key) && self.is_of_these(record))?;
        self.digest_with(view, &write.key, record)?;
        let says = self.with(self.nothing(0), &write.key, record);
        Some(once(&self.writes, (write.key.clone(), says), || Arc::new(write)))
    }
}

fn attachment(world: &World, setup: &Setup) -> Attachment {
    let known = world.volume_spec(&setup.volume).unwrap().attachment.clone();
    known.unwrap_or_else(|| Attachment::to(setup.nodes[0].clone()))
}

fn holder(user: User) -> Option<Holder> {
    let process = Process { pid: 1000, started: 0, name: "app".to_owned() };
    let ending = user == User::Ending;
    let holder = Holder { who: Who::Process { process, ending }, through: Through::Device };
    (user != User::Nobody).then_some(holder)
}

fn state_number(state: MemberState) -> u8 {
    match state {
        MemberState::Joining => 0,
        MemberState::Syncing => 1,
        MemberState::Synced => 2,
        MemberState::Missing => 3,
        MemberState::Faulty => 4,
        MemberState::Leaving => 5,
    }
}

/// Nothing is remembered of when it was and of what was told about it.
fn at_the_moment(record: Record) -> Record {
    match record {
        Record::VolumeStatus(mut status) => {
            status.claimed_at = NOW;
            status.events.clear();
            status.reasons.clear();
            status.members.iter_mut().for_each(|member| member.since = NOW);
            Record::VolumeStatus(status)
        }
        other => other,
    }
}

/// An epoch as the model counts it.
pub(crate) fn number_of(epoch: Epoch) -> u64 {
    epoch.0
}

/// What a write says, in a line.
pub(crate) fn told(write: &Write) -> String {
    match &write.record {
        Some(Record::VolumeStatus(status)) => {
            let member = |member: &Member| {
                let counts = if status.in_sync.contains(&member.replica) { "in sync" } else { "out" };
                let diverged = if member.diverged { ", diverged" } else { "" };
                format!("{}: {:?}, {counts}{diverged}", member.node, member.state)
            };
            let members: Vec<String> = status.members.iter().map(member).collect();
            format!("epoch {} of {:?}: {}", status.epoch, status.owner.as_ref(), members.join("; "))
        }
        Some(Record::ReplicaSpec(spec)) => format!("a copy on {} for {:?}", spec.node, spec.export),
        Some(Record::ReplicaStatus(status)) => {
            format!("{} acknowledges {}", write.key.name, status.acked_epoch)
        }
        Some(_) | None => write.key.to_string(),
    }
}
