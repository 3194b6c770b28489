//! More copies and fewer, under load, with a death at every step.

use mdfabric::domain::{Event, MemberState, PlacementEntry, VolumePhase, VolumeSpec};
use mdfabric::plan::verbs::{self, Cordon, EditVolume, Refusal};
use mdfabric::sim::{Cluster, Config, Crash, CrashWhen};

use super::support::{Scene, edit_record, is_whole, name, node, wish};

pub(crate) fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

pub(crate) fn add(index: u8) -> EditVolume {
    EditVolume { add: vec![at(index)], ..EditVolume::new(name()) }
}

pub(crate) fn remove(index: u8) -> EditVolume {
    EditVolume { remove: vec![at(index)], ..EditVolume::new(name()) }
}

pub(crate) fn number(replicas: u32) -> EditVolume {
    EditVolume { replicas: Some(replicas), ..EditVolume::new(name()) }
}

fn request(scene: &mut Scene, wish: &EditVolume) -> Result<(), Refusal> {
    scene.cluster.request(|world, _| verbs::edit(world, wish))
}

/// Asks, and waits until it is so.
pub(crate) fn scale(scene: &mut Scene, wish: &EditVolume) {
    request(scene, wish).unwrap();
    whole(scene);
}

fn whole(scene: &mut Scene) {
    scene.until(240_000, "as many copies as asked for", is_whole);
}

pub(crate) fn homes(scene: &Scene) -> Vec<String> {
    let mut homes: Vec<String> =
        scene.status().unwrap().members.iter().map(|member| member.node.to_string()).collect();
    homes.sort();
    homes
}

fn events(scene: &Scene, reason: &str) -> Vec<String> {
    let of_reason = |event: &&Event| event.reason == reason;
    let events = scene.status().unwrap().events.iter().filter(of_reason);
    events.map(|event| event.message.clone()).collect()
}

const SCALING: &str = "ScalingVolumeReplicas";

/// What is said of 1 -> 2 -> 3 -> 2 -> 1, each of it once.
const SAID: [&str; 6] = [
    "successfully scaled volume replicas to 2",
    "successfully scaled volume replicas to 3",
    "Scaling down volume replicas from 3 to 2 is in progress",
    "successfully scaled volume replicas to 2",
    "Scaling down volume replicas from 2 to 1 is in progress",
    "successfully scaled volume replicas to 1",
];

/// A one-copy volume of node-1, attached there.
fn one_copy(seed: u64, nodes: u8) -> Scene {
    one_copy_on(Config { seed, nodes, ..Config::default() })
}

fn one_copy_on(config: Config) -> Scene {
    let mut scene = Scene::with(config);
    scene.create(&verbs::CreateVolume { placement: vec![at(1)], ..wish(1) });
    scene.attach(1);
    scene.write_a_little();
    scene
}

#[test]
fn one_two_three_two_one_under_load() {
    let mut scene = one_copy(21, 3);
    scene.phases.clear();
    scale(&mut scene, &add(2));
    scene.write_for(1_000);
    scale(&mut scene, &number(3));
    scene.demand(homes(&scene) == ["node-1", "node-2", "node-3"], "a copy on each node");
    scene.write_for(1_000);
    scale(&mut scene, &remove(3));
    scene.write_for(1_000);
    scale(&mut scene, &number(1));
    scene.demand(homes(&scene) == ["node-1"], "the copy of the owner stays");
    scene.write_for(1_000);
    let said = events(&scene, SCALING);
    scene.demand(said == SAID, &format!("{said:#?}"));
    let [up, down] = [VolumePhase::Syncing, VolumePhase::Replacing];
    let walk = [up, VolumePhase::Synced, up, VolumePhase::Synced, down, VolumePhase::Synced, down];
    scene.demand(
        scene.phases.iter().skip_while(|phase| **phase == VolumePhase::Synced).take(7).eq(&walk),
        &format!("phases {:?}", scene.phases),
    );
    let stall = scene.cluster.app(&name()).longest_stall;
    scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
    scene.quiet_while_writing();
}

