//! The machines of `plan/` on a simulated cluster: every verb, every fault between any two steps, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test that cannot go on shall stop"
)]

#[path = "simulation/alone.rs"]
mod alone;
#[path = "simulation/chaos.rs"]
mod chaos;
#[path = "simulation/failover.rs"]
mod failover;
#[path = "simulation/growth.rs"]
mod growth;
#[path = "simulation/healing.rs"]
mod healing;
#[path = "simulation/hung.rs"]
mod hung;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/peers.rs"]
mod peers;
#[path = "simulation/publish.rs"]
mod publish;
#[path = "simulation/queueing.rs"]
mod queueing;
#[path = "simulation/sabotage.rs"]
mod sabotage;
#[path = "simulation/scaling.rs"]
mod scaling;
#[path = "simulation/scrub.rs"]
mod scrub;
#[path = "simulation/stripes.rs"]
mod stripes;
#[path = "simulation/support.rs"]
mod support;
#[path = "simulation/verification.rs"]
mod verification;
#[path = "simulation/wiped.rs"]
mod wiped;
#[path = "simulation/zombie.rs"]
mod zombie;

use mdfabric::domain::{Locality, MemberState, VolumePhase};
use mdfabric::ports::Pace;
use mdfabric::sim::{Config, Crash, CrashWhen};
use support::{Failure, Scene, failure, name, node, on_all_processors, wish};

#[test]
fn a_volume_lives_and_leaves_nothing_behind() {
    for replicas in 1..=3 {
        let mut scene = Scene::new(u64::from(replicas));
        scene.create(&wish(replicas));
        scene.quiet();
        scene.attach(1);
        scene.write_for(2_000);
        scene.whole();
        scene.quiet_while_writing();
        scene.lives_on_node_2_and_ends();
    }
}

#[test]
fn one_of_two_copies_moves_under_load() {
    let mut scene = Scene::new(4);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_for(1_000);
    let holders: Vec<_> = scene.status().unwrap().members.iter().map(|member| member.node.clone()).collect();
    let to = (1..=3).find(|index| !holders.contains(&node(*index))).unwrap();
    let from = (1..=3).find(|index| *index != 1 && *index != to).unwrap_or(1);
    scene.request_move(from, to);
    scene.moved(from, to);
    scene.write_for(1_000);
    let stall = scene.cluster.app(&name()).longest_stall;
    scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
}

#[test]
fn a_single_copy_follows_its_owner() {
    let mut scene = Scene::new(5);
    scene.create(&wish(1));
    let home = (1..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_some()).unwrap();
    let away = if home == 1 { 2 } else { 1 };
    scene.attach(home);
    scene.write_for(1_000);
    scene.detach();
    scene.phases.clear();
    scene.attach(away);
    scene.cluster.app(&name()).writing = true;
    scene.moved(home, away);
    let walk = [VolumePhase::Synced, VolumePhase::Syncing, VolumePhase::Replacing, VolumePhase::Synced];
    scene.demand(scene.phases == walk, &format!("phases {:?}", scene.phases));
}

