use uuid::Uuid;

use super::*;
use crate::domain::testing::{UID, drive_status, put, volume_spec};
use crate::domain::{
    Bytes, DriveId, DriveSpec, DriveState, Epoch, Key, Kind, NodeName, Record, ReplicaId, ReplicaSpec,
    Timestamp, VolumeStatus, Wanted, World, partition_guid,
};
use crate::plan::{
    ArraySeen, ArrayState, Dev, DriveSeen, ExportSeen, MemberSeen, Memory, Observation, PartitionSeen, Step,
    SyncAction, SyncSeen, TableSeen, controller,
};

const ID: ReplicaId = ReplicaId(Uuid::from_u128(1));
const DISK: Uuid = Uuid::from_u128(7);
const DEV: Dev = Dev { major: 259, minor: 3 };
const EPOCH: Epoch = Epoch(4);

struct Scene {
    me: NodeName,
    world: World,
    seen: Observation,
    memory: Memory,
}

fn drive() -> DriveId {
    "S1".parse().unwrap()
}

fn guid() -> Uuid {
    partition_guid(ID, 0)
}

fn table() -> TableSeen {
    let size = Bytes::gib(1);
    let partition = PartitionSeen { start: Bytes::mib(1), size, room: size, dev: Some(DEV), known: size };
    let (free, largest_free) = (Bytes::gib(3), Bytes::gib(3));
    TableSeen::Gpt { guid: DISK, partitions: [(guid(), partition)].into(), free, largest_free, damaged: None }
}

impl Scene {
    /// A copy that shall be there, whose partition is, and of which nothing is recorded but that it is wanted.
    fn without_status() -> Self {
        let me: NodeName = "n1".parse().unwrap();
        let mut world = World::default();
        let of_drive = DriveSpec {
            id: drive(),
            node: me.clone(),
            disk_guid: DISK,
            wipe: false,
            cordoned: false,
            evicting: false,
            removing: false,
            added_at: Timestamp(0),
        };
        put(&mut world, drive(), Record::DriveSpec(of_drive));
        put(&mut world, drive(), Record::DriveStatus(drive_status(&me, DriveState::Ready)));
        put(&mut world, "v", Record::VolumeSpec(volume_spec("v")));
        put(&mut world, "v", Record::VolumeStatus(VolumeStatus::default()));
        let spec = ReplicaSpec {
            id: ID,
            volume: "v".parse().unwrap(),
            volume_uid: UID,
            node: me.clone(),
            drives: vec![drive()],
            partition_size: Bytes::gib(1),
            export: None,
            wanted: Wanted::Present,
        };
        put(&mut world, ID, Record::ReplicaSpec(spec));
        let drives = [(drive(), DriveSeen::good(table(), Bytes::gib(4)))].into();
        let seen = Observation { drives, ..Observation::default() };
        Self { me, world, seen, memory: Memory::default() }
    }

    fn input(&self) -> Input<'_> {
        let Self { me, world, seen, memory } = self;
        Input { me, world, seen, memory, now: Timestamp(1_000_000) }
    }

    fn steps(&self) -> Vec<Step> {
        plan(&self.input()).steps
    }

    /// Why the copy does not go on, as it is recorded.
    fn code(&self) -> Option<String> {
        let key = Key::new(Kind::ReplicaStatus, ID);
        match plan(&self.input()).writes.into_iter().find(|write| write.key == key)?.record {
            Some(Record::ReplicaStatus(status)) => status.reason.map(|reason| reason.code),
            _ => None,
        }
    }
}

#[test]
fn a_copy_whose_status_cannot_be_read_is_left_alone_and_it_is_said_why() {
    let mut scene = Scene::without_status();
    let zero = Step::Zero { partition: guid(), dev: DEV };
    assert_eq!(scene.steps(), [zero], "it would be made anew");
    let key = Key::new(Kind::ReplicaStatus, ID);
    scene.world.set_unreadable([key.clone()]);
    let plan = plan(&scene.input());
    assert_eq!(plan.steps, vec![]);
    assert!(plan.writes.iter().all(|write| write.key != key));
    let codes: Vec<&str> = plan.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(codes, ["RecordUnreadable"]);
}

/// One whose table is gone is prepared if it never was ours: whether it was, its records say.
#[test]
fn a_drive_of_which_a_record_cannot_be_read_is_left_alone() {
    let mut scene = Scene::without_status();
    scene.seen.drives = [(drive(), DriveSeen::good(TableSeen::Absent, Bytes::gib(4)))].into();
    let status = Key::new(Kind::DriveStatus, drive());
    scene.world.set(status.clone(), None);
    assert!(matches!(scene.steps()[..], [Step::PrepareDrive { .. }]), "{:?}", scene.steps());
    for key in [status, Key::new(Kind::DriveSpec, drive())] {
        scene.world.set_unreadable([key.clone()]);
        let plan = plan(&scene.input());
        assert_eq!(plan.steps, vec![], "{key}");
        assert!(plan.writes.iter().all(|write| write.key != key));
        assert_eq!(plan.reasons[0].code, "RecordUnreadable");
    }
}

/// Its records were lost while it was used: who uses it could write to it while it is zeroed.
#[test]
fn what_somebody_reaches_or_holds_is_not_made_anew() {
    let mut scene = Scene::without_status();
    scene.seen.exports.insert((guid(), EPOCH), ExportSeen::default());
    assert_eq!(scene.steps(), [Step::Fence { partition: guid(), epoch: EPOCH }]);
    scene.seen.exports.clear();
    let array = ArraySeen {
        name: "md-v".to_owned(),
        dev: Dev { major: 9, minor: 5 },
        state: ArrayState::Clean,
        slots: 2,
        members: vec![MemberSeen { dev: DEV, name: "dev-x".to_owned(), slot: Some(0), flags: [].into() }],
        sync: SyncSeen { action: SyncAction::Idle, done: 0, total: 0 },
        size: Bytes::gib(1),
    };
    scene.seen.arrays.insert(Uuid::from_u128(5), array);
    assert_eq!((scene.steps(), scene.code()), (vec![], Some("InUse".to_owned())));
}

/// What it says may be where its copies are: a volume that shall go keeps its record until then.
#[test]
fn a_volume_whose_status_cannot_be_read_is_neither_placed_nor_forgotten() {
    for deleting in [false, true] {
        let mut scene = Scene::without_status();
        let key = Key::new(Kind::VolumeStatus, "v");
        scene.world.set(key.clone(), None);
        let spec = crate::domain::VolumeSpec { deleting, ..volume_spec("v") };
        put(&mut scene.world, "v", Record::VolumeSpec(spec));
        assert!(!controller::plan(&scene.input()).writes.is_empty(), "as if there had never been one");
        scene.world.set_unreadable([key]);
        assert_eq!(controller::plan(&scene.input()).writes, vec![]);
    }
}
