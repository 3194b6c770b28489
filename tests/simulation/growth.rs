//! Volumes that become larger while they are used.

use mdfabric::domain::{Bytes, FsType, MemberState, PlacementEntry, VolumeName, VolumePhase, VolumeUid};
use mdfabric::plan::verbs::{self, CreateVolume, EditVolume, NewSize};
use mdfabric::sim::{Cluster, Config, Crash};

use super::support::{Scene, edit_record, every_death, fatal, is_mounted, is_whole, name, node, wish};

/// Twelve blocks instead of eight.
const LARGER: Bytes = Bytes::mib(1536);

fn request(scene: &mut Scene, to: NewSize) {
    scene.cluster.request(|world, _| verbs::grow(world, &name(), to)).unwrap();
}

fn has_grown(cluster: &Cluster) -> bool {
    let world = cluster.world();
    let Some(spec) = world.volume_spec(&name()) else { return false };
    world
        .volume_status(&name())
        .is_some_and(|status| status.usable(spec) == spec.size && status.growth.is_none())
}

fn grown(scene: &mut Scene) {
    scene.until(300_000, "grown", |cluster| has_grown(cluster) && is_whole(cluster));
    scene.until(60_000, "everybody is back", Cluster::is_up);
}

/// Everything up to the new end is written, and the record says so.
fn is_written_to_the_end(scene: &mut Scene) {
    scene.quiet_while_writing();
    let last = scene.cluster.app(&name()).acked.get(11);
    scene.demand(last > 0, "what is beyond the old end is written");
}

#[test]
fn a_volume_grows_while_it_is_written() {
    for replicas in 1..=3 {
        let mut scene = Scene::new(40 + u64::from(replicas));
        scene.create(&wish(replicas));
        scene.attach(1);
        scene.write_for(1_000);
        scene.whole();
        scene.phases.clear();
        request(&mut scene, NewSize::Of(LARGER));
        grown(&mut scene);
        let walk = [VolumePhase::Synced, VolumePhase::Expanding, VolumePhase::Synced];
        scene.demand(scene.phases == walk, &format!("phases {:?}", scene.phases));
        let stall = scene.cluster.app(&name()).longest_stall;
        scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
        is_written_to_the_end(&mut scene);
        scene.detach();
        scene.attach(2);
        scene.write_for(1_000);
        scene.whole();
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}

#[test]
fn a_raw_volume_grows_where_it_is_attached() {
    let mut scene = Scene::new(44);
    scene.create(&CreateVolume { fs: FsType::Raw, ..wish(2) });
    scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(1))).unwrap();
    scene.write_a_little();
    request(&mut scene, NewSize::More(Bytes::mib(512)));
    grown(&mut scene);
    scene.write_for(10_000);
    let last = scene.cluster.app(&name()).acked.get(11);
    scene.demand(last > 0, "what is beyond the old end is written");
}

/// The array of a detached volume grows under an owner that nobody asked for; its file system when it is mounted.
#[test]
fn a_detached_volume_grows_and_its_file_system_when_it_is_mounted() {
    for attached_before in [false, true] {
        let mut scene = Scene::new(45);
        scene.create(&wish(2));
        if attached_before {
            scene.attach(1);
            scene.write_a_little();
            scene.whole();
            scene.detach();
        }
        for size in [Bytes::mib(1_152), LARGER] {
            request(&mut scene, NewSize::Of(size));
            scene.until(120_000, "the array has grown and nobody owns it", |cluster| {
                let status = cluster.world().volume_status(&name()).unwrap();
                let says = status.reasons.iter().any(|reason| reason.code == "FileSystemGrowsMounted");
                status.size == Some(size)
                    && status.owner.is_none()
                    && status.phase == VolumePhase::Synced
                    && says
            });
        }
        scene.quiet();
        scene.attach(2);
        scene.write_a_little();
        grown(&mut scene);
        is_written_to_the_end(&mut scene);
    }
}

/// Two copies on node-1 and node-2; what follows the one on node-2 on its drive is taken.
fn with_a_neighbour(drives: u8) -> Scene {
    let mut scene = Scene::with(Config { drives, capacity: Bytes::gib(3), seed: 46, ..Config::default() });
    let other: VolumeName = "other".parse().unwrap();
    scene.create(&CreateVolume { placement: vec![at(1), at(2)], ..wish(2) });
    let drive = scene.status().unwrap().members[1].drives[0].clone();
    let placement = vec![PlacementEntry { node: node(2), drive: Some(drive) }];
    let wish = CreateVolume { replicas: 1, placement, ..CreateVolume::new(other.clone(), Bytes::gib(1)) };
    let uid = VolumeUid(uuid::Uuid::from_u128(5));
    scene.cluster.request(|world, now| verbs::create(world, &wish, uid, now)).unwrap();
    scene.until(60_000, "the neighbour is made", |cluster| {
        cluster.world().volume_status(&other).is_some_and(|status| status.phase == VolumePhase::Synced)
    });
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene
}

#[test]
fn a_copy_without_room_moves_within_its_node_else_to_another_one() {
    for drives in [1, 2] {
        let mut scene = with_a_neighbour(drives);
        let verdict = verbs::grow(scene.cluster.world(), &name(), NewSize::Of(LARGER)).unwrap();
        scene.demand(verdict.chosen.len() == 1, &format!("one copy moves: {:?}", verdict.chosen));
        request(&mut scene, NewSize::Of(LARGER));
        grown(&mut scene);
        let at_home = scene.status().unwrap().member_on(&node(2)).is_some();
        scene.demand(at_home == (drives == 2), "it moves to another node only when its own has no room");
        is_written_to_the_end(&mut scene);
        let too_large = verbs::grow(scene.cluster.world(), &name(), NewSize::Of(Bytes::gib(4))).unwrap_err();
        scene.demand(too_large.message.contains("no other place"), &too_large.to_string());
    }
}

