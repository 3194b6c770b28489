//! An owner is paused or cut off, deposed, and wakes up with applications that know of nothing: they hear of no further
//! write, read nothing old once it has begun to go, and its copy is made anew.

use mdfabric::domain::{FsType, MountRequest};
use mdfabric::plan::safety::Guard;
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::sim::{Cluster, Config, Crash, CrashWhen};

use super::support::{Scene, name, node, wish};

const KINDS: [FsType; 3] = [FsType::Xfs, FsType::Ext4, FsType::Raw];

fn attach(scene: &mut Scene, fs: FsType, on: u8) {
    scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(on))).unwrap();
    if fs != FsType::Raw {
        let mount = MountRequest::at("/mnt/vol");
        scene.cluster.request(|world, _| verbs::mount(world, &name(), mount)).unwrap();
    }
}

fn is_served_on(cluster: &Cluster, on: u8) -> bool {
    cluster.world().volume_status(&name()).is_some_and(|status| {
        let array = &status.array;
        status.owner == Some(node(on))
            && (array.mounted_at.is_some() || array.device.is_some() && status.mount_path.is_none())
    })
}

/// A volume that is written to on node-1, where one of its copies is, and where else one is.
fn served_on_node_1(config: Config, fs: FsType, replicas: u32) -> (Scene, u8) {
    served_as(config, &CreateVolume { fs, ..wish(replicas) })
}

fn served_as(config: Config, wish: &CreateVolume) -> (Scene, u8) {
    let fs = wish.fs;
    let mut scene = Scene::with(config);
    scene.create(wish);
    attach(&mut scene, fs, 1);
    scene.until(120_000, "served", |cluster| is_served_on(cluster, 1));
    scene.write_a_little();
    scene.whole();
    scene.write_for(1_000);
    let there = scene.status().unwrap().member_on(&node(2)).is_some();
    (scene, if there { 2 } else { 3 })
}

/// What an orchestrator does that has lost sight of node-1.
fn attach_elsewhere(scene: &mut Scene, fs: FsType, to: u8) {
    scene.request_detach();
    attach(scene, fs, to);
    scene.cluster.run_until(120_000, |cluster| is_served_on(cluster, to));
    let enough = scene.cluster.acks(&name()) + 10;
    scene.cluster.run_until(60_000, |cluster| cluster.acks(&name()) >= enough);
    scene.demand(scene.cluster.acks(&name()) >= enough, "it is served and written to elsewhere");
}

fn steps(scene: &Scene, how: &str) -> usize {
    scene.cluster.steps().iter().filter(|step| step.contains(how)).count()
}

fn ends_well(scene: &mut Scene) {
    scene.whole();
    scene.write_a_little();
    scene.detach();
    scene.request_delete();
    scene.gone();
}

fn is_well(scene: &mut Scene) {
    ends_well(scene);
    scene.demand(steps(scene, "(Bitmap recovery)") == 0, "nothing comes back by bitmap");
    scene.demand(steps(scene, "(Full recovery)") > 0, "what could be written to is copied anew");
}

/// node-1 is paused while it writes, deposed, and wakes up.
fn wakes_up(config: Config) -> Scene {
    let seed = config.seed;
    let fs = KINDS[usize::try_from(seed % 3).unwrap()];
    wakes_up_as(config, &CreateVolume { fs, ..wish(if seed.is_multiple_of(2) { 2 } else { 3 }) })
}

fn wakes_up_as(config: Config, wish: &CreateVolume) -> Scene {
    let fs = wish.fs;
    let (mut scene, to) = served_as(config, wish);
    scene.cluster.set_paused(&node(1), true);
    attach_elsewhere(&mut scene, fs, to);
    scene.cluster.set_paused(&node(1), false);
    scene.until(60_000, "node-1 has let go", |cluster| {
        cluster.steps().iter().any(|step| step.starts_with("node-1: stop "))
    });
    scene
}

/// The same to its end.
pub(crate) fn the_owner_wakes_up(config: Config) {
    ends_well(&mut wakes_up(config));
}

/// The same of a volume that is made as it is said: what node-1 could write to is copied anew, all of it.
pub(crate) fn the_owner_of_this_wakes_up(config: Config, wish: &CreateVolume) {
    is_well(&mut wakes_up_as(config, wish));
}

#[test]
fn a_woken_owner_acknowledges_nothing_and_its_copy_is_made_anew() {
    let told = (0..12).filter(|seed| ends_somebody(500 + seed)).count();
    assert!(told > 0, "it is told who was ended");
}

/// Whether somebody was ended who did not go by himself.
fn ends_somebody(seed: u64) -> bool {
    let mut scene = wakes_up(Config { seed, ..Config::default() });
    let told = scene.status().unwrap().events.iter().any(|event| event.reason == "ProcessesEnded");
    let ended = steps(&scene, "node-1: end whoever uses vol") > 0;
    scene.demand(told == ended, "whoever was ended is named in an event");
    is_well(&mut scene);
    ended
}

#[test]
fn an_owner_that_was_cut_off_from_everybody_acknowledges_nothing_either() {
    for seed in 0..6 {
        let fs = KINDS[usize::try_from(seed % 3).unwrap()];
        let (mut scene, to) = served_on_node_1(Config { seed: 520 + seed, ..Config::default() }, fs, 2);
        let cut = |scene: &mut Scene, well| {
            scene.cluster.set_store(&node(1), well);
            scene.cluster.set_link(&node(1), &node(2), well);
            scene.cluster.set_link(&node(1), &node(3), well);
        };
        cut(&mut scene, false);
        attach_elsewhere(&mut scene, fs, to);
        cut(&mut scene, true);
        is_well(&mut scene);
    }
}

/// The applications of the simulation notice the mistake that the order of the eviction is there to avoid.
#[test]
fn an_eviction_that_frees_the_legs_first_loses_a_write() {
    for fs in KINDS {
        let lost = (540..600).any(|seed| {
            let config = Config { seed, sabotage: Some(Guard::HoldUntilDown), ..Config::default() };
            let (mut scene, to) = served_on_node_1(config, fs, 2);
            scene.cluster.set_paused(&node(1), true);
            attach_elsewhere(&mut scene, fs, to);
            scene.cluster.set_paused(&node(1), false);
            scene.cluster.run_for(10_000);
            scene.cluster.violations().iter().any(|violation| violation.what.contains("R1/R2"))
        });
        assert!(lost, "nobody noticed with {fs:?}");
    }
}

#[test]
fn the_woken_owners_daemon_may_die_at_any_step() {
    // Every step with one of the kinds, and each kind with every third step.
    for (first, fs) in KINDS.into_iter().enumerate() {
        for when in [CrashWhen::BeforeEffect, CrashWhen::AfterEffect, CrashWhen::PowerCut] {
            (first..14).step_by(3).for_each(|at| dies_at(fs, when, at));
        }
    }
}

fn dies_at(fs: FsType, when: CrashWhen, after: usize) {
    let (mut scene, to) = served_on_node_1(Config { seed: 560, ..Config::default() }, fs, 2);
    scene.cluster.set_paused(&node(1), true);
    attach_elsewhere(&mut scene, fs, to);
    scene.cluster.set_paused(&node(1), false);
    let at = scene.cluster.counted() + after;
    scene.cluster.crash(Some(Crash { at, when, node: Some(node(1)), down: 3_000 }));
    is_well(&mut scene);
}
