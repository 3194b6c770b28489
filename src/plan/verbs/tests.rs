//! Bad input, each case once: refused with the object's name and a next step, and nothing written.

mod edit;
mod grow;
mod publish;

use uuid::Uuid;

use super::{
    CreateVolume, Refusal, RefusalKind, Verdict, add_drive, attach, cordon_drive, cordon_node, create,
    delete, detach, mount, move_replica, remove_drive, unmount,
};
use crate::domain::testing::{self, drive_status, node_status, put};
use crate::domain::{
    Bytes, DriveId, DriveSpec, DriveState, DriveStatus, Endpoint, Epoch, FsType, Member, MemberState,
    MountRequest, MoveCause, NodeName, NodeStatus, Record, Relocation, ReplicaId, Timestamp, Tried,
    VolumeName, VolumeStatus, VolumeUid, World,
};
use crate::plan::verbs::Cordon;

const NOW: Timestamp = Timestamp(5_000);
const UID: VolumeUid = VolumeUid(Uuid::from_u128(1));

fn take(world: &mut World, verdict: Verdict) {
    for write in verdict.writes {
        match write.record {
            Some(record) => put(world, &write.key.name, record),
            None => world.set(write.key, None),
        }
    }
}

fn node(index: u8) -> NodeName {
    format!("node-{index}").parse().unwrap()
}

fn drive(index: u8) -> DriveId {
    format!("S{index}").parse().unwrap()
}

fn volume() -> VolumeName {
    "vol".parse().unwrap()
}

fn add_node(world: &mut World, index: u8) {
    let status = NodeStatus {
        endpoint: Endpoint { address: format!("10.0.0.{index}"), port: 4420 },
        host_nqn: crate::domain::host_nqn(&node(index)),
        host_id: Uuid::from_u128(u128::from(index)),
        ..node_status(NOW)
    };
    put(world, node(index), Record::NodeStatus(status));
    let spec = DriveSpec {
        id: drive(index),
        node: node(index),
        disk_guid: Uuid::from_u128(u128::from(index)),
        wipe: false,
        cordoned: false,
        evicting: false,
        removing: false,
        added_at: NOW,
    };
    put(world, drive(index), Record::DriveSpec(spec));
    put(world, drive(index), Record::DriveStatus(drive_status(&node(index), DriveState::Ready)));
}

/// Three nodes with a 4 GiB drive each.
fn cluster() -> World {
    let mut world = World::default();
    (1..=3).for_each(|index| add_node(&mut world, index));
    world
}

fn wish() -> CreateVolume {
    CreateVolume::new(volume(), Bytes::gib(1))
}

fn member(index: u8, state: MemberState) -> Member {
    testing::member(u32::from(index), node(index).as_str(), state, NOW)
}

/// A two-copy volume on node-1 and node-2.
fn with_volume() -> World {
    let mut world = cluster();
    let verdict = create(&world, &wish(), UID, NOW).unwrap();
    take(&mut world, verdict);
    let members: Vec<Member> = (1..=2).map(|index| member(index, MemberState::Synced)).collect();
    let in_sync = members.iter().map(|member| member.replica).collect();
    let status = VolumeStatus { members, in_sync, created: true, formatted: true, ..VolumeStatus::default() };
    put(&mut world, volume(), Record::VolumeStatus(status));
    world
}

fn attached(on: u8) -> World {
    let mut world = with_volume();
    let verdict = attach(&world, &volume(), &node(on)).unwrap();
    take(&mut world, verdict);
    world
}

fn edit_status(world: &mut World, edit: impl FnOnce(&mut VolumeStatus)) {
    let mut status = world.volume_status(&volume()).unwrap().clone();
    edit(&mut status);
    put(world, volume(), Record::VolumeStatus(status));
}

/// A copy was begun in vain on the drive of this number.
fn tried(index: u8) -> Tried {
    let disk_guid = Uuid::from_u128(u128::from(index));
    Tried { drive: drive(index), disk_guid, why: "EIO".to_owned() }
}

/// The refusal is of this kind, says all of these words, and says what to do.
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, kind: RefusalKind, words: &[&str]) {
    let refusal = result.expect_err("refused");
    assert_eq!(refusal.kind, kind, "{refusal}");
    for word in words {
        assert!(refusal.message.contains(word), "{word:?} is not in {refusal}");
    }
    assert!(!refusal.next_step.is_empty(), "{refusal}");
}