/// Down is begun and ended in one look: what was said stands in the record.
#[test]
fn two_at_once_are_said_once() {
    let mut scene = one_copy(22, 3);
    scale(&mut scene, &number(3));
    scale(&mut scene, &number(1));
    let said = events(&scene, SCALING);
    let wanted = [
        "successfully scaled volume replicas to 3",
        "Scaling down volume replicas from 3 to 1 is in progress",
        "successfully scaled volume replicas to 1",
    ];
    scene.demand(said == wanted, &format!("{said:#?}"));
}

#[test]
fn a_detached_volume_is_scaled_too() {
    let mut scene = one_copy(23, 3);
    scene.detach();
    scale(&mut scene, &number(3));
    scale(&mut scene, &number(2));
    scene.until(60_000, "nobody owns it any more", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.quiet();
    scene.attach(2);
    scene.write_for(1_000);
}

/// Four slots: three copies and the one that joins.
#[test]
fn one_of_three_copies_moves_under_load() {
    let mut scene = one_copy(24, 4);
    scale(&mut scene, &number(3));
    let free = (1..=4).find(|index| !homes(&scene).contains(&node(*index).to_string())).unwrap();
    let from = if free == 2 { 3 } else { 2 };
    let before = scene.cluster.trace().len();
    scene.request_move(from, free);
    scene.moved(from, free);
    let slots: Vec<&String> =
        scene.cluster.trace()[before..].iter().filter(|line| line.contains("slots")).collect();
    scene.demand(slots.len() == 2, &format!("to four slots and back: {slots:?}"));
    scene.write_for(1_000);
    scene.whole();
}

/// The whole way under load, with at most one death in it. Returns how many moments there were to die at.
fn way(seed: u64, crash: Option<Crash>) -> usize {
    let mut scene = one_copy(seed, 4);
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    let mut most: Vec<String> = Vec::new();
    for wish in [add(2), number(3)] {
        scale(&mut scene, &wish);
        scene.write_a_little();
    }
    said_so_far(&scene, &mut most);
    let free = if homes(&scene).contains(&"node-3".to_owned()) { 4 } else { 3 };
    scene.request_move(2, free);
    scene.moved(2, free);
    for wish in [number(2), number(1)] {
        scale(&mut scene, &wish);
        scene.write_a_little();
        said_so_far(&scene, &mut most);
    }
    let moments = scene.cluster.counted() - base;
    scene.demand(most == SAID, &format!("{most:#?}"));
    scene.detach();
    scene.request_delete();
    scene.gone();
    moments
}

/// Only the last events are kept: what is said is collected from time to time.
fn said_so_far(scene: &Scene, all: &mut Vec<String>) {
    let now = events(scene, SCALING);
    let known = (0..=now.len().min(all.len())).rev().find(|count| all.ends_with(&now[..*count])).unwrap_or(0);
    all.extend(now[known..].iter().cloned());
}

fn deaths(when: CrashWhen, down: u64) {
    let seed = 25;
    let mut failed = Vec::new();
    for at in 0..way(seed, None) {
        for victim in [None, Some(node(1)), Some(node(2)), Some(node(3))] {
            if victim.is_none() || when == CrashWhen::PowerCut && at % 3 == 0 {
                let what = format!("{when:?} at step {at} of {victim:?}, seed {seed}");
                let crash = Crash { at, when, node: victim, down };
                if std::panic::catch_unwind(|| way(seed, Some(crash))).is_err() {
                    failed.push(what);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

#[test]
fn scaling_survives_a_daemon_crash_before_any_step() {
    deaths(CrashWhen::BeforeEffect, 300);
}

#[test]
fn scaling_survives_a_daemon_crash_after_any_step() {
    deaths(CrashWhen::AfterEffect, 300);
}

#[test]
fn scaling_survives_a_power_cut_at_any_step() {
    deaths(CrashWhen::PowerCut, 3_000);
}

/// Whoever writes the record: a list, a number, or both, and no new generation.
#[test]
fn an_edit_of_the_record_itself_is_carried_out() {
    let mut scene = one_copy(26, 4);
    let wanted = |scene: &mut Scene, nodes: &[&str]| {
        let count = nodes.len();
        scene.until(240_000, "taken up", |cluster| {
            let world = cluster.world();
            let status = world.volume_status(&name()).unwrap();
            status.has_taken_up(world.volume_spec(&name()).unwrap())
        });
        whole(scene);
        scene.demand(homes(scene) == nodes, &format!("{count} copies: {:?}", homes(scene)));
    };
    edit_record(&mut scene, |spec| spec.placement.entries.push(at(3)));
    wanted(&mut scene, &["node-1", "node-3"]);
    edit_record(&mut scene, |spec| spec.placement.entries.push(at(2)));
    wanted(&mut scene, &["node-1", "node-2", "node-3"]);
    edit_record(&mut scene, |spec| spec.placement.entries = vec![at(1), at(2), at(4)]);
    wanted(&mut scene, &["node-1", "node-2", "node-4"]);
    edit_record(&mut scene, |spec| spec.placement.entries = vec![at(1), at(4)]);
    wanted(&mut scene, &["node-1", "node-4"]);
    edit_record(&mut scene, |spec| spec.replicas = 2);
    wanted(&mut scene, &["node-1", "node-4"]);
    edit_record(&mut scene, |spec| spec.replicas = 1);
    wanted(&mut scene, &["node-1"]);
    scene.write_for(500);
}

#[test]
fn an_edit_of_the_record_that_cannot_be_changes_nothing_and_says_why() {
    let mut scene = one_copy(27, 3);
    let impossible: [fn(&mut VolumeSpec); 5] = [
        |spec| spec.replicas = 0,
        |spec| spec.replicas = 200,
        |spec| spec.placement.entries = vec![at(1), at(1)],
        |spec| spec.placement.entries = vec![at(1), at(2), at(3), at(4)],
        |spec| {
            spec.replicas = 2;
            spec.placement.entries = vec![at(1), at(2), at(3)];
        },
    ];
    let before = scene.cluster.world().volume_spec(&name()).unwrap().clone();
    for edit in impossible {
        edit_record(&mut scene, edit);
        scene.until(10_000, "it is said", |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            status.reasons.iter().any(|reason| reason.code == "PlacementImpossible")
        });
        scene.write_for(500);
        scene.demand(homes(&scene) == ["node-1"], "nothing is changed");
        edit_record(&mut scene, |spec| *spec = before.clone());
        whole(&mut scene);
    }
}

/// The machine itself lets no copy go while one that stays is not in sync, whatever the record says.
#[test]
fn fewer_copies_wait_until_every_other_one_is_in_sync() {
    let mut scene = one_copy(28, 3);
    scale(&mut scene, &number(3));
    scene.cluster.power_cut(&node(3), None);
    scene.until(60_000, "node-3 is missed", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 2)
    });
    let refusal = request(&mut scene, &remove(2)).unwrap_err();
    assert!(refusal.message.contains("node-3") && refusal.message.contains("not in sync"), "{refusal}");
    edit_record(&mut scene, |spec| {
        spec.placement.entries = vec![at(1), at(3)];
        spec.replicas = 2;
    });
    scene.cluster.run_for(30_000);
    let both = scene.status().unwrap().clone();
    scene.demand(both.in_sync.len() == 2, "both good copies are kept");
    let waits =
        both.reasons.iter().any(|reason| reason.code == "CopyNotInSync" && reason.message.contains("node-3"));
    scene.demand(waits, &format!("{:?}", both.reasons));
    scene.demand(events(&scene, SCALING).len() == 1, "nothing is in progress");
    scene.cluster.power_on(&node(3));
    scene.until(240_000, "the third is back and the second gone", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.copies(cluster.world().volume_spec(&name()).unwrap()) == 2 && is_whole(cluster)
    });
    scene.demand(homes(&scene) == ["node-1", "node-3"], "the list is what counts");
}

/// A copy is lost about when another one is to go: the one that is left stays, whatever was asked for.
#[test]
fn the_last_good_copy_is_never_dropped() {
    for seed in 30..50 {
        let mut scene = one_copy(seed, 3);
        scale(&mut scene, &add(2));
        scene.cluster.set_link(&node(1), &node(2), false);
        // From when on node-2 is known to be out of reach.
        scene.cluster.run_for(600 + (seed - 30) * 50);
        // Before the loss is recorded the verb cannot know of it; the machine does.
        drop(request(&mut scene, &remove(1)));
        for _ in 0..1_000 {
            scene.cluster.tick();
            let local = scene.status().unwrap().member_on(&node(1)).unwrap().clone();
            let kept = scene.in_sync().contains(&local.replica) && local.state != MemberState::Leaving;
            scene.demand(kept, "nobody else is reachable: it stays");
        }
        scene.cluster.set_link(&node(1), &node(2), true);
        whole(&mut scene);
        scene.write_for(500);
    }
}

/// What is being built can be taken back, even if its node is gone for good.
#[test]
fn a_copy_that_is_being_built_is_taken_back() {
    for dead in [false, true] {
        let mut scene = one_copy(51, 3);
        scale(&mut scene, &add(2));
        if dead {
            scene.cluster.power_cut(&node(3), None);
        }
        request(&mut scene, &add(3)).unwrap();
        let far_enough = if dead { MemberState::Joining } else { MemberState::Syncing };
        scene.until(60_000, "it joins", |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            status.member_on(&node(3)).is_some_and(|member| member.state == far_enough)
        });
        assert!(request(&mut scene, &remove(2)).is_err(), "one change at a time");
        request(&mut scene, &remove(3)).unwrap();
        scene.until(60_000, "it is taken back", |cluster| {
            let world = cluster.world();
            let status = world.volume_status(&name()).unwrap();
            status.is_placed(world.volume_spec(&name()).unwrap()) && status.phase == VolumePhase::Synced
        });
        scene.demand(scene.in_sync().len() == 2, "the others are as they were");
        if dead {
            scene.demand(homes(&scene).len() == 3, "it is to be erased when its node is back");
            scene.cluster.power_on(&node(3));
        }
        whole(&mut scene);
        scale(&mut scene, &add(3));
    }
}

/// The owner's own copy finds no place: what the user asks for is carried out all the same, and the copy follows once there is room.
#[test]
fn an_edit_does_not_wait_for_the_owners_own_copy() {
    let mut scene = one_copy(61, 4);
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(3), Cordon::On)).unwrap();
    scene.detach();
    scene.attach(3);
    let waits = |cluster: &Cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.follow_owner && status.reasons.iter().any(|reason| reason.code == "NoPlace")
    };
    scene.until(30_000, "the owner's own copy finds no place", waits);
    request(&mut scene, &add(2)).unwrap();
    scene.until(120_000, "there are two copies", |cluster| {
        let world = cluster.world();
        let status = world.volume_status(&name()).unwrap();
        status.is_placed(world.volume_spec(&name()).unwrap()) && status.in_sync.len() == 2
    });
    scene.demand(homes(&scene) == ["node-1", "node-2"], "as asked for");
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(3), Cordon::Off)).unwrap();
    whole(&mut scene);
    scene.demand(homes(&scene).contains(&"node-3".to_owned()), "and one follows");
    scene.write_a_little();
}

