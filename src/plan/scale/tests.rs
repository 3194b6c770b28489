//! What requests come to, and what is said of them: once each, by what stands in the record.

use super::*;
use crate::domain::MemberState;
use crate::domain::testing::{member, volume_spec};

const NOW: Timestamp = Timestamp(7);

fn entry(node: &str) -> PlacementEntry {
    PlacementEntry { node: node.parse().unwrap(), drive: None }
}

fn entries(nodes: &str) -> Vec<PlacementEntry> {
    nodes.split_whitespace().map(entry).collect()
}

fn spec(replicas: u8, nodes: &str) -> VolumeSpec {
    let mut spec = VolumeSpec { replicas, ..volume_spec("vol") };
    spec.placement.entries = entries(nodes);
    spec
}

/// A status of `spec` with copies in sync on these nodes.
fn status(spec: &VolumeSpec, nodes: &str) -> VolumeStatus {
    let members: Vec<Member> = (1..)
        .zip(nodes.split_whitespace())
        .map(|(number, node)| member(number, node, MemberState::Synced, NOW))
        .collect();
    let in_sync = members.iter().map(|member| member.replica).collect();
    VolumeStatus { members, in_sync, placed: Some(Placed::carried_out(spec)), ..VolumeStatus::default() }
}

/// How many copies an edit of the record makes of a volume that had `list` and `number` and has copies on `homes`.
fn copies(list: &str, number: u8, homes: &str, edit: impl FnOnce(&mut VolumeSpec)) -> Result<u8, String> {
    let mut spec = spec(number, list);
    let status = status(&spec, homes);
    edit(&mut spec);
    assert!(!status.has_taken_up(&spec), "it is an edit");
    take_up(&spec, &status).map(|placed| placed.copies)
}

fn list(nodes: &str) -> impl FnOnce(&mut VolumeSpec) {
    |spec| spec.placement.entries = entries(nodes)
}

#[test]
fn an_edited_list_makes_a_copy_more_for_a_new_place_and_one_less_for_one_taken_off() {
    assert_eq!(copies("a b", 2, "a b", list("a b c")), Ok(3));
    assert_eq!(copies("a b c", 3, "a b c", list("a c")), Ok(2));
    assert_eq!(copies("a b", 2, "a b", list("a c")), Ok(2), "moved");
    assert_eq!(copies("", 2, "a b", list("a b")), Ok(2), "only written down");
    assert_eq!(copies("", 2, "a b", list("a b c")), Ok(3));
    assert_eq!(copies("", 2, "a b", list("c")), Ok(3));
    assert_eq!(copies("a", 2, "a b", list("")), Ok(1));
    assert_eq!(copies("a b", 2, "a d", list("a")), Ok(2), "the copy had followed its owner before");
    let by_drive = |spec: &mut VolumeSpec| spec.placement.entries[1].drive = Some("S2".parse().unwrap());
    assert_eq!(copies("a b", 2, "a b", by_drive), Ok(2), "the drive is only named");
}

#[test]
fn an_edited_number_counts_and_a_longer_list_does_not_bind_it() {
    assert_eq!(copies("a b c", 3, "a b c", |spec| spec.replicas = 2), Ok(2));
    assert_eq!(copies("", 2, "a b", |spec| spec.replicas = 3), Ok(3));
    let again = |spec: &mut VolumeSpec| spec.placement.generation += 1;
    assert_eq!(copies("a b", 2, "a b", again), Ok(2), "the same once more");
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let why = |list: &str, number, edit: fn(&mut VolumeSpec)| copies(list, number, "a b", edit).unwrap_err();
    assert!(why("a b", 2, |spec| spec.replicas = 0).contains("1 to 3"));
    assert!(why("a b", 2, |spec| spec.replicas = 4).contains("1 to 3"));
    assert!(why("", 2, |spec| spec.placement.entries = entries("c d")).contains("1 to 3"), "that makes four");
    assert!(why("a b", 2, |spec| spec.placement.entries = entries("a a")).contains("a twice"));
    let contradiction = why("a b", 2, |spec| {
        spec.replicas = 1;
        spec.placement.entries = entries("a c");
    });
    assert!(contradiction.contains("2 places for 1 copies"), "{contradiction}");
}

fn said(status: &VolumeStatus) -> Vec<&str> {
    assert!(status.events.iter().all(|event| event.reason == SCALING), "{:?}", status.events);
    status.events.iter().map(|event| event.message.as_str()).collect()
}

