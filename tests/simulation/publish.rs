//! Where else a volume is seen: a file system and a device, with a death at every step on the way.

use mdfabric::domain::{FsType, MountRequest, Publication};
use mdfabric::plan::verbs::{self, CreateVolume, Publish};
use mdfabric::sim::{Cluster, Crash, CrashWhen};

use super::support::{Scene, name, node, wish};

const PLACES: [&str; 2] = ["/a", "/b"];

fn shown(cluster: &Cluster) -> Vec<String> {
    let places = cluster.world().volume_status(&name()).into_iter().flat_map(|status| &status.published);
    places.filter(|place| place.shown).map(|place| place.path.clone()).collect()
}

/// What the kernel of a node shows, whatever is recorded.
fn is_seen(cluster: &Cluster, path: &str) -> bool {
    let lines = [format!("mount {path}"), format!("bind {path}")];
    cluster.picture().lines().any(|line| lines.iter().any(|shown| line.trim() == shown))
}

/// A life in which it is seen at two places, then at one, and then elsewhere. Returns how many moments there were to die at.
fn life(fs: FsType, crash: Option<Crash>) -> usize {
    let mut scene = Scene::new(1);
    scene.create(&CreateVolume { fs, ..wish(2) });
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(1))).unwrap();
    if fs != FsType::Raw {
        scene.cluster.request(|world, _| verbs::mount(world, &name(), MountRequest::at("/mnt"))).unwrap();
    }
    for path in PLACES {
        let wish = Publish { place: Publication { path: path.to_owned(), read_only: false }, alone: false };
        scene.cluster.request(|world, _| verbs::publish(world, &name(), &node(1), &wish)).unwrap();
    }
    let all =
        |cluster: &Cluster| shown(cluster) == PLACES && PLACES.iter().all(|path| is_seen(cluster, path));
    scene.until(120_000, "seen at both places", all);
    scene.cluster.request(|world, _| verbs::unpublish(world, &name(), Some(node(1)), "/a")).unwrap();
    let one =
        |cluster: &Cluster| shown(cluster) == ["/b"] && !is_seen(cluster, "/a") && is_seen(cluster, "/b");
    scene.until(120_000, "seen at one place", one);
    scene.request_detach();
    let moments = scene.cluster.counted() - base;
    let released = |cluster: &Cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    };
    scene.until(120_000, "released", |cluster| released(cluster) && !is_seen(cluster, "/b"));
    assert_eq!(scene.status().unwrap().published, []);
    scene.request_delete();
    scene.gone();
    moments
}

fn deaths(when: CrashWhen, down: u64) {
    for fs in [FsType::Xfs, FsType::Raw] {
        let failed: Vec<usize> = (0..life(fs, None))
            .filter(|at| {
                let crash = Crash { at: *at, when, node: None, down };
                std::panic::catch_unwind(|| life(fs, Some(crash))).is_err()
            })
            .collect();
        assert!(failed.is_empty(), "{when:?}, {fs:?}: {failed:?}");
    }
}

#[test]
fn places_survive_a_daemon_that_dies_before_any_step() {
    deaths(CrashWhen::BeforeEffect, 300);
}

#[test]
fn places_survive_a_daemon_that_dies_after_any_step() {
    deaths(CrashWhen::AfterEffect, 300);
}

#[test]
fn places_survive_a_power_cut_at_any_step() {
    deaths(CrashWhen::PowerCut, 3_000);
}
