//! The rungs by which a node gives up a volume that it lost, and what keeps it on each of them.

use super::*;
use crate::domain::FsType;
use crate::plan::{Holder, Lane, Process, Through, Who};

fn volume() -> crate::domain::VolumeName {
    "v".parse().unwrap()
}

/// n1 had it mounted; now it is n2's, and the leg to n2 holds I/O.
fn deposed(fs: FsType) -> Scene {
    let mut scene = Scene::mounted();
    let spec = scene.world.volume_spec(&volume()).unwrap().clone();
    let attachment = Some(Attachment::to("n2".parse().unwrap()));
    let spec = crate::domain::VolumeSpec { fs, attachment, ..spec };
    let owner = Some("n2".parse().unwrap());
    let status = VolumeStatus { owner, epoch: EPOCH.next(), taken_over: true, ..scene.status().clone() };
    put(&mut scene.world, "v", Record::VolumeSpec(spec));
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    scene.seen.connections.get_mut(&(REMOTE, EPOCH)).unwrap().state = ConnectionState::Connecting;
    scene.seen.maps.get_mut(&(REMOTE, EPOCH)).unwrap().path_active = false;
    if fs == FsType::Raw {
        scene.seen.mounts.clear();
    }
    scene
}

fn shut_down() -> Step {
    Step::ShutDown { volume: volume(), dev: ARRAY, path: "/m".to_owned() }
}

fn cut() -> Step {
    let array = array_device(UID, 0);
    Step::CutMember { volume: volume(), array, member: "dev-0".to_owned(), dev: PARTITION }
}

fn find() -> Step {
    Step::FindHolders { volume: volume(), devs: vec![ARRAY] }
}

fn fail_leg() -> Step {
    Step::FailLeg { partition: REMOTE, epoch: EPOCH, path: Some(PATH), cut: None }
}

fn app() -> Process {
    Process { pid: 412, started: 7, name: "app".to_owned() }
}

fn end() -> Step {
    Step::EndProcesses { volume: volume(), processes: vec![app()] }
}

fn user(ending: bool, through: Through) -> Holder {
    Holder { who: Who::Process { process: app(), ending }, through }
}

fn kernel(through: Through) -> Holder {
    Holder { who: Who::Kernel("loop3".to_owned()), through }
}

impl Scene {
    fn done(&mut self, step: &Step) {
        self.memory.record(step, Ok(Outcome::Done), self.now);
    }

    fn found(&mut self, holders: Vec<Holder>) -> Plan {
        self.memory.record(&find(), Ok(Outcome::Holders(holders)), self.now);
        self.plan()
    }

    /// Up to where only the users are left to think of.
    fn shut_and_cut(&mut self) {
        self.done(&shut_down());
        self.array().members[0].flags = [MemberFlag::Faulty].into();
        assert_eq!(self.plan().steps, [find()]);
    }
}

#[test]
fn an_xfs_goes_rung_by_rung_and_does_not_wait_for_its_users() {
    let mut scene = deposed(FsType::Xfs);
    assert_eq!(scene.plan().steps, [shut_down()]);
    scene.done(&shut_down());
    assert_eq!(scene.plan().steps, [cut()]);
    scene.shut_and_cut();
    assert_eq!(scene.found(vec![user(false, Through::FileSystem)]).steps, [end(), fail_leg()]);
    scene.done(&end());
    let told = scene.plan();
    let Some(Record::VolumeStatus(next)) = &told.writes[0].record else { panic!("{told:?}") };
    assert!(next.events[0].message.contains("n1 ended app (pid 412), which used v: it belongs to n2"));
    scene.settle();
    scene.seen.maps.get_mut(&(REMOTE, EPOCH)).unwrap().queueing = false;
    let unmount = Step::Unmount { volume: volume(), path: "/m".to_owned() };
    assert_eq!(scene.found(Vec::new()).steps, [unmount]);
}

#[test]
fn a_leg_that_could_come_back_by_itself_is_made_to_hold_before_anything_is_cut() {
    let mut scene = deposed(FsType::Raw);
    let map = |scene: &mut Scene, path_active| {
        scene.seen.maps.get_mut(&(REMOTE, EPOCH)).unwrap().path_active = path_active;
    };
    map(&mut scene, true);
    let hold = Step::HoldLeg { partition: REMOTE, epoch: EPOCH, path: PATH };
    assert_eq!(scene.plan().steps, std::slice::from_ref(&hold));
    let failure = StepFailure { kind: FailureKind::Retry, message: "EINVAL".to_owned() };
    scene.memory.record(&hold, Err(failure), scene.now);
    assert!(!scene.plan().steps.contains(&cut()), "what may come back is not left alone with the writes");
    map(&mut scene, false);
    assert_eq!(scene.plan().steps, [cut()]);
}

