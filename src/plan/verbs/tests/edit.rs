//! `volume edit`: what it writes, what it refuses, and what it calls done already.

use super::*;
use crate::domain::{Locality, OnStoreLoss, Placed, PlacementEntry, Verify};
use crate::plan::verbs::Cordon;
use crate::plan::verbs::{EditVolume, edit};

fn nothing() -> EditVolume {
    EditVolume::new(volume())
}

fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

fn add(index: u8) -> EditVolume {
    EditVolume { add: vec![at(index)], ..nothing() }
}

fn remove(index: u8) -> EditVolume {
    EditVolume { remove: vec![at(index)], ..nothing() }
}

fn number(replicas: u32) -> EditVolume {
    EditVolume { replicas: Some(replicas), ..nothing() }
}

/// A volume with a copy on each of the first `copies` nodes of four, as the controller records it.
fn scaled(copies: u8) -> World {
    let mut world = cluster();
    add_node(&mut world, 4);
    let wish = CreateVolume { replicas: copies.into(), ..wish() };
    let verdict = create(&world, &wish, UID, NOW).unwrap();
    take(&mut world, verdict);
    let placed = Placed::carried_out(world.volume_spec(&volume()).unwrap());
    let members: Vec<Member> = (1..=copies).map(|index| member(index, MemberState::Synced)).collect();
    let in_sync = members.iter().map(|member| member.replica).collect();
    let status = VolumeStatus {
        members,
        in_sync,
        created: true,
        formatted: true,
        placed: Some(placed),
        ..VolumeStatus::default()
    };
    put(&mut world, volume(), Record::VolumeStatus(status));
    world
}

/// What the list is after the edit, and the number, with what was chosen.
fn becomes(world: &World, wish: &EditVolume) -> (Vec<String>, u8, Vec<String>) {
    let verdict = edit(world, wish).unwrap();
    let [write] = verdict.writes.as_slice() else { panic!("one record is written: {verdict:?}") };
    let Some(Record::VolumeSpec(spec)) = &write.record else { panic!("{write:?}") };
    let before = world.volume_spec(&volume()).unwrap();
    assert_eq!(spec.placement.generation, before.placement.generation + 1);
    let nodes = spec.placement.entries.iter().map(|entry| entry.node.to_string()).collect();
    (nodes, spec.replicas, verdict.chosen)
}

fn is_so(world: &World, wish: &EditVolume) {
    assert_eq!(edit(world, wish).unwrap().writes, [], "{wish:?}");
}

fn nodes(indices: &[u8]) -> Vec<String> {
    indices.iter().map(|index| node(*index).to_string()).collect()
}

/// One member is missed since a moment ago.
fn lose(world: &mut World, index: u8) {
    edit_status(world, |status| {
        let lost = member(index, MemberState::Missing);
        status.in_sync.remove(&lost.replica);
        status.members.retain(|member| member.node != lost.node);
        status.members.push(lost);
    });
}

#[test]
fn places_are_added_and_taken_away() {
    assert_eq!(becomes(&scaled(2), &add(3)), (nodes(&[1, 2, 3]), 3, Vec::new()));
    assert_eq!(becomes(&scaled(3), &remove(2)), (nodes(&[1, 3]), 2, Vec::new()));
    let both = EditVolume { remove: vec![at(1)], ..add(4) };
    assert_eq!(becomes(&scaled(3), &both), (nodes(&[2, 3, 4]), 3, Vec::new()));
    let drive = EditVolume { add: vec![PlacementEntry { drive: Some(drive(3)), ..at(3) }], ..nothing() };
    assert_eq!(becomes(&scaled(1), &drive).0, nodes(&[1, 3]));
}

#[test]
fn a_number_alone_leaves_the_place_of_a_new_copy_open() {
    let (list, replicas, chosen) = becomes(&scaled(1), &number(2));
    assert_eq!((list, replicas), (nodes(&[1]), 2));
    assert!(chosen[0].contains("chosen when it is built") && chosen[0].contains("node-2"), "{chosen:?}");
}