#[test]
fn a_copy_moves_for_room_and_another_one_is_asked_for_at_once() {
    let mut scene = with_a_neighbour(2);
    request(&mut scene, NewSize::Of(LARGER));
    scene.until(60_000, "the growth is taken up", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.growth.is_some())
    });
    let more = EditVolume { replicas: Some(3), ..EditVolume::new(name()) };
    scene.cluster.request(|world, _| verbs::edit(world, &more)).unwrap();
    grown(&mut scene);
    let (made, copies) = (scene.status().unwrap().members_made, scene.in_sync().len());
    scene.demand((made, copies) == (4, 3), &format!("{made} copies were made, {copies} are there"));
    is_written_to_the_end(&mut scene);
}

fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

/// A missed copy is waited for; one that was lost in between is filled anew, since what it knows is a smaller array.
#[test]
fn it_grows_only_when_every_copy_is_there() {
    let mut scene = Scene::new(47);
    scene.create(&CreateVolume { placement: vec![at(1), at(2)], ..wish(2) });
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.cluster.set_link(&node(1), &node(2), false);
    scene.until(60_000, "the copy is missed", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 1)
    });
    request(&mut scene, NewSize::Of(LARGER));
    scene.write_for(30_000);
    let status = scene.status().unwrap();
    scene.demand(status.size == Some(Bytes::gib(1)), "it has not grown");
    scene.demand(status.reasons.iter().any(|reason| reason.code == "CopyNotInSync"), "it says why");
    scene.cluster.set_link(&node(1), &node(2), true);
    grown(&mut scene);
    is_written_to_the_end(&mut scene);
}

#[test]
fn a_volume_is_never_made_smaller() {
    let mut scene = Scene::new(48);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_a_little();
    let smaller = verbs::grow(scene.cluster.world(), &name(), NewSize::Of(Bytes::mib(512))).unwrap_err();
    scene.demand(smaller.message.contains("cannot be made smaller"), &smaller.to_string());
    let same = verbs::grow(scene.cluster.world(), &name(), NewSize::Of(Bytes::gib(1))).unwrap();
    scene.demand(same.writes.is_empty() && same.chosen[0].contains("already"), "the same size is already so");
    edit_record(&mut scene, |spec| spec.size = Bytes::mib(512));
    scene.write_for(5_000);
    let status = scene.status().unwrap();
    scene.demand(status.size == Some(Bytes::gib(1)), "it is as large as before");
    scene.demand(status.reasons.iter().any(|reason| reason.code == "ShrinkRefused"), "it says why");
}

/// A growth with a death in it, and then a life on another node to the volume's end. Returns how many moments there were to die at.
fn grows(scene: &mut Scene, then: u8, crash: Option<Crash>) -> usize {
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    request(scene, NewSize::Of(LARGER));
    grown(scene);
    let moments = scene.cluster.counted() - base;
    scene.until(120_000, "mounted", is_mounted);
    is_written_to_the_end(scene);
    scene.detach();
    scene.attach(then);
    scene.write_a_little();
    scene.whole();
    scene.detach();
    // Whoever lies beside it goes with it.
    let all: Vec<VolumeName> = scene.cluster.world().volumes().map(|volume| volume.spec.name).collect();
    for one in all {
        scene.cluster.request(|world, _| verbs::delete(world, &one)).unwrap();
    }
    scene.gone();
    moments
}

fn growth(seed: u64, replicas: u32, crash: Option<Crash>) -> usize {
    let mut scene = Scene::new(seed);
    scene.create(&wish(replicas));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    grows(&mut scene, 2, crash)
}

#[test]
fn a_growth_survives_every_death() {
    let lives = [(51, 1), (52, 2), (53, 2)];
    let of_life = |(seed, replicas)| {
        let life = move |crash| growth(seed, replicas, crash);
        let fatal = every_death(&[1, 2, 3]).into_iter().flat_map(move |death| fatal(death, life));
        fatal.map(move |what| format!("{what}, {replicas} replicas, seed {seed}"))
    };
    let failed: Vec<String> = lives.into_iter().flat_map(of_life).collect();
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

/// A copy that has no room moves first: within its node, else to another one; who dies on the way holds it up, no more.
#[test]
fn a_growth_that_moves_first_survives_every_death() {
    let of_life = |drives| {
        // Where it has a copy: node-2 has no room for another one.
        let then = if drives == 2 { 2 } else { 3 };
        let life = move |crash| grows(&mut with_a_neighbour(drives), then, crash);
        let fatal = every_death(&[1, 2, 3]).into_iter().flat_map(move |death| fatal(death, life));
        fatal.map(move |what| format!("{what}, {drives} drives"))
    };
    let failed: Vec<String> = [1, 2].into_iter().flat_map(of_life).collect();
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

/// The provider makes a copy longer and hears in the same moment that it is not wanted any more: all of it is erased.
#[test]
fn a_copy_that_is_dropped_while_it_grows_is_erased_whole() {
    for millis in (0..200).step_by(10) {
        let mut scene = Scene::new(97);
        scene.create(&CreateVolume { stripe_width: 2, ..wish(1) });
        scene.attach(1);
        scene.write_for(500);
        let (from, to) = scene.a_move();
        scene.request_move(from, to);
        scene.until(120_000, "the old copy leaves", |cluster| {
            let members = cluster.world().volume_status(&name()).map(|status| status.members.clone());
            members.unwrap_or_default().iter().any(|member| member.state == MemberState::Leaving)
        });
        scene.cluster.run_for(millis);
        request(&mut scene, NewSize::Of(LARGER));
        grown(&mut scene);
    }
}
