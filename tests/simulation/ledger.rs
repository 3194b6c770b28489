//! What is left over of a volume that has no record any more goes; what is there is what somebody wants.

use mdfabric::domain::{FsType, Locality, PlacementEntry};
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::sim::Config;

use super::support::{Scene, name, node, wish};

/// A raw volume whose owner has no copy of it is deleted while that owner is away: it wakes up with an array and legs that no record
/// knows.
pub(crate) fn a_volume_goes_while_its_owner_is_away(config: Config) {
    let mut scene = Scene::with(config);
    let on = |index| PlacementEntry { node: node(index), drive: None };
    let locality = Locality::Fixed;
    let create = CreateVolume { fs: FsType::Raw, locality, placement: vec![on(2), on(3)], ..wish(2) };
    scene.create(&create);
    scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(1))).unwrap();
    scene.write_a_little();
    scene.whole();
    scene.cluster.app(&name()).writing = false;
    scene.cluster.run_for(1_000);
    scene.cluster.set_paused(&node(1), true);
    scene.request_detach();
    scene.until(120_000, "nobody owns it", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.request_delete();
    scene.until(60_000, "deleted", |cluster| cluster.world().volume_spec(&name()).is_none());
    scene.demand(!scene.cluster.leaked().is_empty(), "node-1 has something that nobody knows");
    scene.cluster.set_paused(&node(1), false);
    scene.gone();
}

#[test]
fn an_owner_that_was_away_removes_what_it_has_of_a_deleted_volume() {
    for seed in 0..6 {
        a_volume_goes_while_its_owner_is_away(Config { seed: 400 + seed, ..Config::default() });
    }
}
