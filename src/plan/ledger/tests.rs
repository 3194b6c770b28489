use super::*;
use crate::domain::testing::{UID, member, put, volume_spec};
use crate::domain::{
    Bytes, Epoch, Key, Kind, MemberState, NodeName, Record, Timestamp, VolumeStatus, array_device,
};
use crate::plan::{
    ArrayState, ConnectionSeen, ConnectionState, Dev, ExportSeen, FailureKind, Held, Holder, MapSeen,
    MemberSeen, Memory, MountSeen, Process, StepFailure, SyncAction, SyncSeen, Through, Who,
};

const NOW: Timestamp = Timestamp(1_000_000);
const KNOWN: Uuid = Uuid::from_u128(1);
const UNKNOWN: Uuid = Uuid::from_u128(77);
const EPOCH: Epoch = Epoch(4);
const MAP: Dev = Dev { major: 252, minor: 3 };
const PATH: Dev = Dev { major: 259, minor: 3 };
const ARRAY: Dev = Dev { major: 9, minor: 5 };
const ELSEWHERE: VolumeUid = VolumeUid(Uuid::from_u128(99));

struct Scene {
    me: NodeName,
    world: World,
    seen: Observation,
    memory: Memory,
}

impl Scene {
    /// One volume with a copy elsewhere, its leg and its array; nothing else.
    fn new() -> Self {
        let mut world = World::default();
        put(&mut world, "v", Record::VolumeSpec(volume_spec("v")));
        let members = vec![member(1, "n2", MemberState::Synced, NOW)];
        put(&mut world, "v", Record::VolumeStatus(VolumeStatus { members, ..VolumeStatus::default() }));
        let mut scene = Self {
            me: "n1".parse().unwrap(),
            world,
            seen: Observation::default(),
            memory: Memory::default(),
        };
        scene.leg(KNOWN);
        scene.array(UID, array_device(UID, 0), KNOWN);
        scene
    }

    fn leg(&mut self, partition: Uuid) {
        let connection = ConnectionSeen {
            controller: "nvme3".to_owned(),
            state: ConnectionState::Live,
            dev: Some(PATH),
            size: Bytes::gib(1),
        };
        self.seen.connections.insert((partition, EPOCH), connection);
        let map =
            MapSeen { dev: MAP, path: Some(PATH), path_active: true, queueing: true, size: Bytes::gib(1) };
        self.seen.maps.insert((partition, EPOCH), map);
    }

    fn array(&mut self, volume: VolumeUid, name: String, on: Uuid) {
        let dev = self.seen.maps.get(&(on, EPOCH)).map_or(Dev::GONE, |map| map.dev);
        let flags = BTreeSet::new();
        let array = ArraySeen {
            name,
            dev: ARRAY,
            state: ArrayState::Clean,
            slots: 2,
            members: vec![MemberSeen { dev, name: "dev-dm-3".to_owned(), slot: Some(0), flags }],
            sync: SyncSeen { action: SyncAction::Idle, done: 0, total: 0 },
            size: Bytes::gib(1),
        };
        self.seen.arrays.insert(array_uuid(volume, 0), array);
    }

    /// An array of ours over a leg of ours, of a volume that has no record.
    fn left_over() -> Self {
        let mut scene = Self::new();
        scene.seen = Observation::default();
        scene.leg(UNKNOWN);
        scene.array(ELSEWHERE, array_device(ELSEWHERE, 0), UNKNOWN);
        scene
    }

    fn lose_path(&mut self) {
        self.seen.connections.get_mut(&(UNKNOWN, EPOCH)).unwrap().state = ConnectionState::Connecting;
    }

    fn plan(&self) -> Plan {
        let Self { me, world, seen, memory } = self;
        plan(&Input { me, world, seen, memory, now: NOW })
    }

    fn steps(&self) -> Vec<String> {
        self.plan().steps.iter().map(|step| step.to_string().split(' ').next().unwrap().to_owned()).collect()
    }

