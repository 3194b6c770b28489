//! The user does not want the copy any more that is being built, or it cannot be built.

use std::ops::Range;

use super::*;
use crate::domain::{
    DriveSpec, Key, Kind, Member, MoveCause, PartitionRecord, Placed, PlacementEntry, Reason, Relocation,
    ReplicaId, Tried, Verify, VolumeSpec,
};
use crate::plan::Compared;
use crate::plan::placement::HEADER;

fn list(nodes: &str) -> Vec<PlacementEntry> {
    let entry = |node: &str| PlacementEntry { node: node.parse().unwrap(), drive: None };
    nodes.split_whitespace().map(entry).collect()
}

fn edit(scene: &mut Scene, nodes: &str) {
    let spec = scene.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
    let mut spec = VolumeSpec { replicas: u8::try_from(list(nodes).len()).unwrap(), ..spec };
    spec.placement.entries = list(nodes);
    put(&mut scene.world, "v", Record::VolumeSpec(spec));
}

/// Copies on n1 and n2; one on n3 is being built because the user asked for `nodes`, and `leaving` goes for it then.
fn building(nodes: &str, leaving: Option<ReplicaId>) -> Scene {
    let mut scene = Scene::mounted();
    edit(&mut scene, nodes);
    let spec = scene.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
    let mut status = scene.status().clone();
    status.placed = Some(Placed { before: Some(2), ..Placed::carried_out(&spec) });
    status.members.push(member(3, "n3", MemberState::Joining, NOW));
    status.relocation = Some(Relocation {
        joining: Some(ReplicaId(NEW)),
        leaving,
        from: None,
        cause: MoveCause::Placement,
        started_at: NOW,
        verified: false,
    });
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    scene
}

/// The next status the plan wants recorded, else the one that is.
fn next(scene: &Scene) -> VolumeStatus {
    let statuses = scene.plan().writes.into_iter().filter_map(|write| match write.record {
        Some(Record::VolumeStatus(status)) => Some(status),
        _ => None,
    });
    statuses.last().unwrap_or_else(|| scene.status().clone())
}

fn new_copy(status: &VolumeStatus) -> &Member {
    status.member(ReplicaId(NEW)).unwrap()
}

/// The new copy goes, with one event; the two that were there are what they were.
fn is_taken_back(scene: &Scene) -> bool {
    let next = next(scene);
    let told = next.events.iter().filter(|event| event.message.contains("not wanted any more")).count();
    let others = |status: &VolumeStatus| status.members[..2].to_vec();
    assert_eq!(others(&next), others(scene.status()), "nobody goes for it");
    let goes = new_copy(&next).state == MemberState::Leaving;
    assert_eq!((next.relocation.is_none(), told), (goes, usize::from(goes)));
    assert!(!goes || next.in_sync == scene.status().in_sync, "{:?}", next.in_sync);
    goes
}

#[test]
fn a_copy_that_is_being_built_goes_when_it_is_not_wanted_any_more() {
    let mut scene = building("n1 n2 n3", None);
    assert!(!is_taken_back(&scene), "it is wanted");
    edit(&mut scene, "n1 n2");
    assert!(is_taken_back(&scene));
}

#[test]
fn a_move_that_is_taken_back_leaves_the_old_copy_where_it_is() {
    let mut scene = building("n1 n3", Some(ReplicaId(REMOTE)));
    assert!(!is_taken_back(&scene), "it is wanted");
    edit(&mut scene, "n1 n2");
    assert!(is_taken_back(&scene));
}

#[test]
fn another_wish_that_still_names_its_place_takes_nothing_back() {
    let mut scene = building("n1 n2 n3", None);
    edit(&mut scene, "n1 n3");
    assert!(!is_taken_back(&scene));
    // Nor does one that cannot be: there is nothing to go by.
    edit(&mut scene, "n1 n1");
    assert!(!is_taken_back(&scene));
}

#[test]
fn what_nobody_asked_for_by_name_is_not_taken_back() {
    for cause in [MoveCause::FollowOwner, MoveCause::Expand] {
        let mut scene = building("n1 n3", Some(ReplicaId(REMOTE)));
        scene.memory.liveness.heard([Key::new(Kind::NodeStatus, "n3")], NOW);
        let mut status = scene.status().clone();
        status.relocation.as_mut().unwrap().cause = cause;
        put(&mut scene.world, "v", Record::VolumeStatus(status));
        edit(&mut scene, "n1 n2");
        assert!(!is_taken_back(&scene), "{cause:?}");
    }
}

