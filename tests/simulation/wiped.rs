//! Records of a copy that were lost, or edited past the verbs: nothing that counts is made anew or erased for it.

use mdfabric::domain::{Key, Kind, Record, ReplicaId, Wanted};
use mdfabric::plan::Write;
use mdfabric::sim::Config;

use super::support::{Scene, wish};

fn put(scene: &mut Scene, kind: Kind, replica: ReplicaId, record: Option<Record>) {
    scene.cluster.write(&[Write { key: Key::new(kind, replica), record }]);
}

/// Its provider would erase it, then make it anew.
pub(crate) fn records_ask_for_the_end_of_a_copy(config: Config) {
    let mut scene = Scene::with(config);
    scene.create(&wish(1));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.detach();
    let replica = scene.in_sync()[0];
    let mut spec = scene.cluster.world().replica_spec(&replica).unwrap().clone();
    let status = scene.cluster.world().replica_status(&replica).unwrap().clone();
    spec.wanted = Wanted::Removed;
    put(&mut scene, Kind::ReplicaSpec, replica, Some(Record::ReplicaSpec(spec)));
    scene.cluster.run_for(10_000);
    put(&mut scene, Kind::ReplicaStatus, replica, None);
    scene.cluster.run_for(10_000);
    scene.demand(scene.cluster.violations().is_empty(), "nothing is zeroed or erased");
    let told = scene.cluster.world().replica_status(&replica).and_then(|status| status.reason.clone());
    scene.demand(told.as_ref().is_some_and(|reason| reason.code == "CopyCounts"), &format!("{told:?}"));
    put(&mut scene, Kind::ReplicaStatus, replica, Some(Record::ReplicaStatus(status)));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
}

#[test]
fn what_counts_is_not_wiped_whatever_its_records_ask_for() {
    for seed in 0..8 {
        records_ask_for_the_end_of_a_copy(Config { seed: 960 + seed, ..Config::default() });
    }
}

/// A volume whose status is gone looks like one that is still to be made, and each of its copies like one if its status is gone, too.
fn statuses_are_lost(config: Config, of_copies: bool) {
    let mut scene = Scene::with(config);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.detach();
    let mut keys = vec![Key::new(Kind::VolumeStatus, &scene.volume)];
    if of_copies {
        keys.extend(scene.in_sync().iter().map(|replica| Key::new(Kind::ReplicaStatus, replica)));
    }
    let record = |key: &Key| scene.cluster.world().record(key).cloned();
    let kept: Vec<Write> = keys.iter().map(|key| Write { key: key.clone(), record: record(key) }).collect();
    let lost: Vec<Write> = keys.into_iter().map(|key| Write { key, record: None }).collect();
    scene.cluster.write(&lost);
    // Time for a place to be found for it, as if it were new.
    scene.cluster.run_for(10_000);
    scene.request_attach(1);
    scene.cluster.run_for(60_000);
    scene.demand(scene.cluster.violations().is_empty(), "nothing is written over what they hold");
    scene.demand(scene.status().is_some_and(|status| !status.created), "nothing is started from them");
    scene.cluster.write(&kept);
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.demand(scene.cluster.violations().is_empty(), "every acknowledged write is there");
}

#[test]
fn copies_outlive_the_status_of_their_volume() {
    for seed in 0..8 {
        statuses_are_lost(Config { seed: 970 + seed, ..Config::default() }, seed % 2 == 1);
    }
}