#[test]
fn the_copy_that_goes_is_chosen_by_reason_and_said() {
    let said = |world: &World| {
        let (list, replicas, chosen) = becomes(world, &number(2));
        assert_eq!(replicas, 2);
        (list, chosen.join(" "))
    };
    let mut world = scaled(3);
    assert_eq!(said(&world).0, nodes(&[1, 2]), "all are alike: the last by name");
    edit_status(&mut world, |status| status.owner = Some(node(3)));
    let (list, why) = said(&world);
    assert_eq!(list, nodes(&[1, 3]));
    assert!(why.contains("node-2 goes: it is not on the node that owns the volume"), "{why}");
    let verdict = cordon_drive(&world, &drive(1), Cordon::On).unwrap();
    take(&mut world, verdict);
    let (list, why) = said(&world);
    assert_eq!(list, nodes(&[2, 3]));
    assert!(why.contains("node-1 goes: its node or drive is cordoned"), "{why}");
    lose(&mut world, 3);
    let (list, why) = said(&world);
    assert_eq!(list, nodes(&[1, 2]));
    assert!(why.contains("node-3 goes: it is not in sync"), "{why}");
}

#[test]
fn what_is_so_already_is_said_to_be_so() {
    is_so(&scaled(2), &number(2));
    is_so(&scaled(2), &add(2));
    is_so(&scaled(2), &remove(3));
    let verdict = edit(&scaled(2), &add(3)).unwrap();
    let mut asked = scaled(2);
    take(&mut asked, verdict);
    is_so(&asked, &add(3));
    is_so(&asked, &number(3));
}

#[test]
fn how_the_volume_is_looked_after_is_changed_without_touching_its_copies() {
    let world = scaled(2);
    let wish = EditVolume {
        member_missing_timeout_seconds: Some(120),
        locality: Some(Locality::Fixed),
        verify: Some(Verify::Full),
        on_store_loss: Some(OnStoreLoss::Continue),
        ..nothing()
    };
    let verdict = edit(&world, &wish).unwrap();
    let Some(Record::VolumeSpec(spec)) = &verdict.writes[0].record else { panic!("{verdict:?}") };
    let before = world.volume_spec(&volume()).unwrap();
    assert_eq!((&spec.placement, spec.replicas), (&before.placement, 2));
    assert_eq!(spec.member_missing_timeout_seconds, 120);
    assert_eq!((spec.locality, spec.verify), (Locality::Fixed, Verify::Full));
    assert_eq!(spec.on_store_loss, OnStoreLoss::Continue);
    let short = EditVolume { member_missing_timeout_seconds: Some(59), ..nothing() };
    refused(edit(&world, &short), InvalidArgument, &["vol", "memberMissingTimeout 59"]);
}

#[test]
fn fewer_copies_need_every_other_one_in_sync() {
    let mut world = scaled(3);
    lose(&mut world, 3);
    refused(edit(&world, &remove(2)), FailedPrecondition, &["vol", "node-3", "not in sync (Missing)"]);
    assert_eq!(becomes(&world, &remove(3)).0, nodes(&[1, 2]), "the one that is missed may go");
    assert_eq!(becomes(&world, &number(1)).1, 1, "what stays is in sync");
    lose(&mut world, 2);
    refused(edit(&world, &remove(1)), FailedPrecondition, &["vol", "not in sync"]);
}

#[test]
fn counts_and_names_have_bounds() {
    let world = scaled(3);
    refused(edit(&world, &number(0)), InvalidArgument, &["vol", "0 replicas"]);
    refused(edit(&world, &number(4)), InvalidArgument, &["vol", "4 replicas"]);
    refused(edit(&world, &add(4)), InvalidArgument, &["vol", "4 replicas"]);
    let all = EditVolume { remove: vec![at(1), at(2), at(3)], ..nothing() };
    refused(edit(&world, &all), InvalidArgument, &["vol", "0 replicas"]);
    refused(edit(&world, &add(9)), NotFound, &["node-9"]);
    refused(edit(&world, &remove(9)), NotFound, &["node-9"]);
    let twice = EditVolume { remove: vec![at(3)], ..add(3) };
    refused(edit(&world, &twice), InvalidArgument, &["vol", "node-3", "twice"]);
    let more_places = EditVolume { add: vec![at(2), at(3)], replicas: Some(1), ..nothing() };
    refused(edit(&scaled(1), &more_places), InvalidArgument, &["vol", "more places"]);
    let elsewhere =
        EditVolume { remove: vec![PlacementEntry { drive: Some(drive(2)), ..at(1) }], ..nothing() };
    refused(edit(&world, &elsewhere), FailedPrecondition, &["vol", "node-1", "S1", "S2"]);
}

