//! An assembly that waits for a superblock behind a leg that was lost.

use super::*;

/// The provider of the other copy is lost while the array is assembled.
fn assembling() -> Scene {
    let mut scene = Scene::mounted();
    scene.seen.arrays.clear();
    scene.seen.mounts.clear();
    let members = vec![(LOCAL, PARTITION), (REMOTE, MAP)];
    let (volume, array) = ("v".parse().unwrap(), array_uuid(UID, 0));
    scene.memory.begin(Step::Assemble { volume, array, device: array_device(UID, 0), members }, NOW);
    let lost = scene.seen.maps.get_mut(&(REMOTE, EPOCH)).unwrap();
    lost.path_active = false;
    scene.seen.connections.get_mut(&(REMOTE, EPOCH)).unwrap().state = ConnectionState::Connecting;
    scene
}

fn revives(scene: &Scene) -> bool {
    scene.plan().steps.contains(&Step::ReinstateLeg { partition: REMOTE, epoch: EPOCH, path: PATH })
}

fn lets_fail(scene: &Scene) -> bool {
    scene.plan().steps.iter().any(|step| matches!(step, Step::FailLeg { partition: REMOTE, .. }))
}

fn is_live(scene: &mut Scene) {
    scene.seen.connections.get_mut(&(REMOTE, EPOCH)).unwrap().state = ConnectionState::Live;
}

#[test]
fn it_goes_on_when_the_path_is_back() {
    let mut scene = assembling();
    assert!(!revives(&scene) && !lets_fail(&scene), "the record counts on it");
    is_live(&mut scene);
    assert!(revives(&scene) && !lets_fail(&scene));
}

#[test]
fn a_copy_that_was_given_up_is_not_waited_for() {
    let mut scene = assembling();
    let mut status = scene.status().clone();
    status.in_sync.retain(|replica| *replica != status.members[1].replica);
    status.members[1].state = MemberState::Missing;
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    assert!(lets_fail(&scene));
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    assert!(lets_fail(&scene), "a release waits for the assembly too");
}