#[test]
fn an_ext4_that_is_being_shut_down_waits_for_nothing_but_its_users() {
    let mut scene = deposed(FsType::Ext4);
    scene.memory.begin(shut_down(), NOW);
    let early = scene.plan();
    assert_eq!((early.steps, early.wake_at), (vec![], Some(NOW.plus(timing::SHUT_DOWN_MILLIS))));
    scene.now = NOW.plus(timing::SHUT_DOWN_MILLIS);
    assert_eq!(scene.plan().steps, [cut()], "the call does not return before the leg lets go");
    scene.array().members[0].flags = [MemberFlag::Faulty].into();
    assert_eq!(scene.plan().steps, [find()]);
    assert_eq!(scene.found(vec![user(false, Through::FileSystem)]).steps, [end()]);
    assert_eq!(scene.found(vec![user(true, Through::FileSystem)]).steps, [fail_leg()]);
}

#[test]
fn a_raw_device_is_let_go_only_when_nobody_hears() {
    let mut scene = deposed(FsType::Raw);
    assert_eq!(scene.plan().steps, [cut()]);
    scene.array().members[0].flags = [MemberFlag::Faulty].into();
    assert_eq!(scene.found(vec![user(false, Through::Device)]).steps, [end()]);
    scene.found(Vec::new());
    scene.now = NOW.plus(timing::HOLDERS_MILLIS);
    assert_eq!(scene.plan().steps, [find()], "an old list says nothing");
    assert_eq!(scene.found(Vec::new()).steps, [fail_leg()]);
}

#[test]
fn even_of_an_xfs_whoever_has_the_device_open_is_waited_for() {
    let mut scene = deposed(FsType::Xfs);
    scene.shut_and_cut();
    assert_eq!(scene.found(vec![user(false, Through::Device)]).steps, [end()]);
    // A file system that somebody else may have shut down, or not, is not taken for it.
    scene.memory.shut_down.clear();
    scene.memory.begin(shut_down(), Timestamp(0));
    assert_eq!(scene.found(vec![user(false, Through::FileSystem)]).steps, [end()]);
}

#[test]
fn what_no_signal_ends_keeps_everything_as_it_is() {
    let first = |name: &str| Process { pid: 1, started: 0, name: name.to_owned() };
    let init =
        Holder { who: Who::Process { process: first("init"), ending: false }, through: Through::FileSystem };
    for holder in [kernel(Through::FileSystem), init] {
        let mut scene = deposed(FsType::Ext4);
        scene.shut_and_cut();
        let plan = scene.found(vec![holder.clone()]);
        assert_eq!(plan.steps, []);
        let reason = plan.reasons.iter().find(|reason| reason.code == "HeldByKernel").unwrap();
        assert!(reason.message.contains(&holder.name()) && reason.next_step == "reboot n1", "{reason}");
        assert!(plan.wake_at.is_some(), "it is looked for again");
    }
    let mut scene = deposed(FsType::Xfs);
    scene.shut_and_cut();
    assert_eq!(
        scene.found(vec![kernel(Through::FileSystem)]).steps,
        [fail_leg()],
        "it gets an error, as all do"
    );
}

#[test]
fn the_last_member_in_sync_is_never_cut() {
    let mut scene = deposed(FsType::Raw);
    scene.array().members[1].flags = [MemberFlag::Faulty].into();
    assert_eq!(scene.plan().steps, [find()]);
    let mut alive = deposed(FsType::Raw);
    alive.seen.connections.get_mut(&(REMOTE, EPOCH)).unwrap().state = ConnectionState::Live;
    alive.seen.maps.get_mut(&(REMOTE, EPOCH)).unwrap().path_active = true;
    assert_eq!(alive.plan().steps, [find()], "no leg holds anything");
}

#[test]
fn a_rung_that_cannot_be_stepped_on_holds_up_none_below_it() {
    let mut scene = deposed(FsType::Ext4);
    for step in [shut_down(), cut()] {
        let failure = StepFailure { kind: FailureKind::Retry, message: "ENOTTY".to_owned() };
        scene.memory.record(&step, Err(failure), NOW);
    }
    let plan = scene.plan();
    assert_eq!(plan.steps, [shut_down(), cut(), find()]);
    assert!(plan.reasons.iter().any(|reason| reason.code == "StepFails"));
}

#[test]
fn nothing_follows_from_a_record_that_is_older_than_the_legs() {
    let mut scene = deposed(FsType::Ext4);
    let map = scene.seen.maps.remove(&(REMOTE, EPOCH)).unwrap();
    scene.seen.maps.insert((REMOTE, EPOCH.next().next()), map);
    let plan = scene.plan();
    assert_eq!(plan.steps, []);
    assert!(plan.reasons.iter().any(|reason| reason.code == "RecordIsOld"));
}

#[test]
fn the_lanes_of_an_eviction_are_its_own() {
    assert_eq!(shut_down().lane(), Lane::ShutDown(volume()));
    for step in [cut(), find(), end()] {
        assert_eq!(step.lane(), Lane::Eviction(volume()));
    }
    assert!(find().is_routine() && !end().is_routine());
}