#[test]
fn a_detached_volume_moves() {
    let mut scene = Scene::new(6);
    scene.create(&wish(1));
    scene.attach(1);
    scene.write_for(1_000);
    scene.whole();
    scene.detach();
    let from = (1..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_some()).unwrap();
    let to = if from == 3 { 2 } else { 3 };
    scene.request_move(from, to);
    scene.moved(from, to);
    scene.until(60_000, "nobody owns it any more", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.quiet();
    scene.attach(1);
    scene.write_for(1_000);
}

#[test]
fn copies_stay_where_they_are_when_told() {
    let mut scene = Scene::new(7);
    let mut wish = wish(2);
    wish.locality = Locality::Fixed;
    scene.create(&wish);
    let before = scene.in_sync();
    for on in 1..=3 {
        scene.attach(on);
        scene.write_for(500);
        scene.detach();
    }
    scene.demand(scene.in_sync() == before, "the same copies");
}

/// The whole life of a volume under load, with at most one death in it. Returns how many moments there were to die at.
fn life(seed: u64, replicas: u32, crash: Option<Crash>) -> usize {
    let mut scene = Scene::new(seed);
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    scene.create(&wish(replicas));
    scene.attach(1);
    scene.write_a_little();
    let (from, to) = scene.a_move();
    scene.request_move(from, to);
    scene.moved(from, to);
    scene.write_a_little();
    scene.detach();
    scene.attach(2);
    scene.write_a_little();
    scene.whole();
    scene.detach();
    scene.request_delete();
    let moments = scene.cluster.counted() - base;
    scene.gone();
    moments
}

fn deaths(when: CrashWhen, replicas: u32, down: u64) {
    let seed = u64::from(replicas) + 10;
    let mut failed = Vec::new();
    for at in 0..life(seed, replicas, None) {
        for node in [None, Some(node(1)), Some(node(2)), Some(node(3))] {
            if node.is_none() || when == CrashWhen::PowerCut {
                let what = format!("{when:?} at step {at} of {node:?}, {replicas} replicas, seed {seed}");
                let crash = Crash { at, when, node, down };
                if std::panic::catch_unwind(|| life(seed, replicas, Some(crash))).is_err() {
                    failed.push(what);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

#[test]
fn every_verb_survives_a_daemon_crash_before_any_step() {
    deaths(CrashWhen::BeforeEffect, 1, 300);
    deaths(CrashWhen::BeforeEffect, 2, 300);
}

#[test]
fn every_verb_survives_a_daemon_crash_after_any_step() {
    deaths(CrashWhen::AfterEffect, 1, 300);
    deaths(CrashWhen::AfterEffect, 2, 300);
}

#[test]
fn every_verb_survives_a_power_cut_at_any_step() {
    deaths(CrashWhen::PowerCut, 1, 3_000);
    deaths(CrashWhen::PowerCut, 2, 3_000);
}

/// `SIM_SEED` runs one seed, `SIM_SEEDS` that many from 1 on, on all processors.
#[test]
fn random_faults_lose_nothing() {
    random_faults(number("SIM_SEEDS").unwrap_or(200), stored);
}

/// Daemons plan with what they wrote themselves and with news of the rest that are up to a minute and a half old, or older.
#[test]
fn random_faults_lose_nothing_where_news_are_late() {
    random_faults(number("SIM_SEEDS").map_or(60, |seeds| (seeds / 25).max(1)), |seed| Config {
        apart: true,
        late: true,
        pace: Pace::SPARING,
        seed,
        ..Config::default()
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn random_faults(seeds: u64, stored: impl Fn(u64) -> Config + Sync) {
    let seeds: Vec<u64> = number("SIM_SEED").map_or((1..=seeds).collect(), |seed| vec![seed]);
    let began = std::time::Instant::now();
    let script = |seed| chaos::script(&stored(seed));
    let results = on_all_processors(&seeds, |seed| failure(|| chaos::play(&script(*seed))));
    println!("{} seeds in {:.1} s", seeds.len(), began.elapsed().as_secs_f32());
    let failed: Vec<(u64, Failure)> =
        seeds.iter().zip(results).filter_map(|(seed, failed)| Some((*seed, failed?))).collect();
    let Some((seed, first)) = failed.first().cloned() else { return };
    let (short, failure) = chaos::shrink(script(seed), first);
    let seeds: Vec<u64> = failed.into_iter().map(|(seed, _)| seed).collect();
    panic!(
        "{} seeds fail, run one with SIM_SEED=n: {seeds:?}\nthe least of seed {seed} that fails ({}):\n{short}",
        seeds.len(),
        failure.why
    );
}

/// Every fourth store is as Kubernetes: daemons spare it, and it tells of each kind of record apart.
fn stored(seed: u64) -> Config {
    let apart = seed.is_multiple_of(4);
    Config { seed, apart, pace: if apart { Pace::SPARING } else { Pace::FREQUENT }, ..Config::default() }
}

/// The clock leaves out ticks in which nothing happens, and no other.
#[test]
fn the_clock_leaves_nothing_out() {
    let lives = on_all_processors(&(1..=6).collect::<Vec<u64>>(), |seed| {
        [false, true].map(|every_tick| {
            let scene = chaos::played(&chaos::script(&Config { every_tick, ..stored(*seed) }));
            scene.cluster.trace().to_vec()
        })
    });
    for [some, all] in lives {
        assert!(some == all, "{}", first_difference(&some, &all));
    }
}

fn first_difference(some: &[String], all: &[String]) -> String {
    let differs = some.iter().zip(all).position(|(one, other)| one != other);
    let at = differs.unwrap_or(some.len().min(all.len()));
    format!("with ticks left out {:?}, with all of them {:?}", some.get(at), all.get(at))
}

/// What `--dry-run` prints is what then happens, apart from the order of independent steps and device names.
#[test]
fn a_dry_run_says_what_will_be_done() {
    let mut scene = Scene::new(8);
    scene.create(&wish(2));
    scene.attach(1);
    scene.whole();
    scene.quiet();
    let (from, to) = scene.a_move();
    let verdict =
        mdfabric::plan::verbs::move_replica(scene.cluster.world(), &name(), &node(from), &node(to), None)
            .unwrap();
    let foretold = mdfabric::sim::rehearse(scene.cluster.world(), &verdict.writes);
    let before = scene.cluster.steps().len();
    scene.request_move(from, to);
    scene.moved(from, to);
    scene.quiet();
    let done = scene.cluster.steps()[before..].to_vec();
    assert!(!foretold.is_empty());
    scene.demand(kinds(&foretold) == kinds(&done), &format!("{foretold:#?}\nbut\n{done:#?}"));
}

/// Steps without their order and the names of devices.
fn kinds(lines: &[String]) -> Vec<String> {
    let is_named = |word: &&str| !word.starts_with("dev-") && !word.starts_with("nvme");
    let kind = |line: &String| line.split_whitespace().filter(is_named).take(3).collect::<Vec<_>>().join(" ");
    let mut kinds: Vec<String> = lines.iter().map(kind).collect();
    kinds.sort();
    kinds
}

/// A path that is back before the loss is recorded costs nothing; one that stays away longer is recorded, and the copy
/// catches up by bitmap.
#[test]
fn a_short_blip_costs_no_resync_and_a_long_one_only_what_changed() {
    let (mut short, mut long) = (0, 0);
    for seed in 1..=20 {
        if blip(seed) { long += 1 } else { short += 1 }
    }
    assert!(short > 0 && long > 0, "{short} short and {long} long blips: both kinds were meant");
}

/// The link is down for a moment: for longer than a silent peer is waited for, or not. `true` when the leg was let go.
fn blip(seed: u64) -> bool {
    let mut scene = Scene::new(seed);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_for(2_000);
    let whole = scene.in_sync();
    let before = scene.cluster.trace().len();
    scene.cluster.set_link(&node(1), &node(2), false);
    scene.cluster.run_for(100 + seed * 50);
    scene.cluster.set_link(&node(1), &node(2), true);
    scene.cluster.run_for(3_000);
    scene.write_for(1_000);
    scene.whole();
    scene.demand(scene.in_sync() == whole, "the same copies");
    let since = scene.cluster.trace()[before..].join(" ");
    let let_go = since.contains("let leg");
    scene.demand(
        since.contains("(Bitmap recovery)") == let_go,
        "bitmap catch-up exactly after the leg was let go",
    );
    scene.demand(!since.contains("(Full recovery)"), "never a full copy");
    let_go
}

/// Everybody loses power at once: the owner that is back first waits for the others, and no copy is dropped.
#[test]
fn a_reboot_of_everything_drops_no_copy() {
    let mut scene = Scene::new(12);
    scene.create(&wish(3));
    scene.attach(1);
    scene.write_for(90_000);
    let whole = scene.in_sync();
    for (index, down) in [(1, 1_000), (2, 9_000), (3, 5_000)] {
        scene.cluster.power_cut(&node(index), Some(down));
    }
    scene.cluster.run_for(500);
    let mut dropped = false;
    scene.cluster.run_until(30_000, |cluster| {
        dropped |= cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() < 3);
        false
    });
    scene.demand(!dropped, "no copy was dropped");
    scene.write_a_little();
    scene.demand(scene.in_sync() == whole, "the same copies");
}

/// A provider that does not come back is not waited for for ever.
#[test]
fn an_owner_that_reboots_alone_goes_on_with_what_is_there() {
    let mut scene = Scene::new(13);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_for(1_000);
    scene.cluster.power_cut(&node(1), Some(1_000));
    scene.cluster.power_cut(&node(2), None);
    scene.cluster.run_for(5_000);
    scene.write_a_little();
    scene.cluster.power_on(&node(2));
    scene.whole();
}

/// A name may be used again: nothing of the earlier volume is taken for the new one's.
#[test]
fn a_volume_of_the_same_name_is_a_new_one() {
    let mut scene = Scene::new(14);
    for _ in 0..2 {
        scene.create(&wish(1));
        scene.attach(1);
        scene.write_for(500);
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}

/// Three copies on four nodes, written to, and one of their providers dead: the owner, the dead one, the other one, and
/// the node without a copy.
fn one_of_three_is_dead(seed: u64) -> (Scene, [u8; 4]) {
    let mut scene = Scene::with(Config { nodes: 4, seed, ..Config::default() });
    scene.create(&wish(3));
    let holds = |scene: &Scene, index: u8| scene.status().unwrap().member_on(&node(index)).is_some();
    let homes: Vec<u8> = (1..=4).filter(|index| holds(&scene, *index)).collect();
    let free = (1..=4).find(|index| !homes.contains(index)).unwrap();
    let [owner, dead, other] = homes[..] else { panic!("three copies") };
    scene.attach(owner);
    scene.write_for(500);
    scene.cluster.power_cut(&node(dead), None);
    (scene, [owner, dead, other, free])
}

/// A provider that stays dead holds up nobody else: the others come back, and copies move.
#[test]
fn a_dead_provider_holds_up_nobody_else() {
    let (mut scene, [owner, dead, other, free]) = one_of_three_is_dead(15);
    scene.cluster.power_cut(&node(owner), Some(500));
    scene.cluster.power_cut(&node(other), Some(60_000));
    scene.cluster.run_for(30_000);
    let in_sync = move |count: usize| {
        move |cluster: &mdfabric::sim::Cluster| {
            cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == count)
        }
    };
    scene.until(120_000, "the other one is in sync again", in_sync(2));
    scene.request_move(other, free);
    scene.until(120_000, "moved beside a dead copy", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| {
            status.member_on(&node(free)).is_some()
                && status.relocation.is_none()
                && status.in_sync.len() == 2
        })
    });
    scene.cluster.power_on(&node(dead));
    scene.whole();
}

/// A copy that was let go by record holds nothing any more: the volume is mounted, and others move, without its node.
#[test]
fn a_leg_that_was_let_go_holds_up_nobody() {
    let (mut scene, [_, dead, other, free]) = one_of_three_is_dead(16);
    scene.until(30_000, "it is missed", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 2)
    });
    scene.request_move(other, free);
    scene.until(60_000, "moved beside a lost copy", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| {
            let gone = status.member_on(&node(other)).is_none();
            gone && status.relocation.is_none() && status.in_sync.len() == 2
        })
    });
    scene.cluster.power_on(&node(dead));
    scene.whole();
}

#[test]
fn a_new_copy_that_differs_replaces_nobody() {
    a_new_copy_differs(Config { seed: 14, ..Config::default() });
}

fn a_new_copy_differs(config: Config) {
    let mut scene = Scene::with(config);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_for(1_000);
    scene.cluster.app(&name()).writing = false;
    let holders: Vec<_> = scene.status().unwrap().members.iter().map(|member| member.node.clone()).collect();
    let to = (1..=3).find(|index| !holders.contains(&node(*index))).unwrap();
    let from = (1..=3).find(|index| *index != 1 && *index != to).unwrap_or(1);
    scene.request_move(from, to);
    let refused = |scene: &Scene| format!("{:?}", scene.status()).contains("VerificationFailed");
    for _ in 0..50_000 {
        scene.cluster.tick();
        scene.cluster.damage(&node(to));
        if refused(&scene) || !scene.cluster.violations().is_empty() {
            break;
        }
    }
    scene.demand(refused(&scene), "the new copy is refused");
    scene.cluster.run_for(60_000);
    let status = scene.status().unwrap().clone();
    let is = |index, state| status.member_on(&node(index)).is_some_and(|member| member.state == state);
    scene.demand(is(to, MemberState::Faulty), "the new copy is Faulty");
    let kept = holders.iter().all(|holder| {
        status.member_on(holder).is_some_and(|member| status.in_sync.contains(&member.replica))
    });
    scene.demand(kept, "every old copy stays in sync");
    scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    let asked = scene.cluster.world().volume_spec(&name()).unwrap().placement.generation;
    scene.demand(status.placement_generation == asked && status.relocation.is_none(), "the move is over");
}
