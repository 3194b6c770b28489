//! Where volumes are mounted and seen, and on which node.

use super::*;
use crate::domain::Publication;
use crate::domain::limits::{MAX_PATH, MAX_PUBLISHED};
use crate::plan::verbs::{self, At, Publish, detach_at, mount_on, unmount_at, unpublish};

fn place(path: &str) -> Publication {
    Publication { path: path.to_owned(), read_only: false }
}

fn publish(
    world: &World,
    name: &VolumeName,
    node: &NodeName,
    place: &Publication,
) -> Result<Verdict, Refusal> {
    verbs::publish(world, name, node, &Publish { place: place.clone(), alone: false })
}

fn done(world: &mut World, verdict: Result<Verdict, Refusal>) {
    let verdict = verdict.unwrap();
    assert!(!verdict.writes.is_empty());
    take(world, verdict);
}

fn already(verdict: Result<Verdict, Refusal>) {
    assert_eq!(verdict.unwrap().writes, []);
}

fn on(index: u8) -> At {
    At::on(Some(node(index)))
}

fn at(path: &str) -> At {
    At { node: Some(node(1)), path: Some(path.to_owned()) }
}

/// On node 1, mounted at /mnt.
fn mounted() -> World {
    let mut world = attached(1);
    let verdict = mount_on(&world, &volume(), Some(&node(1)), MountRequest::at("/mnt"));
    done(&mut world, verdict);
    world
}

fn paths(world: &World) -> Vec<String> {
    let attachment = world.volume_spec(&volume()).unwrap().attachment.clone();
    attachment.into_iter().flat_map(|attachment| attachment.published).map(|place| place.path).collect()
}

#[test]
fn a_volume_is_published_where_it_is_mounted_and_at_several_places() {
    let mut world = mounted();
    for path in ["/a", "/b"] {
        let verdict = publish(&world, &volume(), &node(1), &place(path));
        done(&mut world, verdict);
        already(publish(&world, &volume(), &node(1), &place(path)));
    }
    let read_only = Publication { read_only: true, ..place("/a") };
    refused(publish(&world, &volume(), &node(1), &read_only), AlreadyExists, &["vol", "/a", "for writing"]);
    refused(publish(&world, &volume(), &node(1), &place("/mnt")), FailedPrecondition, &["vol", "/mnt"]);
    for bad in ["", "a", "/", "/a/", "//a", "/a/../b", "/a/."] {
        refused(publish(&world, &volume(), &node(1), &place(bad)), InvalidArgument, &["vol"]);
    }
    let long = format!("/{}", "a".repeat(MAX_PATH.into()));
    refused(publish(&world, &volume(), &node(1), &place(&long)), InvalidArgument, &["vol"]);
    let alone = |path: &str| {
        verbs::publish(&world, &volume(), &node(1), &Publish { place: place(path), alone: true })
    };
    for path in ["/a", "/c"] {
        refused(alone(path), FailedPrecondition, &["vol", path, "alone"]);
    }
    let verdict = unpublish(&world, &volume(), Some(node(1)), "/a");
    done(&mut world, verdict);
    already(unpublish(&world, &volume(), None, "/a"));
    assert_eq!(paths(&world), ["/b"]);
    let alone = Publish { place: place("/b"), alone: true };
    already(verbs::publish(&world, &volume(), &node(1), &alone));
}

#[test]
fn a_volume_is_published_at_so_many_places_and_at_no_more() {
    let mut world = mounted();
    for number in 0..MAX_PUBLISHED {
        let verdict = publish(&world, &volume(), &node(1), &place(&format!("/{number}")));
        done(&mut world, verdict);
    }
    refused(publish(&world, &volume(), &node(1), &place("/more")), ResourceExhausted, &["vol", "128"]);
    already(publish(&world, &volume(), &node(1), &place("/0")));
}

#[test]
fn a_file_system_that_is_not_mounted_is_not_published_and_a_raw_volume_never_is_mounted() {
    let mut world = attached(1);
    refused(publish(&world, &volume(), &node(1), &place("/a")), FailedPrecondition, &["vol", "not mounted"]);
    let spec = world.volume_spec(&volume()).unwrap().clone();
    put(&mut world, volume(), Record::VolumeSpec(crate::domain::VolumeSpec { fs: FsType::Raw, ..spec }));
    let verdict = publish(&world, &volume(), &node(1), &place("/a"));
    done(&mut world, verdict);
    let verdict = unmount_at(&world, &volume(), &at("/staged"));
    done(&mut world, verdict);
    assert_eq!(paths(&world), [""; 0]);
}

#[test]
fn what_is_somewhere_else_by_now_is_left_alone() {
    let mut world = mounted();
    let verdict = publish(&world, &volume(), &node(1), &place("/a"));
    done(&mut world, verdict);
    refused(publish(&world, &volume(), &node(2), &place("/b")), FailedPrecondition, &["vol", "node-2"]);
    let wish = MountRequest::at("/mnt");
    refused(mount_on(&world, &volume(), Some(&node(2)), wish), FailedPrecondition, &["vol", "node-2"]);
    already(unpublish(&world, &volume(), Some(node(2)), "/a"));
    already(unmount_at(&world, &volume(), &on(2)));
    already(unmount_at(&world, &volume(), &at("/other")));
    already(detach_at(&world, &volume(), &on(2)));

    let verdict = unmount_at(&world, &volume(), &at("/mnt"));
    done(&mut world, verdict);
    assert_eq!(paths(&world), [""; 0], "it is published nowhere without its mount");
    let verdict = detach_at(&world, &volume(), &on(1));
    done(&mut world, verdict);
    already(unpublish(&world, &volume(), Some(node(1)), "/a"));
}

#[test]
fn another_way_to_mount_is_another_wish() {
    let world = mounted();
    for wish in [
        MountRequest { read_only: true, ..MountRequest::at("/mnt") },
        MountRequest { options: vec!["noatime".to_owned()], ..MountRequest::at("/mnt") },
        MountRequest { group: Some(7), ..MountRequest::at("/mnt") },
    ] {
        refused(mount(&world, &volume(), wish), AlreadyExists, &["vol", "/mnt", "for writing"]);
    }
    already(mount(&world, &volume(), MountRequest::at("/mnt")));
}

fn places(world: &World, prefer: Vec<NodeName>) -> Vec<NodeName> {
    let wish = CreateVolume { prefer, ..wish() };
    let verdict = create(world, &wish, UID, NOW).unwrap();
    let Some(Record::VolumeSpec(spec)) = &verdict.writes[0].record else { panic!("{verdict:?}") };
    spec.placement.entries.iter().map(|entry| entry.node.clone()).collect()
}

#[test]
fn nodes_that_are_preferred_and_have_room_get_the_first_copies() {
    let mut world = cluster();
    assert_eq!(places(&world, vec![node(3), node(3), node(1), node(2)]), [node(3), node(1)]);
    assert_eq!(places(&world, vec![node(9), node(2)]), [node(2)]);
    let verdict = cordon_node(&world, &node(3), Cordon::On).unwrap();
    take(&mut world, verdict);
    assert_eq!(places(&world, vec![node(3), node(1)]), [node(1)]);
    let wish = CreateVolume { prefer: vec![node(3)], ..wish() };
    let made = create(&world, &wish, UID, NOW).unwrap();
    take(&mut world, made);
    already(create(&world, &CreateVolume { prefer: vec![node(2)], ..wish }, UID, NOW));
}
