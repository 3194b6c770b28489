//! An owner dies or goes silent: the volume goes on elsewhere, and what comes back is no danger.

use mdfabric::domain::{Force, MemberState, PlacementEntry};
use mdfabric::sim::{Config, News};

use mdfabric::plan::controller::LEASE;
use mdfabric::plan::verbs::{self, CreateVolume, ForceStart};
use mdfabric::ports::Pace;

use super::support::{Scene, is_mounted, name, node, wish};

/// A volume that is written to on node-1, where one of its copies is.
fn served_on_node_1(seed: u64, replicas: u32) -> Scene {
    served(Config { seed, ..Config::default() }, replicas)
}

fn served(config: Config, replicas: u32) -> Scene {
    served_as(config, &wish(replicas))
}

fn served_as(config: Config, wish: &CreateVolume) -> Scene {
    let mut scene = Scene::with(config);
    scene.create(wish);
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.write_for(1_000);
    scene
}

/// The other node with a copy, and the one without.
fn others(scene: &Scene) -> (u8, u8) {
    let holds = |index: &u8| scene.status().unwrap().member_on(&node(*index)).is_some();
    if holds(&2) { (2, 3) } else { (3, 2) }
}

fn fail_over(scene: &mut Scene, to: u8) {
    scene.request_detach();
    scene.request_attach(to);
    scene.until(120_000, "mounted elsewhere", is_mounted);
}

fn joins(scene: &Scene, how: &str) -> usize {
    scene.cluster.steps().iter().filter(|step| step.contains(how)).count()
}

#[test]
fn the_volume_of_a_dead_owner_is_attached_elsewhere_and_its_copy_is_made_anew() {
    for seed in 0..8 {
        let scene = the_owner_dies(Config { seed: 100 + seed, ..Config::default() });
        scene.demand(joins(&scene, "(Bitmap recovery)") == 0, "nothing comes back by bitmap");
    }
}

#[test]
fn where_daemons_spare_the_store_a_dead_owner_is_found_as_well() {
    for seed in 0..4 {
        the_owner_dies(Config { seed: 140 + seed, pace: Pace::SPARING, apart: true, ..Config::default() });
    }
}

pub(crate) fn the_owner_dies(config: Config) -> Scene {
    the_owner_dies_of(config, &wish(2))
}

/// On node-1, which has one of two copies, the owner of a volume loses power and comes back later.
pub(crate) fn the_owner_dies_of(config: Config, volume: &CreateVolume) -> Scene {
    let (seed, sabotaged) = (config.seed, config.sabotage.is_some());
    let mut scene = served_as(config, volume);
    let (with, without) = others(&scene);
    scene.cluster.power_cut(&node(1), None);
    scene.cluster.app(&name()).writing = true;
    fail_over(&mut scene, if seed % 2 == 0 { with } else { without });
    let status = scene.status().unwrap();
    let lost = status.member_on(&node(1)).cloned();
    scene.demand(
        sabotaged || lost.is_some_and(|member| member.state == MemberState::Missing && member.diverged),
        "the dead owner's copy is Missing and may have diverged",
    );
    scene.write_a_little();
    scene.cluster.power_on(&node(1));
    scene.whole();
    scene.write_a_little();
    scene.demand(
        sabotaged || scene.status().unwrap().members.iter().all(|member| !member.diverged),
        "nothing is diverged any more",
    );
    scene.detach();
    scene.request_delete();
    scene.gone();
    scene
}

#[test]
fn a_host_that_is_shut_down_without_its_daemon_writes_nothing_that_stays() {
    for seed in 0..4 {
        the_host_is_shut_down(Config { seed: 240 + seed, ..Config::default() });
    }
}

/// node-1 is heard by the others, or not.
fn set_links(scene: &mut Scene, up: bool) {
    for other in [2, 3] {
        scene.cluster.set_link(&node(1), &node(other), up);
    }
}

