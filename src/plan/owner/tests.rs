mod assembly;
mod eviction;
mod legs;
mod peers;
mod publish;
mod relocate;
mod scrub;
mod stripes;
mod stuck;

use uuid::Uuid;

use super::*;
use crate::domain::testing::{UID, member, put, volume_spec};
use crate::domain::{
    Attachment, Bytes, DriveId, Epoch, MemberState, MountRequest, NodeName, Record, ReplicaStatus, Revision,
    Timestamp, Versioned, World, array_device, array_uuid,
};
use crate::plan::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, DriveSeen, FailureKind, MapSeen, MemberFlag,
    MemberSeen, Memory, MountSeen, Observation, Outcome, PartitionSeen, Step, StepFailure, SyncAction,
    SyncSeen, TableSeen, Usage, timing,
};

const NOW: Timestamp = Timestamp(1_000_000_000);
const EPOCH: Epoch = Epoch(3);
/// The partitions of the copy on this node and of the one on the other.
const LOCAL: Uuid = Uuid::from_u128(1);
const REMOTE: Uuid = Uuid::from_u128(2);
const ARRAY: Dev = number(0);
const PARTITION: Dev = number(1);
const MAP: Dev = number(2);
const PATH: Dev = number(3);
const SIZE: Bytes = Bytes::gib(1);
/// A third copy, where there is one.
const NEW: Uuid = Uuid::from_u128(3);
const NEW_MAP: Dev = number(12);
const NEW_PATH: Dev = number(13);

const fn number(minor: u32) -> Dev {
    Dev { major: 9, minor }
}

/// One volume in the hands of n1, and all that n1 knows.
struct Scene {
    me: NodeName,
    world: World,
    seen: Observation,
    memory: Memory,
    now: Timestamp,
}

impl Scene {
    /// Two copies in sync, mounted at /m, everything recorded.
    fn mounted() -> Self {
        let seen = Observation {
            drives: [("S1".parse::<DriveId>().unwrap(), drive())].into(),
            connections: [((REMOTE, EPOCH), connection())].into(),
            maps: [((REMOTE, EPOCH), map())].into(),
            arrays: [(array_uuid(UID, 0), array())].into(),
            mounts: vec![MountSeen { dev: ARRAY, path: "/m".to_owned(), read_only: false }],
            ..Observation::default()
        };
        let me = "n1".parse().unwrap();
        let mut scene = Self { me, world: records(), seen, memory: Memory::default(), now: NOW };
        scene.settle();
        scene
    }

    fn plan(&self) -> Plan {
        let Self { me, world, seen, memory, now } = self;
        plan(&Input { me, world, seen, memory, now: *now })
    }

    /// Everything a plan wants recorded is.
    fn settle(&mut self) {
        for _ in 0..9 {
            for write in self.plan().writes {
                let revision = Revision(self.world.revision(&write.key).0 + 1);
                self.world.set(write.key, write.record.map(|value| Versioned { revision, value }));
            }
        }
        assert_eq!(self.plan().writes, []);
    }

    fn status(&self) -> &VolumeStatus {
        self.world.volume_status(&"v".parse().unwrap()).unwrap()
    }

    fn measures(&self) -> bool {
        self.plan().steps.contains(&measure())
    }

    /// The step is done, and what it came to is recorded if it shall be.
    fn measured(&mut self, bytes: u64) -> Option<u64> {
        self.memory.record(&measure(), Ok(Outcome::Used(usage(bytes))), self.now);
        self.settle();
        self.status().used.map(|used| used.0)
    }

    fn array(&mut self) -> &mut ArraySeen {
        self.seen.arrays.get_mut(&array_uuid(UID, 0)).unwrap()
    }

    fn wish(&mut self, change: impl Fn(&mut Attachment)) {
        let mut spec = self.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
        spec.attachment.as_mut().into_iter().for_each(change);
        put(&mut self.world, "v", Record::VolumeSpec(spec));
    }
}

