use super::*;
use crate::domain::Bytes;
use crate::domain::testing::{drive_status, put};
use crate::domain::{DriveSpec, DriveState, DriveStatus, Key, Kind, Record, World};
use crate::plan::{Dev, DriveSeen, Observation, TableSeen, provider};
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_000_000_000);
const GUID: Uuid = Uuid::from_u128(7);

struct Scene {
    me: NodeName,
    world: World,
    seen: Observation,
    memory: Memory,
}

fn drive_id() -> DriveId {
    "S1".parse().unwrap()
}

fn seen(table: TableSeen, unanswered: Option<Waiting>) -> Observation {
    let drive = DriveSeen { unanswered, ..DriveSeen::good(table, Bytes::gib(4)) };
    Observation { drives: [(drive_id(), drive)].into(), ..Observation::default() }
}

fn read(millis: u64) -> Waiting {
    Waiting { call: Some("pread on /dev/nvme1n1".to_owned()), millis }
}

impl Scene {
    /// A drive of ours, in this state by the records.
    fn with(state: DriveState, seen: Observation) -> Self {
        let me: NodeName = "n1".parse().unwrap();
        let mut world = World::default();
        let spec = DriveSpec {
            id: drive_id(),
            node: me.clone(),
            disk_guid: GUID,
            wipe: false,
            cordoned: false,
            evicting: false,
            removing: false,
            added_at: Timestamp(0),
        };
        put(&mut world, drive_id(), Record::DriveSpec(spec));
        put(&mut world, drive_id(), Record::DriveStatus(drive_status(&me, state)));
        Self { me, world, seen, memory: Memory::default() }
    }

    fn input(&self) -> Input<'_> {
        let Self { me, world, seen, memory } = self;
        Input { me, world, seen, memory, now: NOW }
    }

    fn plan(&self) -> Plan {
        provider::plan(&self.input())
    }

    /// What is recorded of the drive.
    fn recorded(&self) -> Option<DriveStatus> {
        let key = Key::new(Kind::DriveStatus, drive_id());
        let write = self.plan().writes.into_iter().find(|write| write.key == key)?;
        match write.record {
            Some(Record::DriveStatus(status)) => Some(status),
            _ => None,
        }
    }
}

#[test]
fn a_drive_that_does_not_answer_is_stuck_after_a_while_and_nothing_is_done_to_it() {
    for table in [TableSeen::Unread, TableSeen::Absent] {
        for state in [DriveState::Preparing, DriveState::Ready] {
            let soon = Scene::with(state, seen(table.clone(), Some(read(2_000))));
            assert_eq!((soon.plan().steps, soon.recorded()), (vec![], None), "{table:?} {state}");
            let late = Scene::with(state, seen(table.clone(), Some(read(30_000))));
            let status = late.recorded().unwrap();
            let ours = state == DriveState::Ready;
            assert_eq!(status.state, if ours { DriveState::Stuck } else { state });
            let message = status.message.unwrap();
            assert!(message.contains("pread on /dev/nvme1n1 for over 20 s"), "{message}");
            assert_eq!(late.plan().steps, vec![]);
            assert_eq!(late.plan().reasons.len(), 1);
        }
    }
}

#[test]
fn a_drive_that_was_stuck_and_has_lost_its_table_is_not_written() {
    let scene = Scene::with(DriveState::Stuck, seen(TableSeen::Absent, None));
    assert_eq!(scene.recorded().unwrap().state, DriveState::Faulty);
    assert_eq!(scene.plan().steps, vec![]);
}

fn carve() -> Step {
    let (drive, dev) = (drive_id(), Dev { major: 259, minor: 0 });
    Step::RemovePartition { drive, dev, partition: GUID }
}

#[test]
fn a_call_that_is_not_back_by_its_deadline_says_which_it_is_and_for_how_long() {
    let mut scene = Scene::with(DriveState::Ready, Observation::default());
    let lane = carve().lane();
    scene.memory.begin(carve(), Timestamp(NOW.0 - 300_000));
    assert!(of(&scene.input(), &lane).is_some(), "what it is in need not be known");
    let in_call = |millis| {
        let waiting = Waiting { call: Some("BLKPG on /dev/nvme1n1".to_owned()), millis };
        [(lane.clone(), waiting)].into()
    };
    scene.memory.learn_calls(in_call(10), NOW);
    assert_eq!(of(&scene.input(), &lane), None, "a step of many calls goes on as long as they come back");
    let plan = plan(&scene.input());
    assert_eq!(plan.wake_at, Some(NOW.plus(timing::CALL_MILLIS - 10)));
    scene.memory.learn_calls(in_call(130_000), NOW);
    let reason = of(&scene.input(), &lane).unwrap().reason(&scene.me);
    assert!(reason.message.ends_with("has not answered BLKPG on /dev/nvme1n1 for over 2 min"), "{reason}");
    assert!(!reason.next_step.is_empty());
    scene.memory.record(&carve(), Ok(crate::plan::Outcome::Done), NOW);
    assert_eq!(of(&scene.input(), &lane), None);
}

#[test]
fn an_age_is_said_in_rungs() {
    assert_eq!((words(29_999), next_rung(29_999)), ("20 s", 60_000));
    assert_eq!(words(100 * 86_400_000), "1 day");
    assert!(next_rung(86_400_000) > 86_400_000);
}
