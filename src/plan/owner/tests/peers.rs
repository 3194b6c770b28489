//! What is made of a peer that is silent, out of reach, or going down.

use super::*;
use crate::domain::testing::node_status;
use crate::domain::{Endpoint, NodeStatus, ReplicaSpec, Wanted};
use crate::plan::{Beat, Peers};

/// The copy on the other node.
fn replica_spec() -> ReplicaSpec {
    let member = member(2, "n2", MemberState::Synced, NOW);
    ReplicaSpec {
        id: member.replica,
        volume: "v".parse().unwrap(),
        volume_uid: UID,
        node: member.node,
        drives: member.drives,
        partition_size: SIZE,
        export: None,
        wanted: Wanted::Present,
    }
}

/// The other node's daemon was heard, and then nothing for so long.
fn silent_for(scene: &mut Scene, millis: u64) {
    let node: NodeName = "n2".parse().unwrap();
    let mut peers = Peers::default();
    peers.follow([(&node, true)].into_iter());
    peers.hear(&node, &Beat { life: Uuid::from_u128(1), sequence: 1, asks: true, goes_down: false });
    (0..millis / timing::BEAT_MILLIS).for_each(|_| peers.pass(timing::BEAT_MILLIS));
    scene.memory.peers = peers;
}

/// The legs that are let go: whose connections are cut.
fn lets_go(scene: &Scene) -> Vec<Option<Endpoint>> {
    let cut = |step| if let Step::FailLeg { cut, .. } = step { Some(cut) } else { None };
    scene.plan().steps.into_iter().filter_map(cut).collect()
}

#[test]
fn silence_of_the_daemon_or_of_its_kernel_alone_costs_nobody_a_leg() {
    for (silent, unanswered) in [(60_000, 0), (300, 60_000), (60_000, timing::ANSWER_MILLIS - 1)] {
        let mut scene = Scene::mounted();
        silent_for(&mut scene, silent);
        scene.memory.unanswered.insert("n2".parse().unwrap(), unanswered);
        scene.settle();
        assert_eq!((scene.status().in_sync.len(), lets_go(&scene)), (2, vec![]), "{silent}, {unanswered}");
    }
}

#[test]
fn who_is_out_of_reach_is_recorded_first_and_then_let_go_and_cut_off() {
    let mut scene = Scene::mounted();
    let endpoint = Endpoint { address: "10.0.0.2".to_owned(), port: 4420 };
    put(
        &mut scene.world,
        "n2",
        Record::NodeStatus(NodeStatus { endpoint: endpoint.clone(), ..node_status(NOW) }),
    );
    silent_for(&mut scene, timing::PEER_SILENT_MILLIS);
    scene.memory.unanswered.insert("n2".parse().unwrap(), timing::ANSWER_MILLIS);
    assert_eq!(lets_go(&scene), [], "not before it is recorded");
    scene.settle();
    assert_eq!((scene.status().in_sync.len(), lets_go(&scene)), (1, vec![Some(endpoint)]));
}

#[test]
fn who_goes_down_is_let_go_while_its_leg_still_works() {
    let mut scene = Scene::mounted();
    silent_for(&mut scene, 0);
    let goodbye = Beat { life: Uuid::from_u128(1), sequence: 2, asks: true, goes_down: true };
    scene.memory.peers.hear(&"n2".parse().unwrap(), &goodbye);
    scene.settle();
    assert_eq!(
        (scene.status().in_sync.len(), lets_go(&scene)),
        (1, vec![None]),
        "nobody else's legs are cut"
    );
}

/// To remove a live controller of a peer that is not there takes a minute, and its lane with it.
#[test]
fn a_live_controller_of_a_silent_peer_is_not_removed_until_it_is_known_how_that_is() {
    let mut scene = Scene::mounted();
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    (scene.seen.mounts, scene.seen.arrays, scene.seen.maps) = Default::default();
    let spec = replica_spec();
    put(&mut scene.world, spec.id, Record::ReplicaSpec(spec));
    let removes =
        |scene: &Scene| scene.plan().steps.iter().any(|step| matches!(step, Step::Disconnect { .. }));
    assert!(removes(&scene));
    silent_for(&mut scene, timing::PEER_SILENT_MILLIS);
    assert!(!removes(&scene) && scene.plan().wake_at.is_some());
    silent_for(&mut scene, timing::KEEP_ALIVE_MILLIS);
    assert!(removes(&scene), "a kernel that was not there would have been missed by now");
}

/// An unmount would wait in the kernel for what the leg holds.
#[test]
fn nothing_is_taken_down_while_a_leg_holds_writes() {
    let mut scene = Scene::mounted();
    let mut spec = scene.world.volume_spec(&"v".parse().unwrap()).unwrap().clone();
    spec.attachment = None;
    put(&mut scene.world, "v", Record::VolumeSpec(spec));
    let unmounts = |scene: &Scene| scene.plan().steps.iter().any(|step| matches!(step, Step::Unmount { .. }));
    assert!(unmounts(&scene));
    silent_for(&mut scene, timing::PEER_SILENT_MILLIS);
    scene.memory.unanswered.insert("n2".parse().unwrap(), timing::ANSWER_MILLIS);
    scene.seen.maps.insert((REMOTE, EPOCH), MapSeen { path_active: false, ..map() });
    assert!(!unmounts(&scene) && scene.plan().reasons.iter().any(|reason| reason.code == "LegQueues"));
    scene.settle();
    assert_eq!((lets_go(&scene).len(), unmounts(&scene)), (1, false), "recorded, and let go");
    scene
        .seen
        .maps
        .insert((REMOTE, EPOCH), MapSeen { path: None, path_active: false, queueing: false, ..map() });
    assert!(unmounts(&scene));
}