#[test]
fn a_new_copy_needs_room() {
    let mut world = scaled(2);
    for index in [3, 4] {
        let full =
            DriveStatus { largest_free: Bytes::mib(100), ..drive_status(&node(index), DriveState::Ready) };
        put(&mut world, drive(index), Record::DriveStatus(full));
    }
    refused(edit(&world, &add(3)), ResourceExhausted, &["vol", "on node-3", "100 MiB free"]);
    refused(
        edit(&world, &number(3)),
        ResourceExhausted,
        &["vol", "node-1: hosts a copy", "node-3: drive S3", "node-4"],
    );
}

/// The owner would not go there either.
#[test]
fn a_new_copy_does_not_go_where_one_was_tried_in_vain() {
    let mut world = scaled(2);
    edit_status(&mut world, |status| status.tried.push(tried(3)));
    refused(edit(&world, &add(3)), ResourceExhausted, &["vol", "on node-3", "drive S3: tried in vain: EIO"]);
    refused(moves(&world, 2, 3), ResourceExhausted, &["vol", "drive S3: tried in vain: EIO"]);
    let (_, _, chosen) = becomes(&world, &number(3));
    assert!(chosen[0].contains("node-4"), "{chosen:?}");
    let named = EditVolume { add: vec![PlacementEntry { drive: Some(drive(3)), ..at(3) }], ..nothing() };
    assert_eq!(becomes(&world, &named).0, nodes(&[1, 2, 3]), "a drive that is named is tried again");
}

#[test]
fn one_change_at_a_time_but_a_copy_that_is_built_can_be_taken_back() {
    let mut world = scaled(2);
    let verdict = edit(&world, &add(3)).unwrap();
    take(&mut world, verdict);
    edit_status(&mut world, |status| {
        status.members.push(member(3, MemberState::Joining));
        status.relocation = Some(Relocation {
            joining: Some(member(3, MemberState::Joining).replica),
            leaving: None,
            from: None,
            cause: MoveCause::Placement,
            started_at: NOW,
            verified: false,
        });
    });
    is_so(&world, &add(3));
    refused(edit(&world, &remove(2)), FailedPrecondition, &["vol", "under way"]);
    refused(moves(&world, 1, 4), FailedPrecondition, &["vol", "under way"]);
    assert_eq!(becomes(&world, &remove(3)), (nodes(&[1, 2]), 2, Vec::new()));
    let (list, _, chosen) = becomes(&world, &number(2));
    assert_eq!(list, nodes(&[1, 2]));
    assert!(chosen[0].contains("node-3 goes: it is not in sync"), "{chosen:?}");
    edit_status(&mut world, |status| status.in_sync.extend([member(3, MemberState::Synced).replica]));
    refused(edit(&world, &remove(3)), FailedPrecondition, &["vol", "under way"]);
}

#[test]
fn an_impossible_record_is_mended_by_the_verb() {
    let mut world = scaled(2);
    let spec = world.volume_spec(&volume()).unwrap().clone();
    put(&mut world, volume(), Record::VolumeSpec(crate::domain::VolumeSpec { replicas: 9, ..spec }));
    assert_eq!(becomes(&world, &number(2)), (nodes(&[1, 2]), 2, Vec::new()));
    assert_eq!(becomes(&world, &add(3)).0, nodes(&[1, 2, 3]));
}

/// After a move that was given up there is a Faulty copy more than asked for.
#[test]
fn a_copy_that_is_left_over_is_dropped_or_goes_with_the_next_move() {
    let mut world = scaled(2);
    edit_status(&mut world, |status| status.members.push(member(3, MemberState::Faulty)));
    assert_eq!(becomes(&world, &remove(3)), (nodes(&[1, 2]), 2, Vec::new()));
    refused(moves(&world, 3, 4), FailedPrecondition, &["vol", "node-3", "Faulty"]);
    let verdict = moves(&world, 2, 4).unwrap();
    let Some(Record::VolumeSpec(spec)) = &verdict.writes[0].record else { panic!("{verdict:?}") };
    assert_eq!((spec.placement.entries.len(), spec.replicas), (2, 2));
}

#[test]
fn an_edit_needs_a_volume_with_copies() {
    refused(edit(&cluster(), &number(2)), NotFound, &["vol"]);
    let mut world = scaled(2);
    edit_status(&mut world, |status| status.members.clear());
    refused(edit(&world, &number(1)), FailedPrecondition, &["vol", "no copies yet"]);
    let mut going = scaled(2);
    let verdict = delete(&going, &volume()).unwrap();
    take(&mut going, verdict);
    refused(edit(&going, &add(3)), FailedPrecondition, &["vol", "being deleted"]);
}