fn measure() -> Step {
    Step::MeasureUse { volume: "v".parse().unwrap(), dev: ARRAY, path: "/m".to_owned() }
}

fn usage(bytes: u64) -> Usage {
    Usage { used: Bytes(bytes), ..Usage::default() }
}

fn records() -> World {
    let mut world = World::default();
    let mount = Some(MountRequest::at("/m"));
    let attachment = Some(Attachment { mount, ..Attachment::to("n1".parse().unwrap()) });
    let spec = crate::domain::VolumeSpec { attachment, ..volume_spec("v") };
    let members = [(1, "n1"), (2, "n2")].map(|(id, node)| member(id, node, MemberState::Synced, NOW));
    let made = ReplicaStatus { zeroed: true, acked_epoch: EPOCH, ..ReplicaStatus::default() };
    for member in &members {
        put(&mut world, member.replica, Record::ReplicaStatus(made.clone()));
    }
    let status = VolumeStatus {
        epoch: EPOCH,
        owner: Some("n1".parse().unwrap()),
        in_sync: members.iter().map(|member| member.replica).collect(),
        members: members.into(),
        created: true,
        formatted: true,
        mount_path: Some("/m".to_owned()),
        ..VolumeStatus::default()
    };
    put(&mut world, "v", Record::VolumeSpec(spec));
    put(&mut world, "v", Record::VolumeStatus(status));
    world
}

fn drive() -> DriveSeen {
    let partition =
        PartitionSeen { start: Bytes::mib(1), size: SIZE, room: SIZE, dev: Some(PARTITION), known: SIZE };
    let table = TableSeen::Gpt {
        guid: Uuid::nil(),
        partitions: [(LOCAL, partition)].into(),
        free: Bytes(0),
        largest_free: Bytes(0),
        damaged: None,
    };
    DriveSeen { dev: number(9), ..DriveSeen::good(table, SIZE) }
}

fn connection() -> ConnectionSeen {
    let controller = "nvme7".to_owned();
    ConnectionSeen { controller, state: ConnectionState::Live, dev: Some(PATH), size: SIZE }
}

fn map() -> MapSeen {
    MapSeen { dev: MAP, path: Some(PATH), path_active: true, queueing: true, size: SIZE }
}

fn array() -> ArraySeen {
    let member = |slot, dev, flags: &[MemberFlag]| MemberSeen {
        dev,
        name: format!("dev-{slot}"),
        slot: Some(slot),
        flags: flags.iter().copied().collect(),
    };
    ArraySeen {
        name: array_device(UID, 0),
        dev: ARRAY,
        state: ArrayState::Clean,
        slots: 2,
        members: vec![
            member(0, PARTITION, &[MemberFlag::InSync]),
            member(1, MAP, &[MemberFlag::InSync, MemberFlag::WriteMostly]),
        ],
        sync: SyncSeen { action: SyncAction::Idle, done: 0, total: 0 },
        size: SIZE,
    }
}

/// The third copy is there, on n3, and in sync as far as the kernel knows.
fn add_third(scene: &mut Scene) {
    let made = ReplicaStatus { zeroed: true, acked_epoch: EPOCH, ..ReplicaStatus::default() };
    put(&mut scene.world, crate::domain::ReplicaId(NEW), Record::ReplicaStatus(made));
    let key = (NEW, EPOCH);
    scene.seen.connections.insert(key, ConnectionSeen { dev: Some(NEW_PATH), ..connection() });
    scene.seen.maps.insert(key, MapSeen { dev: NEW_MAP, path: Some(NEW_PATH), ..map() });
    let third = MemberSeen {
        dev: NEW_MAP,
        name: "dev-2".to_owned(),
        slot: Some(2),
        flags: [MemberFlag::InSync, MemberFlag::WriteMostly].into(),
    };
    scene.array().slots = 3;
    scene.array().members.push(third);
}