/// node-1 was deposed while it was cut off, and its host is shut down by somebody who does not know of that: the
/// file system writes once more, to its own copy alone, and no bitmap but that one's tells of it.
pub(crate) fn the_host_is_shut_down(config: Config) {
    let mut scene = served(config, 2);
    let to = others(&scene).0;
    scene.cluster.set_store(&node(1), false);
    set_links(&mut scene, false);
    scene.request_detach();
    scene.request_attach(to);
    scene.until(120_000, "mounted elsewhere", is_mounted);
    scene.cluster.shut_down_host(&node(1), 2_000);
    scene.cluster.set_store(&node(1), true);
    set_links(&mut scene, true);
    scene.whole();
    scene.write_a_little();
    scene.detach();
    scene.request_delete();
    scene.gone();
}

#[test]
fn processes_that_nobody_told_can_write_nothing_that_counts() {
    for seed in 0..12 {
        the_processes_live_on(Config { seed: 200 + seed, ..Config::default() });
    }
}

/// The owner, node-1, is cut off, from the store longest: its processes live on after the volume is attached
/// elsewhere, or leave a file system that has something to write. What they had acknowledged is there, what they write now is
/// not acknowledged. They are ended, or hear that they shall, when the store is there again.
pub(crate) fn the_processes_live_on(config: Config) {
    let seed = config.seed;
    let copies = 1 + u32::try_from(seed % 3).unwrap();
    let mut scene = served(config, copies);
    scene.cluster.app(&name()).writing = seed % 4 != 1;
    let to = others(&scene).0;
    scene.cluster.run_for(seed % 7 * 100);
    scene.cluster.set_store(&node(1), false);
    scene.cluster.run_for(seed % 7 * 100);
    set_links(&mut scene, false);
    scene.request_detach();
    scene.request_attach(to);
    scene.cluster.run_for(100);
    scene.cluster.app(&name()).writing = seed.is_multiple_of(2);
    if copies > 1 {
        scene.until(120_000, "mounted elsewhere", is_mounted);
    } else {
        // Its only copy is out of reach.
        scene.cluster.run_for(20_000);
    }
    set_links(&mut scene, !seed.is_multiple_of(5));
    scene.cluster.run_for(2_000);
    scene.cluster.set_store(&node(1), true);
    set_links(&mut scene, true);
    scene.cluster.run_for(20_000);
    scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    scene.whole();
    scene.write_a_little();
    scene.whole();
    scene.detach();
    scene.request_delete();
    scene.gone();
}

#[test]
fn the_only_copy_of_a_dead_owner_is_waited_for() {
    let mut scene = served_on_node_1(110, 1);
    scene.cluster.power_cut(&node(1), None);
    scene.request_detach();
    scene.request_attach(2);
    scene.cluster.run_for(60_000);
    let status = scene.status().unwrap();
    scene.demand(status.owner == Some(node(2)) && status.in_sync.len() == 1, "node-2 owns it and waits");
    scene.demand(status.reasons.iter().any(|reason| reason.message.contains("node-1")), "it says for whom");
    scene.cluster.power_on(&node(1));
    scene.until(120_000, "mounted elsewhere", is_mounted);
    scene.write_a_little();
    scene.whole();
}

fn orders_told(scene: &Scene) -> usize {
    let events = &scene.status().unwrap().events;
    events.iter().filter(|event| event.message.contains("by order of uid 0")).count()
}