fn create_with(edit: impl FnOnce(&mut CreateVolume)) -> Result<Verdict, Refusal> {
    let mut wish = wish();
    edit(&mut wish);
    create(&cluster(), &wish, UID, NOW)
}

fn moves(world: &World, from: u8, to: u8) -> Result<Verdict, Refusal> {
    move_replica(world, &volume(), &node(from), &node(to), None)
}

use RefusalKind::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted};

#[test]
fn sizes_have_a_floor_a_grain_and_a_ceiling() {
    refused(create_with(|wish| wish.size = Bytes(0)), InvalidArgument, &["vol", "size 0 B"]);
    refused(create_with(|wish| wish.size = Bytes::mib(100)), InvalidArgument, &["vol", "100 MiB"]);
    refused(create_with(|wish| wish.size = Bytes((1 << 30) + 512)), InvalidArgument, &["vol", "whole MiB"]);
    refused(
        create_with(|wish| wish.size = Bytes::gib(10)),
        ResourceExhausted,
        &["vol", "node-1", "node-2", "node-3", "free of 10"],
    );
}

#[test]
fn absurd_sizes_are_refused_and_overflow_nothing() {
    let whole_mib = u64::MAX / Bytes::MIB * Bytes::MIB;
    refused(create_with(|wish| wish.size = Bytes(whole_mib)), InvalidArgument, &["vol"]);
}

#[test]
fn copies_are_one_to_three_and_no_more_than_nodes() {
    refused(create_with(|wish| wish.replicas = 0), InvalidArgument, &["vol", "0 replicas"]);
    refused(create_with(|wish| wish.replicas = 4), InvalidArgument, &["vol", "4 replicas"]);
    refused(create_with(|wish| wish.replicas = 300), InvalidArgument, &["vol", "300 replicas"]);
    let mut two_nodes = World::default();
    (1..=2).for_each(|index| add_node(&mut two_nodes, index));
    let three = CreateVolume { replicas: 3, ..wish() };
    refused(create(&two_nodes, &three, UID, NOW), FailedPrecondition, &["vol", "3 replicas", "2"]);
}

#[test]
fn columns_are_one_to_eight_of_whole_mib_each_on_a_drive_of_its_own() {
    for columns in [0, 9, 300] {
        let refusal = create_with(|wish| wish.stripe_width = columns);
        refused(refusal, InvalidArgument, &[&format!("stripeWidth {columns}")]);
    }
    let uneven = |wish: &mut CreateVolume| (wish.stripe_width, wish.size) = (3, Bytes::gib(1));
    refused(create_with(uneven), InvalidArgument, &["vol", "whole MiB in 3 columns"]);
    let drives = create_with(|wish| wish.stripe_width = 8);
    refused(drives, ResourceExhausted, &["node-1: ", "with room, 8 needed"]);
}

#[test]
fn a_lost_copy_is_waited_for_a_minute_at_least() {
    refused(
        create_with(|wish| wish.member_missing_timeout_seconds = 59),
        InvalidArgument,
        &["memberMissingTimeout 59"],
    );
}

#[test]
fn a_lost_copy_is_waited_for_a_quarter_of_an_hour_unless_somebody_says_otherwise() {
    let made = with_volume().volume_spec(&volume()).unwrap().member_missing_timeout_seconds;
    assert_eq!(made, 900);
}

#[test]
fn a_name_that_is_taken_means_the_same_volume_or_a_conflict() {
    let world = with_volume();
    assert!(create(&world, &wish(), VolumeUid(Uuid::from_u128(9)), NOW).unwrap().writes.is_empty());
    let other = CreateVolume { size: Bytes::gib(2), ..wish() };
    refused(create(&world, &other, UID, NOW), AlreadyExists, &["vol"]);
    let mut going = with_volume();
    let verdict = delete(&going, &volume()).unwrap();
    take(&mut going, verdict);
    refused(create(&going, &wish(), UID, NOW), AlreadyExists, &["vol", "being deleted"]);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let world = cluster();
    refused(attach(&world, &volume(), &node(1)), NotFound, &["vol"]);
    refused(detach(&world, &volume()), NotFound, &["vol"]);
    refused(moves(&world, 1, 2), NotFound, &["vol"]);
    refused(unmount(&world, &volume()), NotFound, &["vol"]);
    assert!(delete(&world, &volume()).unwrap().writes.is_empty(), "gone already is already so");
    let world = with_volume();
    refused(attach(&world, &volume(), &node(9)), NotFound, &["node-9"]);
    refused(moves(&world, 1, 9), NotFound, &["node-9"]);
    refused(cordon_node(&world, &node(9), Cordon::On), NotFound, &["node-9"]);
    refused(cordon_drive(&world, &drive(9), Cordon::On), NotFound, &["S9"]);
    let entry = crate::domain::PlacementEntry { node: node(9), drive: None };
    refused(create_with(|wish| wish.placement = vec![entry]), NotFound, &["node-9"]);
}

