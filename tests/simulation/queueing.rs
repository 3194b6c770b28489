//! A leg holds I/O, and something else is to be done to its array (KERNEL2.md, rules 2 and 3).

use mdfabric::sim::Config;

use super::support::{Scene, name, node, wish};

/// One of three copies was lost and is back while the leg of another one holds what is written, for the store is silent: to take it in
/// now would freeze the array, and whoever reads with it. Reads go on, and it is taken in once nothing is held.
pub(crate) fn a_copy_is_back_beside_a_leg_that_holds(config: Config) {
    let mut scene = Scene::with(config);
    scene.create(&wish(3));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene.cluster.set_link(&node(1), &node(3), false);
    scene.until(60_000, "one copy is missed", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.len() == 2)
    });
    scene.write_for(10_000);
    scene.cluster.set_store(&node(1), false);
    scene.cluster.set_link(&node(1), &node(2), false);
    scene.cluster.run_for(5_000);
    scene.cluster.set_link(&node(1), &node(3), true);
    scene.cluster.run_for(10_000);
    let before = scene.cluster.app(&name()).reads;
    scene.cluster.run_for(10_000);
    let reads = scene.cluster.app(&name()).reads - before;
    scene.demand(reads > 10, &format!("reads go on, but there were {reads}"));
    scene.cluster.set_link(&node(1), &node(2), true);
    scene.cluster.set_store(&node(1), true);
    scene.whole();
    scene.write_a_little();
}

#[test]
fn nothing_is_asked_of_an_array_while_a_leg_holds_writes() {
    for seed in 0..8 {
        a_copy_is_back_beside_a_leg_that_holds(Config { seed: 800 + seed, ..Config::default() });
    }
}
