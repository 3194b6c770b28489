//! `volume grow`

use super::*;
use crate::domain::{PartitionRecord, ReplicaStatus};
use crate::plan::verbs::{NewSize, grow};

/// The volume of 1 GiB, whose copies can become so long where they lie.
fn with_room(rooms: [u64; 2]) -> World {
    let mut world = with_volume();
    edit_status(&mut world, |status| status.size = Some(Bytes::gib(1)));
    for (index, room) in (1..=2).zip(rooms) {
        let size = Bytes::mib(1025);
        let replica = member(index, MemberState::Synced).replica;
        let (start, room) = (Bytes::mib(1), Bytes::mib(room));
        let partition = PartitionRecord { guid: replica.0, start, size, zeroed_to: size, room };
        let status = ReplicaStatus { zeroed: true, partitions: vec![partition], ..ReplicaStatus::default() };
        put(&mut world, replica, Record::ReplicaStatus(status));
    }
    world
}

fn to(world: &World, size: NewSize) -> Result<Verdict, Refusal> {
    grow(world, &volume(), size)
}

fn size(verdict: &Verdict) -> Bytes {
    match verdict.writes.first().and_then(|write| write.record.clone()) {
        Some(Record::VolumeSpec(spec)) => spec.size,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_grows_to_a_size_or_by_one() {
    let world = with_room([3072, 3072]);
    assert_eq!(size(&to(&world, NewSize::Of(Bytes::gib(2))).unwrap()), Bytes::gib(2));
    let more = to(&world, NewSize::More(Bytes::gib(1))).unwrap();
    assert_eq!((size(&more), more.chosen.len()), (Bytes::gib(2), 0));
}

#[test]
fn the_same_size_is_already_so_and_a_smaller_one_is_refused() {
    let world = with_room([3072, 3072]);
    let same = to(&world, NewSize::Of(Bytes::gib(1))).unwrap();
    assert!(same.writes.is_empty() && same.chosen[0].contains("1 GiB large already"), "{same:?}");
    let wrong = InvalidArgument;
    refused(to(&world, NewSize::Of(Bytes::mib(512))), wrong, &["vol", "1 GiB", "cannot be made smaller"]);
    refused(to(&world, NewSize::Of(Bytes((2 << 30) + 1))), wrong, &["whole MiB"]);
    refused(to(&world, NewSize::More(Bytes(u64::MAX))), wrong, &["too large"]);
}

#[test]
fn a_copy_without_room_moves_or_there_is_none() {
    let world = with_room([1025, 3072]);
    let verdict = to(&world, NewSize::Of(Bytes::gib(2))).unwrap();
    assert!(verdict.chosen[0].contains("node-1") && verdict.chosen[0].contains("moves first"), "{verdict:?}");
    let none = ResourceExhausted;
    refused(to(&world, NewSize::Of(Bytes::gib(4))), none, &["node-1", "no other place", "node-3", "needed"]);
}

#[test]
fn a_copy_does_not_move_to_where_one_was_tried_in_vain() {
    let mut world = with_room([1025, 3072]);
    edit_status(&mut world, |status| status.tried.extend([tried(1), tried(3)]));
    let result = to(&world, NewSize::Of(Bytes::gib(2)));
    refused(result, ResourceExhausted, &["drive S1: tried in vain", "drive S3: tried in vain"]);
}

#[test]
fn what_is_not_known_to_be_how_large_does_not_grow_yet() {
    let mut world = with_room([3072, 3072]);
    edit_status(&mut world, |status| status.size = None);
    let result = to(&world, NewSize::Of(Bytes::gib(2)));
    refused(result, FailedPrecondition, &["has not been recorded yet"]);
}