#[test]
fn places_name_each_node_once_and_no_more_than_there_are_copies() {
    let entry = |index| crate::domain::PlacementEntry { node: node(index), drive: None };
    refused(
        create_with(|wish| wish.placement = vec![entry(1), entry(2), entry(3)]),
        InvalidArgument,
        &["3 places", "2 copies"],
    );
    refused(
        create_with(|wish| wish.placement = vec![entry(1), entry(1)]),
        ResourceExhausted,
        &["vol", "node-1", "hosts another copy"],
    );
}

#[test]
fn a_copy_does_not_move_where_it_makes_no_sense() {
    let world = with_volume();
    refused(moves(&world, 1, 1), InvalidArgument, &["vol", "node-1"]);
    refused(moves(&world, 1, 2), FailedPrecondition, &["vol", "node-2", "already"]);
    refused(moves(&world, 3, 1), FailedPrecondition, &["vol", "no copy on node-3"]);
    assert_eq!(moves(&world, 1, 3).unwrap().writes.len(), 1);
}

#[test]
fn a_copy_does_not_move_where_there_is_no_room() {
    let mut world = with_volume();
    let full = DriveStatus { largest_free: Bytes::mib(100), ..drive_status(&node(3), DriveState::Ready) };
    put(&mut world, drive(3), Record::DriveStatus(full));
    refused(moves(&world, 1, 3), ResourceExhausted, &["vol", "node-3", "100 MiB free"]);
    let verdict = cordon_node(&world, &node(3), Cordon::On).unwrap();
    take(&mut world, verdict);
    refused(moves(&world, 1, 3), ResourceExhausted, &["node-3", "cordoned"]);
    let elsewhere = move_replica(&world, &volume(), &node(1), &node(3), Some(&drive(1)));
    refused(elsewhere, ResourceExhausted, &["node-3"]);
}

#[test]
fn one_move_at_a_time() {
    let mut asked = with_volume();
    let verdict = moves(&asked, 1, 3).unwrap();
    take(&mut asked, verdict);
    refused(moves(&asked, 2, 3), FailedPrecondition, &["vol", "under way"]);
    let mut running = with_volume();
    edit_status(&mut running, |status| {
        status.members.push(member(3, MemberState::Joining));
        status.relocation = Some(Relocation {
            joining: Some(member(3, MemberState::Joining).replica),
            leaving: Some(member(1, MemberState::Synced).replica),
            from: Some(member(1, MemberState::Synced).node),
            cause: MoveCause::Placement,
            started_at: NOW,
            verified: false,
        });
    });
    assert!(moves(&running, 1, 3).unwrap().writes.is_empty(), "the same move is already so");
    refused(moves(&running, 2, 3), FailedPrecondition, &["vol", "under way"]);
}

#[test]
fn a_copy_that_leaves_is_no_copy_to_move() {
    let mut world = with_volume();
    edit_status(&mut world, |status| {
        status.members.retain(|member| member.node != node(2));
        status.members.push(member(2, MemberState::Leaving));
        status.in_sync.remove(&member(2, MemberState::Leaving).replica);
    });
    refused(moves(&world, 2, 3), FailedPrecondition, &["vol", "no copy on node-2"]);
}

#[test]
fn an_attached_volume_stays_where_it_is() {
    let world = attached(1);
    assert!(attach(&world, &volume(), &node(1)).unwrap().writes.is_empty());
    refused(attach(&world, &volume(), &node(2)), FailedPrecondition, &["vol", "node-1", "node-2"]);
    refused(delete(&world, &volume()), FailedPrecondition, &["vol", "node-1"]);
}

