//! Daemons hear each other: who is gone is let go fast, who is only silent is not, and nobody is deposed who is heard.

use super::support::{Scene, is_mounted, name, node, wish};

/// Two copies, one on node-1, which writes; and the node of the other one.
fn served(seed: u64) -> (Scene, u8) {
    let mut scene = Scene::new(seed);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.write_for(1_000);
    let other = (2..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_some()).unwrap();
    (scene, other)
}

/// The longest time without an acknowledged write in the next `millis`.
fn longest_stall(scene: &mut Scene, millis: u64) -> u64 {
    let end = scene.cluster.now().0 + millis;
    let (mut acks, mut since, mut longest) = (scene.cluster.acks(&name()), scene.cluster.now().0, 0);
    while scene.cluster.now().0 < end {
        scene.cluster.tick();
        let now = scene.cluster.now().0;
        longest = longest.max(now - since);
        if scene.cluster.acks(&name()) != acks {
            (acks, since) = (scene.cluster.acks(&name()), now);
        }
    }
    longest
}

fn losses(scene: &Scene) -> usize {
    let events = &scene.status().unwrap().events;
    events.iter().filter(|event| event.reason == "MemberMissing").count()
}

#[test]
fn a_provider_that_loses_power_holds_writes_up_for_a_moment() {
    for seed in 0..8 {
        let (mut scene, other) = served(300 + seed);
        scene.cluster.power_cut(&node(other), None);
        let stall = longest_stall(&mut scene, 20_000);
        scene.demand(stall <= 1_200, &format!("writes go on after a moment, not {stall} ms"));
        scene.demand(losses(&scene) == 1, "one loss is recorded");
        scene.cluster.power_on(&node(other));
        scene.whole();
    }
}

#[test]
fn a_provider_that_says_goodbye_is_let_go_before_it_goes() {
    for seed in 0..8 {
        let (mut scene, other) = served(310 + seed);
        scene.cluster.say_goodbye(&node(other));
        let told = longest_stall(&mut scene, 1_000);
        scene.cluster.power_cut(&node(other), None);
        let gone = longest_stall(&mut scene, 20_000);
        scene.demand(told.max(gone) <= 300, &format!("no write waits: {told} ms, then {gone} ms"));
        scene.cluster.power_on(&node(other));
        scene.whole();
    }
}

#[test]
fn a_short_cut_costs_nothing() {
    for seed in 0..8 {
        let (mut scene, other) = served(320 + seed);
        scene.cluster.set_link(&node(1), &node(other), false);
        scene.cluster.run_for(300);
        scene.cluster.set_link(&node(1), &node(other), true);
        scene.write_for(3_000);
        scene.demand(losses(&scene) == 0, "nobody was let go");
    }
}

#[test]
fn a_daemon_that_is_away_costs_nobody_a_leg() {
    for seed in 0..8 {
        let (mut scene, other) = served(330 + seed);
        scene.cluster.kill_daemon(&node(other), 12_000);
        let stall = longest_stall(&mut scene, 20_000);
        scene.demand(losses(&scene) == 0, "nobody was let go");
        scene.demand(stall <= 200, &format!("no write waits: {stall} ms"));
    }
}

#[test]
fn an_owner_that_is_heard_is_not_deposed_though_the_store_does_not_hear_it() {
    let (mut scene, other) = served(340);
    let epoch = scene.status().unwrap().epoch;
    scene.cluster.set_store(&node(1), false);
    scene.cluster.run_for(2_000);
    scene.request_detach();
    scene.request_attach(other);
    scene.cluster.run_for(60_000);
    scene.demand(scene.status().unwrap().epoch == epoch, "it goes on");
    scene.cluster.set_store(&node(1), true);
    scene.until(120_000, "mounted elsewhere", is_mounted);
}

#[test]
fn an_owner_that_fell_silent_is_deposed_soon() {
    let (mut scene, other) = served(350);
    let epoch = scene.status().unwrap().epoch;
    scene.cluster.power_cut(&node(1), None);
    scene.request_detach();
    scene.request_attach(other);
    scene.until(8_000, "somebody else owns it", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.epoch > epoch)
    });
}