/// The request is taken up.
fn begun(spec: &VolumeSpec, mut status: VolumeStatus) -> VolumeStatus {
    let placed = take_up(spec, &status).unwrap();
    begin(&mut status, placed, NOW);
    assert!(status.has_taken_up(spec) && !status.is_placed(spec));
    status
}

fn joins(status: &mut VolumeStatus, node: &str, state: MemberState) {
    status.members.push(member(9, node, state, NOW));
    if state == MemberState::Synced {
        status.in_sync.insert(member(9, node, state, NOW).replica);
    }
}

#[test]
fn growing_is_told_once_when_every_copy_holds_every_write() {
    let asked = spec(3, "a b c");
    let mut status = begun(&asked, status(&spec(2, "a b"), "a b"));
    assert_eq!(
        (status.copies(&asked), status.copies_due(&asked)),
        (3, 2),
        "two are enough until there are three"
    );
    finish(&mut status, NOW);
    let mut filling = status.clone();
    joins(&mut filling, "c", MemberState::Syncing);
    finish(&mut filling, NOW);
    assert_eq!(said(&filling), Vec::<&str>::new());
    joins(&mut status, "c", MemberState::Synced);
    for _ in 0..3 {
        finish(&mut status, NOW);
        assert_eq!(said(&status), ["successfully scaled volume replicas to 3"]);
    }
    assert!(status.is_placed(&asked));
    assert_eq!(status.copies_due(&asked), 3);
}

#[test]
fn shrinking_is_told_when_it_begins_and_when_the_copy_is_gone() {
    let asked = spec(2, "a b");
    let mut status = begun(&asked, status(&spec(3, "a b c"), "a b c"));
    let begins = "Scaling down volume replicas from 3 to 2 is in progress";
    assert_eq!(said(&status), [begins]);
    assert!(status.is_replacing());
    finish(&mut status, NOW);
    assert_eq!(said(&status), [begins]);
    status.members.pop();
    for _ in 0..3 {
        finish(&mut status, NOW);
        assert_eq!(said(&status), [begins, "successfully scaled volume replicas to 2"]);
    }
    assert!(!status.is_replacing());
}

#[test]
fn a_move_scales_nothing_and_a_faulty_copy_ends_the_request() {
    let asked = spec(2, "a c");
    let moving = begun(&asked, status(&spec(2, "a b"), "a b"));
    let faulty = member(9, "c", MemberState::Faulty, NOW);
    let mut given_up = moving.clone();
    give_up(&mut given_up, &faulty, NOW);
    assert_eq!(given_up.events.last().unwrap().reason, "MoveGivenUp");
    assert!(given_up.is_placed(&asked), "it is not tried again by itself");
    let mut moved = moving;
    moved.members.remove(1);
    joins(&mut moved, "c", MemberState::Synced);
    finish(&mut moved, NOW);
    assert_eq!(said(&moved), Vec::<&str>::new());
    assert!(moved.is_placed(&asked));

    let asked = spec(3, "a b c");
    let mut growing = begun(&asked, status(&spec(2, "a b"), "a b"));
    give_up(&mut growing, &faulty, NOW);
    give_up(&mut growing, &faulty, NOW);
    assert_eq!(said(&growing), ["failed to scale volume replicas to 3: the copy on c is Faulty"]);
}

#[test]
fn places_without_a_name_are_taken_by_the_best_copies() {
    let world = World::default();
    let spec = spec(3, "b");
    let mut status = status(&spec, "a b c");
    let placed = |copies| Placed { copies, ..Placed::carried_out(&spec) };
    assert_eq!(difference(&world, &status, &placed(3)), Difference::default());
    let fewer = |status: &VolumeStatus| difference(&world, status, &placed(2)).surplus;
    assert_eq!(fewer(&status), [status.members[2].replica]);
    status.in_sync.remove(&status.members[0].replica);
    assert_eq!(fewer(&status), [status.members[0].replica], "the one that is not in sync");
    status.members.truncate(2);
    let more = difference(&world, &status, &placed(3));
    assert_eq!((more.missing, more.surplus), (vec![None], Vec::new()));
}

/// A record of an earlier version knows no request; what stands beside it counts as carried out.
#[test]
fn a_status_without_a_request_has_as_many_copies_as_the_spec_says() {
    let spec = spec(2, "");
    let old = VolumeStatus { placed: None, ..status(&spec, "a b") };
    assert!(old.is_placed(&spec) && old.copies(&spec) == 2);
    let mut asked = VolumeSpec { replicas: 3, ..spec };
    asked.placement.generation = 1;
    assert!(!old.has_taken_up(&asked));
    let placed = take_up(&asked, &old).unwrap();
    assert_eq!((placed.copies, placed.before), (3, Some(2)));
}