#[test]
fn a_volume_that_is_still_being_taken_down_is_not_deleted() {
    let mut world = with_volume();
    edit_status(&mut world, |status| {
        status.owner = Some(node(1));
        status.epoch = Epoch(3);
    });
    refused(delete(&world, &volume()), FailedPrecondition, &["vol", "node-1"]);
}

#[test]
fn a_volume_that_goes_takes_no_more_orders() {
    let mut world = with_volume();
    let verdict = delete(&world, &volume()).unwrap();
    take(&mut world, verdict);
    assert!(delete(&world, &volume()).unwrap().writes.is_empty());
    refused(attach(&world, &volume(), &node(1)), FailedPrecondition, &["vol", "being deleted"]);
    refused(moves(&world, 1, 3), FailedPrecondition, &["vol", "being deleted"]);
}

#[test]
fn mounts_need_an_attachment_a_file_system_and_one_good_path() {
    let wish = |path: &str| MountRequest::at(path);
    refused(mount(&with_volume(), &volume(), wish("/mnt")), FailedPrecondition, &["vol", "not attached"]);
    let mut world = attached(1);
    for bad in ["", "mnt", "/", "/mnt\0"] {
        refused(mount(&world, &volume(), wish(bad)), InvalidArgument, &["vol"]);
    }
    let verdict = mount(&world, &volume(), wish("/mnt")).unwrap();
    take(&mut world, verdict);
    assert!(mount(&world, &volume(), wish("/mnt")).unwrap().writes.is_empty());
    refused(mount(&world, &volume(), wish("/other")), FailedPrecondition, &["vol", "/mnt", "/other"]);
    let verdict = unmount(&world, &volume()).unwrap();
    take(&mut world, verdict);
    assert!(unmount(&world, &volume()).unwrap().writes.is_empty());
    assert!(detach(&with_volume(), &volume()).unwrap().writes.is_empty());
}

#[test]
fn a_raw_volume_is_not_mounted() {
    let mut world = cluster();
    let raw = CreateVolume { fs: FsType::Raw, ..wish() };
    let verdict = create(&world, &raw, UID, NOW).unwrap();
    take(&mut world, verdict);
    put(&mut world, volume(), Record::VolumeStatus(VolumeStatus::default()));
    let verdict = attach(&world, &volume(), &node(1)).unwrap();
    take(&mut world, verdict);
    let wish = MountRequest::at("/mnt");
    refused(mount(&world, &volume(), wish), FailedPrecondition, &["vol", "raw"]);
}

#[test]
fn a_foreign_drive_needs_its_own_serial_behind_wipe() {
    let mut world = cluster();
    let add = |world: &World, wipe: Option<&DriveId>| add_drive(world, &drive(4), wipe, Uuid::nil(), NOW);
    refused(add(&world, None), NotFound, &["S4"]);
    let found = vec!["LVM physical volume".to_owned()];
    let foreign = DriveStatus { found, ..drive_status(&node(1), DriveState::Foreign) };
    put(&mut world, drive(4), Record::DriveStatus(foreign.clone()));
    refused(add(&world, None), FailedPrecondition, &["S4", "node-1", "LVM physical volume"]);
    refused(add(&world, Some(&drive(3))), InvalidArgument, &["S4", "S3"]);
    assert_eq!(add(&world, Some(&drive(4))).unwrap().writes.len(), 1);
    let busy = DriveStatus { found: vec!["in use: mounted at /home".to_owned()], ..foreign };
    put(&mut world, drive(4), Record::DriveStatus(busy));
    refused(add(&world, Some(&drive(4))), FailedPrecondition, &["S4", "in use", "/home"]);
}

#[test]
fn a_drive_that_is_ours_is_not_wiped_by_adding_it_again() {
    let world = cluster();
    assert!(add_drive(&world, &drive(1), None, Uuid::nil(), NOW).unwrap().writes.is_empty());
    let wiped = add_drive(&world, &drive(1), Some(&drive(1)), Uuid::nil(), NOW);
    assert!(wiped.unwrap().writes.is_empty(), "nothing of it is changed, its cordon neither");
}

