//! What of a new copy is compared before another one goes in its favour, and what becomes of one that differs.

use mdfabric::domain::{FsType, MemberState, NodeName, Verify, VolumeStatus};
use mdfabric::plan::verbs::{self, Cordon, CreateVolume};
use mdfabric::sim::Config;

use super::support::{Scene, name, node, wish};

fn verified(verify: Verify, fs: FsType) -> CreateVolume {
    CreateVolume { verify, fs, ..wish(2) }
}

/// A volume that was written on node-1, and is not any more.
fn written(seed: u64, nodes: u8, wish: &CreateVolume) -> Scene {
    let drives = u8::try_from(wish.stripe_width).unwrap();
    let mut scene = Scene::with(Config { seed, nodes, drives, ..Config::default() });
    scene.create(wish);
    scene.begin(wish.fs, 1);
    scene.whole();
    scene.cluster.app(&name()).writing = false;
    scene.cluster.run_for(1_000);
    scene
}

fn events(scene: &Scene, reason: &str) -> Vec<String> {
    let events = scene.status().unwrap().events.iter().filter(|event| event.reason == reason);
    events.map(|event| event.message.clone()).collect()
}

/// The copy on a node is wrong in a block, as often as that is filled, until `done`.
fn rot_until(scene: &mut Scene, on: &NodeName, block: u8, what: &str, done: impl Fn(&Scene) -> bool) {
    for _ in 0..30_000 {
        scene.cluster.tick();
        scene.cluster.rot(&name(), on, block);
        if done(scene) {
            return;
        }
    }
    scene.demand(false, what);
}

/// One of two copies moves, and the new one is wrong in a block. Whether it was refused for that.
fn is_refused(seed: u64, wish: &CreateVolume, block: u8) -> bool {
    let mut scene = written(seed, 3, wish);
    let (from, to) = scene.a_move();
    let before = scene.in_sync();
    scene.request_move(from, to);
    let refused = |scene: &Scene| !events(scene, "VerificationFailed").is_empty();
    let moved = |scene: &Scene| scene.status().unwrap().member_on(&node(from)).is_none();
    rot_until(&mut scene, &node(to), block, "it is over", |scene| refused(scene) || moved(scene));
    if refused(&scene) {
        is_kept(&mut scene, to, &before);
    }
    scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    refused(&scene)
}

/// The old copies stay as they are, and the new one for the user to see, whose wish it was.
fn is_kept(scene: &mut Scene, to: u8, before: &[mdfabric::domain::ReplicaId]) {
    scene.cluster.run_for(60_000);
    scene.demand(scene.in_sync() == before, "every old copy counts, and no other");
    let status = scene.status().unwrap();
    let new = status.member_on(&node(to)).map(|member| member.state);
    scene.demand(new == Some(MemberState::Faulty), "the new copy is Faulty");
    let told = events(scene, "VerificationFailed");
    let mut says = format!("the new copy on node-{to} differs in 8 sectors; no other one goes");
    if before.len() > 1 {
        says.push_str(
            ". It was compared with several copies at once: `mdfabric volume scrub vol` compares those alone",
        );
    }
    scene.demand(told == [says], &format!("told once: {told:?}"));
}

/// In the first MiB of anything, in a group of ext4 that has a copy of the superblock, in the headers of a group of XFS.
#[test]
fn samples_find_what_is_wrong_at_an_end_or_in_metadata() {
    for (fs, block) in [(FsType::Raw, 0), (FsType::Ext4, 3), (FsType::Xfs, 4)] {
        assert!(is_refused(700, &verified(Verify::Sampled, fs), block), "{fs:?}, block {block}");
    }
}

#[test]
fn what_no_sample_hits_is_found_by_comparing_everything() {
    assert!(!is_refused(710, &verified(Verify::Sampled, FsType::Raw), 3));
    assert!(is_refused(710, &verified(Verify::Full, FsType::Raw), 3));
}

/// At the start of the second column, and behind it.
#[test]
fn a_copy_that_is_wrong_in_one_of_its_columns_is_refused_as_a_whole() {
    for (verify, block) in [(Verify::Sampled, 1), (Verify::Full, 3)] {
        let striped = CreateVolume { stripe_width: 2, ..verified(verify, FsType::Raw) };
        assert!(is_refused(740, &striped, block), "{verify:?}, block {block}");
    }
}

/// Where the user trusts the kernel's copying, a copy that is filled takes over, whatever is on it.
#[test]
fn nothing_is_compared_where_the_user_does_not_want_it() {
    for (verify, compares) in [(Verify::Off, false), (Verify::Sampled, true), (Verify::Full, true)] {
        let mut scene = written(720, 3, &verified(verify, FsType::Xfs));
        scene.cluster.app(&name()).writing = true;
        let (from, to) = scene.a_move();
        let before = scene.cluster.steps().len();
        scene.request_move(from, to);
        scene.moved(from, to);
        let did = scene.cluster.steps()[before..].iter().any(|step| step.contains(": compare "));
        scene.demand(did == compares, &format!("{verify:?}: compared {did}"));
        scene.write_a_little();
        scene.whole();
    }
    assert!(!is_refused(730, &verified(Verify::Off, FsType::Xfs), 0));
}

/// Nobody asked for it by name: it goes, its drive is not tried again, and another one takes the place of the copy that shall go.
#[test]
fn a_copy_that_differs_and_that_nobody_named_is_made_elsewhere() {
    let mut scene = written(750, 4, &verified(Verify::Sampled, FsType::Xfs));
    let other = (2..=4).find(|index| scene.status().unwrap().member_on(&node(*index)).is_some()).unwrap();
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(other), Cordon::Empty)).unwrap();
    let new = |status: &VolumeStatus| {
        let joining = status.relocation.as_ref()?.joining?;
        status.member(joining).map(|member| member.node.clone())
    };
    scene.until(60_000, "a new copy is begun", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| new(status).is_some())
    });
    let first = new(scene.status().unwrap()).unwrap();
    let given_up = |scene: &Scene| !events(scene, "ReplicaGivenUp").is_empty();
    rot_until(&mut scene, &first, 0, "it is given up", given_up);
    let tried = scene.status().unwrap().tried.clone();
    scene.demand(tried.len() == 1 && tried[0].why == "it differs in 8 sectors", &format!("{tried:?}"));
    scene.until(120_000, "moved", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.in_sync.len() == 2 && status.staying().all(|member| member.node != node(other))
    });
    scene.demand(scene.status().unwrap().staying().all(|member| member.node != first), "elsewhere");
    scene.demand(events(&scene, "VerificationFailed").len() == 1, "told once");
    scene.write_a_little();
}