/// The last resort: the copy that was lost first, while the one that went on without it is dead. What was acknowledged in
/// between is lost, by order; nothing of it is ever mixed in again.
#[test]
fn a_volume_is_started_from_an_older_copy_by_order_and_on_record() {
    for seed in 0..4 {
        let mut scene = served_on_node_1(130 + seed, 2);
        let (older, _) = others(&scene);
        let copy = scene.status().unwrap().member_on(&node(older)).unwrap().replica;
        let wish = |accept_data_loss| ForceStart {
            name: name(),
            from: node(older).to_string(),
            accept_data_loss,
            by: "uid 0".to_owned(),
        };
        let force = |scene: &mut Scene, accept| {
            scene.cluster.request(|world, now| verbs::force_start(world, &wish(accept), now))
        };
        scene.cluster.power_cut(&node(older), Some(40_000));
        scene.until(30_000, "lost", |cluster| {
            cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 1)
        });
        scene.write_for(5_000);
        let running = force(&mut scene, true).unwrap_err();
        scene.demand(running.message.contains("is running on node-1"), &running.message);
        scene.cluster.power_cut(&node(1), None);
        scene.request_detach();
        scene.request_attach(older);
        scene.until(180_000, "it says that nobody is there", |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            status.reasons.iter().any(|reason| reason.code == "NoInSyncCopyReachable")
        });
        let lost = force(&mut scene, false).unwrap_err();
        let said = [
            "left the in-sync set",
            "written since then is lost",
            "node-1 holds every write and is overwritten",
        ];
        scene.demand(said.iter().all(|words| lost.message.contains(words)), &lost.message);
        scene.cluster.accept_loss(&name(), copy);
        force(&mut scene, true).unwrap();
        let (asked, epoch) = (scene.cluster.now(), scene.status().unwrap().epoch);
        let wanted = Force { replica: copy, epoch, by: "uid 0".to_owned(), at: asked };
        let recorded = scene.cluster.world().volume_spec(&name()).unwrap().forced.clone();
        scene.demand(recorded == Some(wanted), "what was ordered by whom, and when, is on record");
        scene.until(60_000, "mounted", is_mounted);
        let told = scene.status().unwrap().events.iter().find(|event| event.reason == "ForceStarted");
        let since = asked..scene.cluster.now();
        scene.demand(told.is_some_and(|event| since.contains(&event.at)), "and when it was carried out");
        scene.write_a_little();
        scene.cluster.power_on(&node(1));
        scene.whole();
        let by_bitmap = scene.cluster.steps().iter().rev().find(|step| step.contains("add ")).cloned();
        scene.demand(
            by_bitmap.is_some_and(|step| step.contains("(Full recovery)")),
            "the newer copy is made anew",
        );
        scene.demand(orders_told(&scene) == 1, "who ordered it is on record");
        scene.cluster.power_cut(&node(older), Some(20_000));
        scene.until(60_000, "gone", |cluster| !is_mounted(cluster));
        scene.until(120_000, "mounted again", is_mounted);
        scene.whole();
        scene.demand(orders_told(&scene) == 1, "the order has no life after the start it was for");
    }
}