#[test]
fn a_volume_without_copies_is_nobody_s() {
    let mut scene = Scene::mounted();
    scene.seen = Observation::default();
    put(&mut scene.world, "v", Record::VolumeStatus(VolumeStatus::default()));
    assert_eq!(scene.plan().writes, [], "its epoch would go back when it is placed");
    let members = scene.world.volume_status(&"v".parse().unwrap()).unwrap().members.len();
    assert_eq!(members, 0);
}

#[test]
fn the_use_of_a_mounted_file_system_is_measured_now_and_every_minute() {
    let mut scene = Scene::mounted();
    assert_eq!(scene.plan().steps, [measure()]);
    assert_eq!(scene.measured(5), Some(5));
    let idle = scene.plan();
    assert_eq!((idle.steps, idle.wake_at), (vec![], None), "an idle volume wakes nobody");
    scene.now = NOW.plus(timing::USE_MILLIS - 1);
    assert!(!scene.measures());
    scene.now = NOW.plus(timing::USE_MILLIS);
    assert!(scene.measures());
}

#[test]
fn nothing_is_measured_while_anything_else_goes_on() {
    let not_while = |change: fn(&mut Scene)| {
        let mut scene = Scene::mounted();
        change(&mut scene);
        scene.settle();
        assert!(!scene.measures(), "{:?}", scene.plan());
    };
    not_while(|scene| {
        scene.memory.begin(measure(), NOW);
    });
    not_while(|scene| scene.wish(|attachment| attachment.mount = None));
    not_while(|scene| scene.wish(|attachment| attachment.node = "n2".parse().unwrap()));
    not_while(|scene| scene.seen.mounts.clear());
    not_while(|scene| scene.seen.mounts[0].dev = PATH);
    not_while(|scene| scene.seen.connections.clear());
    not_while(|scene| scene.array().slots = 3);
    not_while(|scene| {
        scene.array().members[1].flags.remove(&MemberFlag::WriteMostly);
    });
}

#[test]
fn what_is_in_use_is_recorded_when_it_moved_visibly_and_kept() {
    let mut scene = Scene::mounted();
    let percent = SIZE.0 / 1000 * 10;
    assert_eq!(scene.status().used, None);
    assert_eq!(scene.measured(percent * 7), Some(percent * 7));
    assert_eq!(scene.measured(percent * 8), Some(percent * 7));
    assert_eq!(scene.measured(percent * 8 + 1), Some(percent * 8 + 1));
    assert_eq!(scene.measured(0), Some(0));
    assert_eq!(scene.measured(percent * 2), Some(percent * 2));

    scene.wish(|attachment| attachment.mount = None);
    scene.seen.mounts.clear();
    scene.settle();
    assert_eq!((&scene.status().mount_path, scene.status().used), (&None, Some(Bytes(percent * 2))));
    assert_eq!(scene.measured(percent * 9), Some(percent * 2), "no figure of what is not mounted");
    scene.seen.arrays.clear();
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    scene.settle();
    assert_eq!(scene.status().used, Some(Bytes(percent * 2)));
}

#[test]
fn a_measurement_that_fails_is_tried_again_and_alarms_nobody() {
    let mut scene = Scene::mounted();
    let before = scene.status().clone();
    let failure = StepFailure { kind: FailureKind::Retry, message: "open /m: EIO".to_owned() };
    scene.memory.record(&measure(), Err(failure), NOW);
    let plan = scene.plan();
    assert_eq!((plan.steps, plan.reasons, plan.writes), (vec![measure()], vec![], vec![]));
    assert!(scene.memory.waits(&measure(), NOW).is_some());
    assert_eq!(scene.status(), &before);
}

#[test]
fn a_mount_begins_anew_with_measuring() {
    let mut scene = Scene::mounted();
    scene.measured(7);
    let (volume, path) = ("v".parse().unwrap(), "/m".to_owned());
    let fs = crate::domain::FsType::Xfs;
    let mount =
        Step::Mount { volume, dev: ARRAY, fs, path, read_only: false, options: Vec::new(), group: None };
    scene.memory.record(&mount, Ok(Outcome::Done), NOW);
    assert!(scene.memory.used.is_empty() && scene.measures());
}
