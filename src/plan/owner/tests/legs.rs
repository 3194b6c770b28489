//! KERNEL2.md's rules of legs that queue, one after the other; its seventh is of arrays that begin read-only.

use super::*;
use crate::domain::ReplicaId;

const LEGS: [(Uuid, Dev); 2] = [(REMOTE, PATH), (NEW, NEW_PATH)];

/// Three copies in sync, two of them behind legs.
fn three() -> Scene {
    let mut scene = Scene::mounted();
    add_third(&mut scene);
    let spec = scene.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
    put(&mut scene.world, "v", Record::VolumeSpec(crate::domain::VolumeSpec { replicas: 3, ..spec }));
    let mut status = scene.status().clone();
    status.members.push(member(3, "n3", MemberState::Synced, NOW));
    status.in_sync.insert(ReplicaId(NEW));
    status.placed = None;
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    scene.measured(1);
    scene
}

/// The kernel looks for the peer again; no I/O has told the map that its path is gone.
fn lose(scene: &mut Scene, partition: Uuid) {
    scene.seen.connections.get_mut(&(partition, EPOCH)).unwrap().state = ConnectionState::Connecting;
    let now = scene.now;
    scene.memory.track_legs(&scene.seen, now);
    scene.now = now.plus(timing::LEG_LOSS_MILLIS);
}

/// What it held has failed, and md has dropped the member; it still has its slot, or not.
fn let_go(scene: &mut Scene, partition: Uuid, slot: Option<u32>) {
    let map = scene.seen.maps.get_mut(&(partition, EPOCH)).unwrap();
    (map.queueing, map.path_active) = (false, false);
    let dev = map.dev;
    let lost = scene.array().members.iter_mut().find(|seen| seen.dev == dev).unwrap();
    (lost.slot, lost.flags) = (slot, [MemberFlag::Faulty, MemberFlag::WriteMostly].into());
}

fn fail((partition, path): (Uuid, Dev)) -> Step {
    Step::FailLeg { partition, epoch: EPOCH, path: Some(path), cut: None }
}

fn is_removal(step: &Step) -> bool {
    matches!(step, Step::RemoveMember { .. })
}

/// Rules 1 and 6: a leg that nothing was sent to never says that its path failed. It is let go like any other, and its controller, which
/// holds nothing, is left to come back.
#[test]
fn an_idle_leg_whose_path_never_failed_is_recorded_and_let_go() {
    let mut scene = three();
    lose(&mut scene, REMOTE);
    assert!(scene.seen.maps[&(REMOTE, EPOCH)].path_active);
    assert_eq!(scene.plan().steps, [], "not before it is recorded");
    scene.settle();
    assert_eq!((scene.status().in_sync.len(), scene.plan().steps), (2, vec![fail(LEGS[0])]));
}

/// Rules 2 and 3: what one leg lets go another one may still hold.
#[test]
fn legs_that_were_recorded_together_are_let_go_together_and_then_their_members_are_removed() {
    let mut scene = three();
    for (partition, _) in LEGS {
        lose(&mut scene, partition);
    }
    scene.settle();
    assert_eq!((scene.status().in_sync.len(), scene.plan().steps), (1, LEGS.map(fail).into()));
    let_go(&mut scene, REMOTE, None);
    assert_eq!(scene.plan().steps, [fail(LEGS[1])], "the other one holds I/O: nothing is removed");
    let_go(&mut scene, NEW, Some(2));
    let removed = |scene: &Scene| scene.plan().steps.into_iter().filter(is_removal).count();
    assert_eq!(removed(&scene), 1, "one of them has its slot still, which is EBUSY");
    scene.array().members.remove(1);
    assert_eq!(removed(&scene), 0);
    let_go(&mut scene, NEW, None);
    assert_eq!(removed(&scene), 1);
}

/// Rule 3: members, slots, the file system, growth.
#[test]
fn nothing_is_asked_of_an_array_while_one_of_its_legs_holds_writes() {
    let wants: [fn(&mut Scene); 4] = [
        |scene| scene.array().slots = 4,
        |scene| scene.wish(|attachment| attachment.mount = None),
        |scene| {
            scene.array().members[2].flags.remove(&MemberFlag::WriteMostly);
        },
        |scene| scene.array().sync.action = SyncAction::Frozen,
    ];
    let of_array = |step: &Step| matches!(step.lane(), crate::plan::Lane::Volume(_));
    for want in wants {
        let mut scene = three();
        want(&mut scene);
        assert_eq!(scene.plan().steps.iter().filter(|step| of_array(step)).count(), 1);
        lose(&mut scene, REMOTE);
        assert!(!scene.plan().steps.iter().any(of_array), "{:?}", scene.plan().steps);
    }
}

/// Rule 3, said in the same words whatever waits for it.
#[test]
fn a_growth_waits_for_a_leg_that_holds_writes_and_says_for_which() {
    let mut scene = three();
    let mut status = scene.status().clone();
    status.size = Some(SIZE);
    status.growth = Some(crate::domain::Growth { to: Bytes(2 * SIZE.0), started_at: NOW });
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    lose(&mut scene, REMOTE);
    let told = |scene: &Scene| scene.plan().reasons.into_iter().find(|reason| reason.code == "LegQueues");
    let grows = told(&scene).unwrap();
    assert!(grows.message.contains("n2"), "{grows:?}");
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    assert_eq!(told(&scene), Some(grows));
}

/// Rule 7: nothing recovers in an array that waits for its first write.
#[test]
fn an_array_that_began_read_only_is_made_writable_before_anything_else() {
    for state in [ArrayState::ReadAuto, ArrayState::ReadOnly] {
        let mut scene = three();
        scene.array().state = state;
        scene.array().slots = 4;
        let (volume, array) = ("v".parse().unwrap(), array_device(UID, 0));
        assert_eq!(scene.plan().steps, [Step::SetWritable { volume, array }]);
    }
}