/// What is waited for, if it is said: a dead node, or a leg that was let go; not one that may be back in a moment.
#[test]
fn a_new_copy_that_is_out_of_reach_says_so_and_what_to_do() {
    let told =
        |scene: &Scene| next(scene).reasons.into_iter().find(|reason| reason.code == "NewCopyOutOfReach");
    let mut scene = building("n1 n3", Some(ReplicaId(REMOTE)));
    let reason = told(&scene).unwrap();
    assert!(reason.message.contains("the new copy on n3"), "{reason:?}");
    assert!(reason.next_step.contains("`mdfabric volume edit v --remove-replica n3`"), "{reason:?}");
    scene.memory.liveness.heard([Key::new(Kind::NodeStatus, "n3")], NOW);
    assert_eq!(told(&scene), None, "it is alive");
    let lost = MapSeen { dev: NEW_MAP, path: Some(NEW_PATH), path_active: false, ..map() };
    scene.seen.maps.insert((NEW, EPOCH), lost.clone());
    assert_eq!(told(&scene), None, "its leg holds I/O");
    scene.seen.maps.insert((NEW, EPOCH), MapSeen { queueing: false, ..lost });
    assert_eq!(told(&scene), Some(reason.clone()));
    let mut status = scene.status().clone();
    status.relocation.as_mut().unwrap().cause = MoveCause::Expand;
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    assert_eq!(told(&scene).unwrap().next_step, "bring n3 or its network back", "nobody named it");
}

/// It has just come to hold every write: in the turn that would count on it, it is told to go.
#[test]
fn a_copy_that_is_taken_back_does_not_count_though_the_kernel_has_it_in_sync() {
    let mut scene = building("n1 n2 n3", None);
    add_third(&mut scene);
    scene.memory.compared.insert(NEW, Compared { bytes: SIZE, mismatched_sectors: 0 });
    assert!(next(&scene).in_sync.contains(&ReplicaId(NEW)), "it would count");
    edit(&mut scene, "n1 n2");
    assert!(is_taken_back(&scene));
}

/// How many slots the array gets; none once the new copy is taken in.
fn slots_made(scene: &Scene) -> Option<u32> {
    let steps = scene.plan().steps;
    let made = steps
        .iter()
        .find_map(|step| if let Step::SetSlots { slots, .. } = step { Some(*slots) } else { None });
    let joins = steps.iter().any(|step| matches!(step, Step::AddMember { .. }));
    assert!(joins != made.is_some(), "{steps:?}");
    made
}

/// The new copy can be taken in.
fn make(scene: &mut Scene) {
    add_third(scene);
    scene.array().members.pop();
    let size = Bytes(SIZE.0 + HEADER.0);
    scene.seen.maps.get_mut(&(NEW, EPOCH)).unwrap().size = size;
    let (guid, start, room) = (NEW, Bytes::mib(1), size);
    let partitions = vec![PartitionRecord { guid, start, size, zeroed_to: size, room }];
    let made = ReplicaStatus { zeroed: true, acked_epoch: EPOCH, partitions, ..ReplicaStatus::default() };
    put(&mut scene.world, ReplicaId(NEW), Record::ReplicaStatus(made));
}

/// n2 has no path and is out of the array.
fn lose_n2(scene: &mut Scene, diverged: bool) {
    let mut status = scene.status().clone();
    status.in_sync.remove(&ReplicaId(REMOTE));
    let lost = status.members.iter_mut().find(|member| member.replica == ReplicaId(REMOTE)).unwrap();
    (lost.state, lost.diverged) = (MemberState::Missing, diverged);
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    scene.array().members.remove(1);
    scene.seen.connections.remove(&(REMOTE, EPOCH));
    scene.seen.maps.remove(&(REMOTE, EPOCH));
}

/// MD puts a spare into whatever slot falls vacant, and forgets what a lost copy lacks when none is left.
#[test]
fn a_new_copy_has_its_slot_before_it_is_taken_in_and_one_stays_for_who_may_come_back() {
    for (lost, first) in [(None, 3), (Some(false), 3), (Some(true), 2)] {
        let mut scene = building("n1 n2 n3", None);
        make(&mut scene);
        if let Some(diverged) = lost {
            lose_n2(&mut scene, diverged);
        }
        for slots in 2..first {
            scene.array().slots = slots;
            assert_eq!(slots_made(&scene), Some(first), "{lost:?}, {slots} slots");
        }
        scene.array().slots = first;
        assert_eq!(slots_made(&scene), None, "{lost:?}");
    }
}

/// Where a copy that is filled is compared before it counts.
fn compared(scene: &Scene) -> Option<Vec<Range<u64>>> {
    let steps = scene.plan().steps.into_iter();
    let mut windows =
        steps.filter_map(|step| if let Step::Compare { windows, .. } = step { Some(windows) } else { None });
    windows.next()
}