/// The owner dies in the middle: the next one reads what was taken up, ends it, and says so once.
#[test]
fn the_next_owner_ends_what_a_dead_one_began() {
    for down in [false, true] {
        let mut scene = one_copy(60, 3);
        scale(&mut scene, &add(2));
        if down {
            scale(&mut scene, &add(3));
        }
        request(&mut scene, &if down { remove(3) } else { add(3) }).unwrap();
        let middle = if down { MemberState::Leaving } else { MemberState::Syncing };
        scene.until(60_000, "it is in the middle", |cluster| {
            let member = cluster.world().volume_status(&name()).unwrap().member_on(&node(3)).cloned();
            member.is_some_and(|member| member.state == middle)
        });
        scene.cluster.power_cut(&node(1), None);
        scene.request_detach();
        scene.request_attach(2);
        scene.until(120_000, "attached elsewhere", super::support::is_mounted);
        scene.write_a_little();
        scene.cluster.power_on(&node(1));
        whole(&mut scene);
        let said = events(&scene, SCALING);
        let wanted = if down { &SAID[..4] } else { &SAID[..2] };
        scene.demand(said == wanted, &format!("{said:#?}"));
        let nodes: &[&str] = if down { &["node-1", "node-2"] } else { &["node-1", "node-2", "node-3"] };
        scene.demand(homes(&scene) == nodes, "as asked for");
    }
}

