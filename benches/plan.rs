//! What one turn of the machines costs: 20 volumes with two copies each, between node-1 and node-2 of three.
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on shall stop")]

#[path = "plan/cluster.rs"]
mod cluster;

use std::hint::black_box;

use criterion::Criterion;
use mdfabric::domain::{Key, Kind, NodeName, Timestamp, World};
use mdfabric::plan::{Input, Memory, Observation, Plan, controller, owner, provider};

/// What a machine looks at, owned.
struct Scene {
    me: NodeName,
    world: World,
    seen: Observation,
    memory: Memory,
    now: Timestamp,
}

impl Scene {
    /// The given node's view of a world; every node was heard of just now.
    fn new(me: u8, (world, now): (World, Timestamp), seen: Observation) -> Self {
        let mut memory = Memory { started_at: now, ..Memory::default() };
        memory.liveness.store_answered(now);
        memory.liveness.heard(world.nodes().map(|(name, _)| Key::new(Kind::NodeStatus, name)), now);
        Self { me: cluster::node(me), world, seen, memory, now }
    }

    fn plan(&self, machine: fn(&Input) -> Plan) -> Plan {
        let Self { me, world, seen, memory, now } = self;
        machine(&Input { me, world, seen, memory, now: *now })
    }
}

/// Measures one machine, after looking whether it has as many steps and writes to plan as expected.
fn bench(criterion: &mut Criterion, name: &str, scene: &Scene, machine: fn(&Input) -> Plan, work: usize) {
    let plan = scene.plan(machine);
    assert_eq!(plan.steps.len() + plan.writes.len(), work, "{name}: {plan:#?}");
    criterion.bench_function(name, |bencher| bencher.iter(|| black_box(scene.plan(machine))));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let volumes = usize::from(cluster::VOLUMES);
    let served = cluster::served();
    let quiet = |me| Scene::new(me, served.clone(), cluster::observation(&served.0, &cluster::node(me)));
    let rebooted = Scene::new(1, served.clone(), cluster::drives(&served.0, &cluster::node(1)));
    let unplaced = Scene::new(1, cluster::unplaced(&served), Observation::default());
    bench(&mut criterion, "plan/owner/quiet", &quiet(1), owner::plan, 0);
    bench(&mut criterion, "plan/provider/quiet", &quiet(2), provider::plan, 0);
    bench(&mut criterion, "plan/controller/quiet", &quiet(3), controller::plan, 0);
    // After a reboot: one connection each; what users see of the volumes is recorded anew.
    bench(&mut criterion, "plan/owner/after_reboot", &rebooted, owner::plan, 2 * volumes);
    bench(&mut criterion, "plan/controller/place_all", &unplaced, controller::plan, volumes);
    criterion.final_summary();
}