#[test]
fn the_volume_of_a_dead_owner_can_be_detached_and_deleted() {
    let mut scene = served_on_node_1(120, 2);
    scene.cluster.power_cut(&node(1), None);
    scene.request_detach();
    scene.until(60_000, "detached", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.request_delete();
    scene.cluster.run_for(30_000);
    scene.demand(
        scene.cluster.world().volume_spec(&name()).is_some(),
        "a copy that nobody erased yet keeps the volume's record",
    );
    scene.cluster.power_on(&node(1));
    scene.gone();
}

/// The third copy is dead like the owner, or dies before it has acknowledged the new one.
#[test]
fn copies_that_do_not_answer_the_new_owner_are_made_anew_too() {
    for between in [0, 10_000] {
        let mut scene = served_on_node_1(130, 3);
        scene.cluster.power_cut(&node(1), None);
        scene.cluster.run_for(between);
        scene.cluster.power_cut(&node(3), None);
        scene.cluster.app(&name()).writing = true;
        fail_over(&mut scene, 2);
        scene.write_a_little();
        scene.cluster.power_on(&node(3));
        scene.cluster.power_on(&node(1));
        scene.whole();
        scene.demand(joins(&scene, "(Bitmap recovery)") == 0, "nothing comes back by bitmap");
    }
}

#[test]
fn an_owner_that_returns_before_anybody_else_was_asked_goes_on() {
    let mut scene = served_on_node_1(140, 2);
    let epoch = scene.status().unwrap().epoch;
    scene.cluster.power_cut(&node(1), Some(40_000));
    scene.cluster.run_for(41_000);
    scene.write_a_little();
    scene.demand(scene.status().unwrap().epoch == epoch, "the same ownership");
    scene.whole();
}

#[test]
fn a_store_that_is_away_for_a_minute_makes_nobody_dead() {
    (150..158).for_each(store_is_away);
}

fn store_is_away(seed: u64) {
    let mut scene = served_on_node_1(seed, 2);
    let epoch = scene.status().unwrap().epoch;
    (1..=3).for_each(|index| scene.cluster.set_store(&node(index), false));
    scene.write_for(60_000);
    scene.request_detach();
    scene.request_attach(2);
    // Everybody hears of the wish at the same moment; whoever took the silence for death would take the volume over.
    (1..=3).for_each(|index| scene.cluster.set_store(&node(index), true));
    scene.until(60_000, "handed over", is_mounted);
    let status = scene.status().unwrap();
    scene.demand(status.epoch == epoch.next() && !status.taken_over, "released, not taken over");
    scene.demand(
        !status.events.iter().any(|event| event.reason == "OwnerLost"),
        "no owner was taken for dead",
    );
}

/// What it writes is taken, and others hear of it: its watch of nodes alone is broken, or all of them are.
#[test]
fn who_leads_and_hears_nothing_of_nodes_takes_nobody_for_dead() {
    for seed in 170..174 {
        hears_nothing_of_nodes(seed, News::NotOfNodes);
        hears_nothing_of_nodes(seed, News::Never);
    }
}

fn hears_nothing_of_nodes(seed: u64, news: News) {
    let (pace, nodes) = (Pace::SPARING, 4);
    let mut scene = Scene::with(Config { seed, nodes, pace, apart: true, late: true, ..Config::default() });
    let leader = scene.cluster.world().lease(LEASE).unwrap().holder.clone();
    let others: Vec<u8> = (1..=nodes).filter(|index| node(*index) != leader).take(2).collect();
    let placement = others.iter().map(|index| PlacementEntry { node: node(*index), drive: None }).collect();
    scene.create(&CreateVolume { placement, ..wish(2) });
    scene.attach(others[0]);
    scene.whole();
    scene.cluster.set_news(&leader, news);
    scene.write_for(60_000);
    // Whoever takes its owner for dead takes the volume from it while it cannot release it.
    scene.cluster.kill_daemon(&node(others[0]), 3_000);
    scene.detach();
    let status = scene.status().unwrap();
    scene.demand(
        !status.taken_over && !status.events.iter().any(|event| event.reason == "OwnerLost"),
        "no owner was taken for dead",
    );
    scene.demand(status.in_sync.len() == 2, "no copy was dropped");
}

/// The owner loses power at every step of its volume's life and does not come back until somebody else has the volume.
#[test]
fn an_owner_may_die_at_any_step() {
    let mut failed = Vec::new();
    let moments = owner_dies_at(None);
    for at in (0..moments).step_by(3) {
        if std::panic::catch_unwind(|| owner_dies_at(Some(at))).is_err() {
            failed.push(at);
        }
    }
    assert!(failed.is_empty(), "of {moments} moments these fail: {failed:?}");
}

/// Returns how many moments there were.
fn owner_dies_at(at: Option<usize>) -> usize {
    let mut scene = Scene::new(160);
    scene.create(&wish(2));
    scene.cluster.app(&name()).writing = true;
    let base = scene.cluster.counted();
    scene.request_attach(1);
    let dies = |scene: &Scene| at.is_some_and(|at| scene.cluster.counted() - base >= at);
    for _ in 0..600 {
        if dies(&scene) {
            break;
        }
        scene.cluster.tick();
    }
    let moments = scene.cluster.counted() - base;
    scene.cluster.power_cut(&node(1), None);
    let to = others(&scene).0;
    fail_over(&mut scene, to);
    scene.write_a_little();
    scene.cluster.power_on(&node(1));
    scene.whole();
    scene.detach();
    moments
}