/// A copy whose node does not come back is dropped, and its place can be given to another node.
#[test]
fn a_copy_of_a_dead_node_is_dropped_without_it() {
    let mut scene = one_copy(52, 4);
    scale(&mut scene, &add(2));
    scale(&mut scene, &add(3));
    scene.cluster.power_cut(&node(3), None);
    scene.until(60_000, "node-3 is missed", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 2)
    });
    request(&mut scene, &number(2)).unwrap();
    let placed = |cluster: &Cluster| {
        let world = cluster.world();
        let status = world.volume_status(&name()).unwrap();
        status.is_placed(world.volume_spec(&name()).unwrap()) && status.phase == VolumePhase::Synced
    };
    scene.until(120_000, "it is dropped", placed);
    let left: Vec<_> = scene.status().unwrap().staying().map(|member| member.node.clone()).collect();
    scene.demand(left == [node(1), node(2)], "the missing one went, not a good one");
    request(&mut scene, &add(4)).unwrap();
    scene.until(120_000, "node-4 has a copy", |cluster| {
        placed(cluster) && cluster.world().volume_status(&name()).unwrap().in_sync.len() == 3
    });
    scene.cluster.power_on(&node(3));
    whole(&mut scene);
    scene.demand(homes(&scene) == ["node-1", "node-2", "node-4"], "node-3 has erased its copy");
}

