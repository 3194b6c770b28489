use uuid::Uuid;

use super::*;
use crate::domain::testing::{self, put};
use crate::domain::{
    Attachment, Bytes, DriveSpec, MountRequest, PlacementRequest, Record, Relocation, ReplicaState,
    ReplicaStatus, Timestamp, VolumePhase, VolumeSpec,
};

fn name() -> VolumeName {
    "a".parse().unwrap()
}

fn node(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn spec() -> VolumeSpec {
    VolumeSpec { replicas: 1, ..testing::volume_spec("a") }
}

fn status() -> VolumeStatus {
    let members = vec![testing::member(1, "n1", MemberState::Synced, Timestamp(1))];
    VolumeStatus { phase: VolumePhase::Requested, members, ..VolumeStatus::default() }
}

fn world(spec: VolumeSpec, status: Option<VolumeStatus>) -> World {
    let mut world = World::default();
    put(&mut world, name(), Record::VolumeSpec(spec));
    if let Some(status) = status {
        put(&mut world, name(), Record::VolumeStatus(status));
    }
    world
}

fn attached_on(text: &str, mount: Option<&str>) -> VolumeSpec {
    let mount = mount.map(MountRequest::at);
    VolumeSpec { attachment: Some(Attachment { mount, ..Attachment::to(node(text)) }), ..spec() }
}

fn served_by(text: &str, epoch: u64) -> VolumeStatus {
    let mut status =
        VolumeStatus { owner: Some(node(text)), epoch: Epoch(epoch), formatted: true, ..status() };
    status.array.device = Some("/dev/md_x".to_owned());
    status
}

fn waits(goal: &Goal, world: &World) {
    let progress = goal.progress(world);
    assert_eq!((progress.done, progress.failed), (None, None), "{goal:?}");
    assert!(!progress.line.is_empty());
}

fn is_done(goal: &Goal, world: &World) -> String {
    goal.progress(world).done.expect("done")
}

fn is_failed(goal: &Goal, world: &World) -> String {
    goal.progress(world).failed.expect("failed")
}

#[test]
fn created_when_every_copy_is_made() {
    let goal = Goal::Created(name());
    waits(&goal, &world(spec(), None));
    let mut made = world(spec(), Some(status()));
    waits(&goal, &made);
    let zeroed = ReplicaStatus { state: ReplicaState::Created, zeroed: true, ..ReplicaStatus::default() };
    put(&mut made, Uuid::from_u128(1), Record::ReplicaStatus(zeroed));
    assert_eq!(is_done(&goal, &made), "volume a is created on n1");
    let going = VolumeSpec { deleting: true, ..spec() };
    assert!(is_failed(&goal, &world(going, None)).contains("being deleted"));
    assert!(is_failed(&goal, &World::default()).contains("is gone"));
}

#[test]
fn attached_when_the_wanted_node_has_the_finished_device() {
    let goal = Goal::Attached(name());
    let wish = attached_on("n1", None);
    waits(&goal, &world(wish.clone(), Some(status())));
    waits(&goal, &world(wish.clone(), Some(served_by("n2", 1))));
    let unformatted = VolumeStatus { formatted: false, ..served_by("n1", 1) };
    waits(&goal, &world(wish.clone(), Some(unformatted)));
    assert_eq!(is_done(&goal, &world(wish, Some(served_by("n1", 1)))), "/dev/md_x");
    is_failed(&goal, &world(spec(), Some(status())));
}

#[test]
fn detached_when_that_owner_has_let_go() {
    let goal = Goal::Detached(name(), Epoch(4));
    waits(&goal, &world(spec(), Some(served_by("n1", 4))));
    is_done(&goal, &world(spec(), Some(served_by("n2", 5))));
    is_done(&goal, &world(spec(), Some(status())));
    is_failed(&goal, &world(attached_on("n2", None), Some(status())));
}

#[test]
fn mounted_and_unmounted() {
    let (mount, unmount) = (Goal::Mounted(name()), Goal::Unmounted(name()));
    let mut there = served_by("n1", 1);
    there.array.mounted_at = Some("/mnt".to_owned());
    let wish = attached_on("n1", Some("/mnt"));
    waits(&mount, &world(wish.clone(), Some(served_by("n1", 1))));
    assert_eq!(is_done(&mount, &world(wish.clone(), Some(there.clone()))), "volume a is mounted at /mnt");
    is_failed(&mount, &world(attached_on("n1", None), Some(there.clone())));
    waits(&unmount, &world(attached_on("n1", None), Some(there.clone())));
    is_done(&unmount, &world(attached_on("n1", None), Some(served_by("n1", 1))));
    is_failed(&unmount, &world(wish, Some(there)));
}

#[test]
fn moved_when_the_placement_is_carried_out() {
    let goal = Goal::Moved(name());
    let wish = VolumeSpec { placement: PlacementRequest { generation: 2, entries: Vec::new() }, ..spec() };
    waits(&goal, &world(wish.clone(), Some(VolumeStatus { placement_generation: 1, ..status() })));
    let carried = VolumeStatus { placement_generation: 2, ..status() };
    let relocation = Relocation {
        joining: None,
        leaving: None,
        from: None,
        cause: crate::domain::MoveCause::Placement,
        started_at: Timestamp(1),
        verified: false,
    };
    let moving = VolumeStatus { relocation: Some(relocation), ..carried.clone() };
    waits(&goal, &world(wish.clone(), Some(moving)));
    assert_eq!(is_done(&goal, &world(wish, Some(carried))), "volume a has its copies on n1");
}

#[test]
fn edited_when_every_copy_that_was_asked_for_is_good() {
    let goal = Goal::Edited(name());
    let spec = spec();
    let placed = crate::domain::Placed::carried_out(&spec);
    let taken_up = |before| Some(crate::domain::Placed { before, ..placed.clone() });
    waits(&goal, &world(spec.clone(), Some(VolumeStatus { placed: taken_up(Some(2)), ..status() })));
    let other = VolumeSpec { replicas: 2, ..spec.clone() };
    waits(&goal, &world(other, Some(VolumeStatus { placed: taken_up(None), ..status() })));
    let mut good = VolumeStatus { placed: taken_up(None), ..status() };
    good.members.push(testing::member(2, "n2", MemberState::Leaving, Timestamp(1)));
    assert_eq!(is_done(&goal, &world(spec.clone(), Some(good.clone()))), "volume a has its copies on n1");
    good.members.push(testing::member(3, "n3", MemberState::Faulty, Timestamp(1)));
    assert_eq!(is_failed(&goal, &world(spec, Some(good))), "volume a: the copy on n3 is Faulty");
}

#[test]
fn grown_when_the_device_is_and_the_file_system_where_it_is_mounted() {
    let goal = Goal::Grown(name());
    let mounted = VolumeSpec { size: Bytes::gib(2), ..attached_on("n1", Some("/m")) };
    let of = |size| VolumeStatus { size: Some(size), ..status() };
    waits(&goal, &world(mounted.clone(), Some(of(Bytes::gib(1)))));
    let growth = Some(crate::domain::Growth { to: Bytes::gib(2), started_at: Timestamp(1) });
    let fs_left = VolumeStatus { growth, ..of(Bytes::gib(2)) };
    waits(&goal, &world(mounted.clone(), Some(fs_left.clone())));
    assert_eq!(is_done(&goal, &world(mounted, Some(of(Bytes::gib(2))))), "volume a has 2 GiB");
    let detached = VolumeSpec { size: Bytes::gib(2), ..spec() };
    let later = "volume a has 2 GiB; its file system grows when it is mounted for writing";
    assert_eq!(is_done(&goal, &world(detached, Some(fs_left))), later);
}

#[test]
fn gone_even_if_the_name_is_used_again() {
    let goal = Goal::Gone(name(), spec().uid);
    waits(&goal, &world(VolumeSpec { deleting: true, ..spec() }, Some(status())));
    is_done(&goal, &World::default());
    is_done(&goal, &world(VolumeSpec { uid: VolumeUid(Uuid::from_u128(10)), ..spec() }, None));
}

#[test]
fn drives_become_ready_or_say_why_not() {
    let id: DriveId = "S1".parse().unwrap();
    let drive = |state, message: Option<&str>| {
        let status = crate::domain::DriveStatus {
            node: node("n1"),
            state,
            model: String::new(),
            capacity: Bytes::gib(4),
            allocated: Bytes(0),
            free: Bytes::gib(4),
            largest_free: Bytes::gib(4),
            sector_size: 512,
            read_only: false,
            health: "Good".to_owned(),
            found: Vec::new(),
            message: message.map(ToOwned::to_owned),
        };
        let mut world = World::default();
        put(&mut world, "S1", Record::DriveStatus(status));
        world
    };
    let goal = Goal::DriveReady(id.clone());
    waits(&goal, &World::default());
    waits(&goal, &drive(DriveState::Preparing, None));
    assert_eq!(is_done(&goal, &drive(DriveState::Ready, None)), "drive S1 on n1 is ready, 4 GiB free");
    let why = is_failed(&goal, &drive(DriveState::Foreign, Some("carries LVM")));
    assert_eq!(why, "drive S1 is Foreign: carries LVM");

    let goal = Goal::DriveReleased(id.clone());
    is_done(&goal, &World::default());
    let spec = DriveSpec {
        id,
        node: node("n1"),
        disk_guid: Uuid::nil(),
        wipe: false,
        cordoned: false,
        evicting: false,
        removing: true,
        added_at: Timestamp(1),
    };
    let mut going = World::default();
    put(&mut going, "S1", Record::DriveSpec(spec));
    waits(&goal, &going);
}