#[test]
fn a_read_only_drive_is_not_added() {
    let mut world = cluster();
    let read_only = DriveStatus { read_only: true, ..drive_status(&node(1), DriveState::Available) };
    put(&mut world, drive(4), Record::DriveStatus(read_only));
    refused(add_drive(&world, &drive(4), None, Uuid::nil(), NOW), FailedPrecondition, &["S4", "read-only"]);
}

#[test]
fn a_drive_that_hosts_a_copy_is_not_removed() {
    let mut world = with_volume();
    let status = world.volume_status(&volume()).unwrap().clone();
    let spec = world.volume_spec(&volume()).unwrap().clone();
    let record = crate::plan::controller::replica_spec(
        &spec,
        &status,
        &status.members[0],
        None,
        crate::domain::Wanted::Present,
    );
    put(&mut world, record.id, Record::ReplicaSpec(record));
    refused(remove_drive(&world, &drive(1)), FailedPrecondition, &["S1", "vol"]);
    assert_eq!(remove_drive(&world, &drive(3)).unwrap().writes.len(), 1);
    assert!(remove_drive(&world, &drive(9)).unwrap().writes.is_empty());
}

#[test]
fn a_drive_that_a_volume_has_been_promised_is_not_removed() {
    let world = with_volume();
    refused(remove_drive(&world, &drive(2)), FailedPrecondition, &["S2", "vol"]);
}

#[test]
fn cordons_are_idempotent() {
    let mut world = cluster();
    let verdict = cordon_drive(&world, &drive(1), Cordon::On).unwrap();
    take(&mut world, verdict);
    assert!(cordon_drive(&world, &drive(1), Cordon::On).unwrap().writes.is_empty());
    put(&mut world, drive(4), Record::DriveStatus(drive_status(&node(1), DriveState::Available)));
    refused(cordon_drive(&world, &drive(4), Cordon::On), FailedPrecondition, &["S4", "never added"]);
}

/// Another volume beside `vol`, on the same drives.
fn with_two_volumes() -> World {
    let mut world = with_volume();
    let other: VolumeName = "other".parse().unwrap();
    let wish = CreateVolume::new(other.clone(), Bytes::gib(1));
    let verdict = create(&world, &wish, VolumeUid(Uuid::from_u128(2)), NOW).unwrap();
    take(&mut world, verdict);
    let copy = |index| {
        let replica = ReplicaId(Uuid::from_u128(10 + u128::from(index)));
        Member { replica, ..member(index, MemberState::Synced) }
    };
    let members: Vec<Member> = (1..=2).map(copy).collect();
    let in_sync = members.iter().map(|member| member.replica).collect();
    let status = VolumeStatus { members, in_sync, created: true, ..VolumeStatus::default() };
    put(&mut world, other, Record::VolumeStatus(status));
    world
}

/// No space is promised twice: who finds none stays, and it is said why.
#[test]
fn an_eviction_says_of_each_copy_where_it_goes_or_why_it_stays() {
    let mut world = with_two_volumes();
    let room_for_one =
        DriveStatus { largest_free: Bytes::mib(1_500), ..drive_status(&node(3), DriveState::Ready) };
    put(&mut world, drive(3), Record::DriveStatus(room_for_one));
    let verdict = cordon_drive(&world, &drive(1), Cordon::Empty).unwrap();
    assert_eq!(
        verdict.chosen,
        [
            "volume other: its copy moves from node-1 (drive S1) to node-3 (drive S3)",
            "volume vol: its copy stays on node-1 (drive S1) and is served: node-1: drive S1: has the copy that goes; \
             node-2: hosts a copy; node-3: drive S3: 475 MiB free of 1.0 GiB needed",
        ]
    );
    assert_eq!(verdict.writes.len(), 1, "no more is written than that it is emptied");
}

#[test]
fn a_drain_foretells_no_move_within_the_node() {
    let mut world = with_volume();
    let second = world.drive_spec(&drive(1)).unwrap().clone();
    put(
        &mut world,
        drive(9),
        Record::DriveSpec(DriveSpec { id: drive(9), disk_guid: Uuid::from_u128(9), ..second }),
    );
    put(&mut world, drive(9), Record::DriveStatus(drive_status(&node(1), DriveState::Ready)));
    let said = cordon_node(&world, &node(1), Cordon::Empty).unwrap().chosen.join("\n");
    assert!(said.contains("to node-3 (drive S3)"), "{said}");
}