/// A new copy that differs does not count: nobody is told of three copies, and it can be dropped.
#[test]
fn a_new_copy_that_differs_is_no_copy() {
    let mut scene = one_copy_on(Config { seed: 53, nodes: 3, drives: 1, ..Config::default() });
    scale(&mut scene, &add(2));
    scene.cluster.app(&name()).writing = false;
    request(&mut scene, &add(3)).unwrap();
    let refused = |scene: &Scene| !events(scene, "VerificationFailed").is_empty();
    for _ in 0..50_000 {
        scene.cluster.tick();
        scene.cluster.damage(&node(3));
        if refused(&scene) {
            break;
        }
    }
    scene.cluster.run_for(30_000);
    let said = events(&scene, SCALING);
    let last = said.last().unwrap();
    scene.demand(last == "failed to scale volume replicas to 3: the copy on node-3 is Faulty", last);
    scene.demand(scene.in_sync().len() == 2, "the others count");
    let reasons = &scene.status().unwrap().reasons;
    let told = reasons.iter().any(|reason| reason.message.contains("n3d1: has the copy that goes"));
    scene.demand(told, "no other drive is there to try");
    scale(&mut scene, &remove(3));
    scene.demand(homes(&scene) == ["node-1", "node-2"], "it is gone");
}

/// What `--dry-run` prints is what then happens.
#[test]
fn a_dry_run_of_scaling_says_what_will_be_done() {
    let mut scene = one_copy(54, 3);
    scene.cluster.app(&name()).writing = false;
    scene.cluster.run_for(5_000);
    for wish in [number(3), remove(2), number(1)] {
        let verdict = verbs::edit(scene.cluster.world(), &wish).unwrap();
        let foretold = mdfabric::sim::rehearse(scene.cluster.world(), &verdict.writes);
        let before = scene.cluster.steps().len();
        scale(&mut scene, &wish);
        scene.cluster.run_for(5_000);
        let done = scene.cluster.steps()[before..].to_vec();
        scene.demand(!foretold.is_empty(), "something is foretold");
        let (told, did) = (super::kinds(&foretold), super::kinds(&done));
        scene.demand(told == did, &format!("{foretold:#?}\nbut\n{done:#?}"));
    }
}

/// Its provider carves it and hears in the same moment that it is not wanted any more.
#[test]
fn a_copy_that_is_dropped_while_it_is_made_leaves_nothing() {
    for millis in (0..120).step_by(10) {
        let mut scene = Scene::new(96);
        scene.create(&wish(1));
        scene.attach(1);
        scene.whole();
        let new = (1..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_none()).unwrap();
        request(&mut scene, &add(new)).unwrap();
        scene.cluster.run_for(millis);
        // Refused in the moments in which the number asked for has not been taken up: then it is dropped a little later.
        while request(&mut scene, &remove(new)).is_err() {
            scene.cluster.tick();
        }
        whole(&mut scene);
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}
