//! A copy is lost while the store does not answer (R5, `onStoreLoss`).

use mdfabric::domain::OnStoreLoss;
use mdfabric::plan::timing::{STORE_LOST_MILLIS, STORE_TRIES_MILLIS};
use mdfabric::plan::verbs::CreateVolume;
use mdfabric::sim::Config;

use super::support::{Scene, is_mounted, name, node, wish};

/// A volume that is written to on node-1, where one of its two copies is, and the node that has the other one.
fn served(config: Config, on_store_loss: OnStoreLoss) -> (Scene, u8) {
    let mut scene = Scene::with(config);
    scene.create(&CreateVolume { on_store_loss, ..wish(2) });
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    let other = if scene.status().unwrap().member_on(&node(2)).is_some() { 2 } else { 3 };
    (scene, other)
}

fn seeded(seed: u64) -> Config {
    Config { seed, ..Config::default() }
}

fn set_store(scene: &mut Scene, reachable: bool) {
    (1..=3).for_each(|index| scene.cluster.set_store(&node(index), reachable));
}

/// Long enough for an owner that may go on without the store to do so.
const LONG_ENOUGH: u64 = STORE_LOST_MILLIS + STORE_TRIES_MILLIS;

/// Whether writes are acknowledged, some time after the store and a copy were lost.
fn goes_on(scene: &mut Scene) -> bool {
    scene.cluster.run_for(LONG_ENOUGH);
    let before = scene.cluster.acks(&name());
    scene.cluster.run_for(5_000);
    scene.cluster.acks(&name()) > before
}

/// Node-1 alone holds every write that was acknowledged since.
fn went_on_alone(config: Config) -> (Scene, u8) {
    let (mut scene, other) = served(config, OnStoreLoss::Continue);
    set_store(&mut scene, false);
    scene.cluster.set_link(&node(1), &node(other), false);
    let goes_on = goes_on(&mut scene);
    scene.demand(goes_on, "writes go on without the store");
    (scene, other)
}

fn events(scene: &Scene, reason: &str) -> usize {
    scene.status().unwrap().events.iter().filter(|event| event.reason == reason).count()
}

/// Nobody may go on alone: a loss that cannot be recorded holds writes until it can.
pub(crate) fn writes_wait(config: Config) {
    let (mut scene, other) = served(config, OnStoreLoss::Suspend);
    set_store(&mut scene, false);
    scene.write_for(20_000);
    scene.cluster.set_link(&node(1), &node(other), false);
    let goes_on = goes_on(&mut scene);
    scene.demand(!goes_on, "writes wait");
    set_store(&mut scene, true);
    scene.write_a_little();
    scene.cluster.set_link(&node(1), &node(other), true);
    scene.whole();
    scene.demand(events(&scene, "WentOnAlone") == 0, "nobody went on alone");
}

#[test]
fn writes_wait_for_the_store_by_default() {
    (0..4).for_each(|seed| writes_wait(seeded(300 + seed)));
}

/// The owner may go on alone, and does by a note; the record follows.
pub(crate) fn writes_go_on(config: Config) {
    let (mut scene, other) = went_on_alone(config);
    set_store(&mut scene, true);
    scene.until(30_000, "recorded", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 1)
    });
    scene.demand(events(&scene, "WentOnAlone") == 1, "it is told");
    scene.cluster.set_link(&node(1), &node(other), true);
    scene.whole();
    scene.write_a_little();
    scene.quiet_while_writing();
}

#[test]
fn writes_go_on_without_the_store_where_the_user_wants_it_and_the_record_follows() {
    (0..4).for_each(|seed| writes_go_on(seeded(310 + seed)));
}

/// What comes up again counts on the copy that has every write, whatever the record says.
#[test]
fn a_note_outlives_daemon_and_machine() {
    for seed in 0..6 {
        let (mut scene, other) = went_on_alone(seeded(320 + seed));
        if seed % 2 == 0 {
            scene.cluster.kill_daemon(&node(1), 2_000);
        } else {
            scene.cluster.power_cut(&node(1), Some(10_000));
        }
        scene.cluster.set_link(&node(1), &node(other), true);
        set_store(&mut scene, true);
        scene.cluster.run_for(15_000);
        scene.until(60_000, "mounted", is_mounted);
        scene.whole();
        scene.write_a_little();
    }
}

/// The wish for it to be elsewhere was there before the store answered: what it comes to is recorded with the release.
#[test]
fn a_release_records_what_was_done_alone() {
    for seed in 0..4 {
        let (mut scene, other) = went_on_alone(seeded(340 + seed));
        scene.cluster.app(&name()).writing = false;
        scene.request_detach();
        scene.request_attach(other);
        set_store(&mut scene, true);
        scene.until(60_000, "handed over", |cluster| {
            let status = cluster.world().volume_status(&name());
            status.is_some_and(|status| status.owner.as_ref() == Some(&node(other)))
        });
        scene.demand(scene.in_sync().len() == 1, "only the copy that has every write counts");
        scene.cluster.set_link(&node(1), &node(other), true);
        scene.until(120_000, "mounted", is_mounted);
        scene.write_a_little();
        scene.whole();
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}

/// The risk the user took: the volume was attached elsewhere meanwhile. Who went on alone gives way, and nothing of it is
/// mixed in.
#[test]
fn who_went_on_alone_gives_way_to_the_next_owner() {
    for seed in 0..4 {
        let (mut scene, other) = served(seeded(330 + seed), OnStoreLoss::Continue);
        let copy = scene.status().unwrap().member_on(&node(other)).unwrap().replica;
        scene.cluster.set_store(&node(1), false);
        (2..=3).for_each(|index| scene.cluster.set_link(&node(1), &node(index), false));
        let goes_on = goes_on(&mut scene);
        scene.demand(goes_on, "writes go on without the store");
        scene.cluster.app(&name()).writing = false;
        scene.cluster.run_for(2_000);
        scene.cluster.accept_loss(&name(), copy);
        scene.request_detach();
        scene.request_attach(other);
        scene.until(120_000, "mounted elsewhere", is_mounted);
        (2..=3).for_each(|index| scene.cluster.set_link(&node(1), &node(index), true));
        scene.cluster.set_store(&node(1), true);
        scene.whole();
        scene.write_a_little();
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}