/// A daemon that starts anew looks where the one before did; where the next new copy is looked at cannot be known from that.
#[test]
fn what_is_compared_is_drawn_from_the_records() {
    let mut scene = building("n1 n2 n3", None);
    add_third(&mut scene);
    let first = compared(&scene).unwrap();
    assert_eq!(first.len(), 69, "the heads of four groups, the last MiB, and 64 more: {first:?}");
    (scene.memory, scene.now) = (Memory::default(), NOW.plus(3_600_000));
    assert_eq!(compared(&scene), Some(first.clone()));
    let mut status = scene.status().clone();
    status.relocation.as_mut().unwrap().started_at = NOW.plus(1);
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    assert_ne!(compared(&scene), Some(first));
}

#[test]
fn all_of_it_is_compared_or_nothing_as_the_user_wants_it() {
    let of = |verify| {
        let mut scene = building("n1 n2 n3", None);
        add_third(&mut scene);
        let spec = scene.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
        put(&mut scene.world, "v", Record::VolumeSpec(VolumeSpec { verify, ..spec }));
        (compared(&scene), next(&scene).in_sync.contains(&ReplicaId(NEW)))
    };
    assert_eq!(of(Verify::Full), (Some(vec![Range { start: 0, end: SIZE.sectors() }]), false));
    assert_eq!(of(Verify::Off), (None, true));
}

fn add_drive(scene: &mut Scene, id: &str) {
    let spec = DriveSpec {
        id: id.parse().unwrap(),
        node: "n3".parse().unwrap(),
        disk_guid: Uuid::nil(),
        wipe: false,
        cordoned: false,
        evicting: false,
        removing: false,
        added_at: NOW,
    };
    put(&mut scene.world, id, Record::DriveSpec(spec));
}

/// A copy on the two drives of n3 is being built, and all is well there.
fn building_on_two_drives() -> Scene {
    let mut scene = building("n1 n2 n3", None);
    for id in ["S3", "S3b"] {
        add_drive(&mut scene, id);
    }
    let mut status = scene.status().clone();
    status.members[2].drives.push("S3b".parse().unwrap());
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    scene
}

/// What n3 says of its copy, and the turn of n1 that hears it.
fn says(scene: &mut Scene, reason: Option<Reason>, of_drive: Option<&str>) -> VolumeStatus {
    let of_drive = of_drive.map(|id| id.parse().unwrap());
    let said = ReplicaStatus { reason, of_drive, ..ReplicaStatus::default() };
    put(&mut scene.world, ReplicaId(NEW), Record::ReplicaStatus(said));
    let plan = scene.plan();
    scene.memory.track_waits(&plan, scene.now);
    next(scene)
}

fn objection() -> Reason {
    Reason::warning("StepFails", "zero: EIO", "")
}

fn tried(status: &VolumeStatus) -> Vec<&str> {
    status.tried.iter().map(|tried| tried.drive.as_str()).collect()
}

#[test]
fn a_providers_objection_counts_once_it_has_stood_for_a_minute() {
    let mut scene = building_on_two_drives();
    let goes = |status: &VolumeStatus| new_copy(status).state == MemberState::Leaving;
    scene.now = NOW.plus(2 * timing::CANDIDATE_MILLIS);
    assert!(!goes(&says(&mut scene, Some(objection()), None)), "it has just begun to object");
    let due = scene.now.plus(timing::CANDIDATE_MILLIS);
    assert_eq!(scene.plan().wake_at, Some(due));
    scene.now = due;
    assert!(!goes(&says(&mut scene, None, None)), "it objects no more");
    assert!(!goes(&says(&mut scene, Some(objection()), None)), "the minute begins anew");
    scene.now = due.plus(timing::CANDIDATE_MILLIS - 1);
    assert!(!goes(&says(&mut scene, Some(objection()), None)));
    scene.now = due.plus(timing::CANDIDATE_MILLIS);
    assert!(goes(&says(&mut scene, Some(objection()), None)));
}

#[test]
fn only_the_drive_that_an_objection_is_about_is_not_tried_again() {
    for (of_drive, blamed) in [(Some("S3b"), vec!["S3b"]), (None, vec!["S3", "S3b"])] {
        let mut scene = building_on_two_drives();
        says(&mut scene, Some(objection()), of_drive);
        scene.now = NOW.plus(timing::CANDIDATE_MILLIS);
        assert_eq!(tried(&says(&mut scene, Some(objection()), of_drive)), blamed);
    }
}

#[test]
fn what_was_tried_is_forgotten_once_no_copy_is_wanted() {
    let mut scene = Scene::mounted();
    let mut status = scene.status().clone();
    let tried = Tried { drive: "S3".parse().unwrap(), disk_guid: Uuid::nil(), why: "EIO".to_owned() };
    status.tried.push(tried);
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    edit(&mut scene, "n1 n2 n3");
    assert_eq!(next(&scene).tried.len(), 1, "a copy is wanted");
    edit(&mut scene, "n1 n2");
    scene.settle();
    assert_eq!(scene.status().tried, []);
}