    fn codes(&self) -> Vec<String> {
        self.plan().reasons.into_iter().map(|reason| reason.code).collect()
    }

    fn used_by(&mut self, holders: Vec<Holder>) {
        let name = stand_in(self.seen.arrays.values().next().unwrap()).unwrap();
        self.memory.holders.insert(name, Held { holders, at: NOW });
    }
}

#[test]
fn what_records_claim_stays() {
    let scene = Scene::new();
    assert_eq!(scene.plan(), Plan::default());
    let standings: BTreeSet<_> =
        entries(&scene.world, &scene.seen).into_iter().map(|entry| entry.standing).collect();
    assert_eq!(standings, [Standing::Wanted].into());
}

#[test]
fn what_is_left_over_goes_from_the_top() {
    let mut scene = Scene::left_over();
    assert_eq!(scene.steps(), ["stop"]);
    scene.seen.arrays.clear();
    assert_eq!(scene.steps(), ["unmap"]);
    scene.seen.maps.clear();
    assert_eq!(scene.steps(), ["disconnect"]);
    scene.seen.connections.clear();
    scene.seen.exports.insert((UNKNOWN, EPOCH), ExportSeen::default());
    assert_eq!(scene.steps(), ["fence"]);
}

#[test]
fn legs_hold_until_it_is_known_that_nobody_uses_the_array() {
    let mut scene = Scene::left_over();
    scene.lose_path();
    assert_eq!(scene.steps(), ["find"]);
    let process = Process { pid: 7, started: 1, name: "dd".to_owned() };
    let who = Who::Process { process, ending: false };
    scene.used_by(vec![Holder { who, through: Through::Device }]);
    assert_eq!((scene.steps(), scene.codes()), (vec![], vec!["LeftOverInUse".to_owned()]));
    scene.used_by(Vec::new());
    assert_eq!(scene.steps(), ["let"]);
}

#[test]
fn a_mounted_array_stays_with_everything_below_it() {
    let mut scene = Scene::left_over();
    scene.lose_path();
    scene.seen.mounts.push(MountSeen { dev: ARRAY, path: "/m".to_owned(), read_only: false });
    assert_eq!((scene.steps(), scene.codes()), (vec![], vec!["LeftOverInUse".to_owned()]));
}

#[test]
fn nothing_goes_while_a_record_cannot_be_read() {
    let mut scene = Scene::left_over();
    scene.world.set_unreadable([Key::new(Kind::VolumeSpec, "w")]);
    assert_eq!((scene.steps(), scene.codes()), (vec![], vec!["RecordUnreadable".to_owned()]));
}

#[test]
fn what_is_not_ours_is_named_and_stays() {
    let mut scene = Scene::new();
    let stranger = |thing, name: &str, identity: &str| Stranger {
        thing,
        name: name.to_owned(),
        identity: identity.to_owned(),
    };
    scene.seen.strangers.extend([
        stranger(Thing::Connection, "nvme9", "nqn.2014-08.org.example:x"),
        stranger(Thing::Map, "vg-lv", "LVM-abc"),
    ]);
    // Its uuid is no volume's, and its name is not the one we would have given it.
    scene.array(ELSEWHERE, "md127".to_owned(), UNKNOWN);
    assert_eq!(scene.plan(), Plan::default());
    let uuid = array_uuid(ELSEWHERE, 0);
    assert_eq!(
        foreign(&scene.world, &scene.seen),
        [
            "connection nvme9 (nqn.2014-08.org.example:x)".to_owned(),
            "device-mapper device vg-lv (LVM-abc)".to_owned(),
            format!("array md127 ({uuid})"),
        ]
    );
}

#[test]
fn an_array_that_is_open_is_tried_again() {
    let mut scene = Scene::left_over();
    let step = scene.plan().steps.remove(0);
    let busy = StepFailure { kind: FailureKind::Busy, message: "EBUSY".to_owned() };
    scene.memory.record(&step, Err(busy), NOW);
    assert_eq!(scene.plan().steps, [step]);
}
