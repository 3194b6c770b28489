//! Random operations and faults from a seed; then the faults stop, and everything has to be well.

use mdfabric::domain::{Bytes, FsType, MountRequest, NodeName, PlacementEntry};
use mdfabric::plan::scale;
use mdfabric::plan::verbs::{self, CreateVolume, EditVolume, NewSize};
use mdfabric::sim::{Config, Rng};

use super::support::{Scene, edit_record, is_mounted, name, node, wish};

const NODES: u8 = 4;

/// One seeded life. Panics with the whole story when a promise is broken.
pub(crate) fn run(seed: u64) {
    let mut rng = Rng::new(seed ^ 0x6d64_6661_6272_6963);
    let mut scene = Scene::with(Config { seed, nodes: NODES, ..Config::default() });
    let replicas = 1 + u32::try_from(rng.below(3)).unwrap();
    let fs = if seed.is_multiple_of(2) { FsType::Ext4 } else { FsType::Xfs };
    scene.create(&CreateVolume { fs, ..wish(replicas) });
    scene.cluster.app(&name()).writing = true;
    attach(&mut scene, pick(&mut rng));
    let mut faults = Vec::new();
    for _ in 0..rng.between(4, 24) {
        let longest = if rng.one_in(3) { 12_000 } else { 800 };
        let pause = rng.below(longest);
        scene.cluster.run_for(pause);
        if rng.one_in(2) {
            operate(&mut scene, &mut rng);
        } else {
            harm(&mut scene, &mut rng, &mut faults);
        }
        if rng.one_in(3) && !faults.is_empty() {
            faults.remove(0).set(&mut scene, true);
        }
        scene.demand(scene.cluster.violations().is_empty(), "no promise is broken");
    }
    for fault in &faults {
        fault.set(&mut scene, true);
    }
    settle(&mut scene);
}

fn pick(rng: &mut Rng) -> u8 {
    1 + u8::try_from(rng.below(u64::from(NODES))).unwrap()
}

/// Users may ask for anything; what is refused is refused.
fn operate(scene: &mut Scene, rng: &mut Rng) {
    match rng.below(8) {
        7 => grow(scene, rng),
        4..=6 => resize(scene, rng),
        0 | 1 => {
            let (from, to) = (node(pick(rng)), node(pick(rng)));
            drop(scene.cluster.request(|world, _| verbs::move_replica(world, &name(), &from, &to, None)));
        }
        2 => drop(scene.cluster.request(|world, _| verbs::detach(world, &name()))),
        _ => attach(scene, pick(rng)),
    }
}

/// Larger, up to what every drive has room for.
fn grow(scene: &mut Scene, rng: &mut Rng) {
    let size = Bytes::mib(1024 + 128 * rng.below(5));
    drop(scene.cluster.request(|world, _| verbs::grow(world, &name(), NewSize::Of(size))));
}

/// More copies or fewer, by the verb or by the record itself.
fn resize(scene: &mut Scene, rng: &mut Rng) {
    let at = |index| PlacementEntry { node: node(index), drive: None };
    let mut wish = EditVolume::new(name());
    match rng.below(4) {
        0 => wish.add = vec![at(pick(rng))],
        1 => wish.remove = vec![at(pick(rng))],
        2 => wish.replicas = Some(1 + u32::try_from(rng.below(3)).unwrap()),
        _ => {
            let (place, longest) = (at(pick(rng)), rng.below(4));
            return edit_record(scene, |spec| {
                spec.placement.entries.truncate(usize::try_from(longest).unwrap());
                if !spec.placement.entries.contains(&place) {
                    spec.placement.entries.push(place);
                }
            });
        }
    }
    drop(scene.cluster.request(|world, _| verbs::edit(world, &wish)));
}

fn attach(scene: &mut Scene, on: u8) {
    drop(scene.cluster.request(|world, _| verbs::attach(world, &name(), &node(on))));
    let mount = MountRequest { path: "/mnt/vol".to_owned(), read_only: false };
    drop(scene.cluster.request(|world, _| verbs::mount(world, &name(), mount)));
}

/// A fault that lasts until somebody ends it.
enum Fault {
    Link(NodeName, NodeName),
    Store(NodeName),
    Pause(NodeName),
}

impl Fault {
    fn set(&self, scene: &mut Scene, well: bool) {
        match self {
            Self::Link(one, other) => scene.cluster.set_link(one, other, well),
            Self::Store(node) => scene.cluster.set_store(node, well),
            Self::Pause(node) => scene.cluster.set_paused(node, !well),
        }
    }
}

/// Something breaks: for a moment, or until `faults` are over.
fn harm(scene: &mut Scene, rng: &mut Rng, faults: &mut Vec<Fault>) {
    let victim = node(pick(rng));
    match rng.below(7) {
        0 | 1 => scene.cluster.kill_daemon(&victim, rng.between(100, 3_000)),
        2 => scene.cluster.power_cut(&victim, Some(rng.between(500, 30_000))),
        3 | 4 => {
            let other = node(pick(rng));
            begin(scene, rng, faults, Fault::Link(victim, other));
        }
        5 => begin(scene, rng, faults, Fault::Store(victim)),
        _ => begin(scene, rng, faults, Fault::Pause(victim)),
    }
}

fn begin(scene: &mut Scene, rng: &mut Rng, faults: &mut Vec<Fault>, fault: Fault) {
    fault.set(scene, false);
    let longest = if rng.one_in(3) { 40_000 } else { 4_000 };
    if rng.one_in(2) {
        faults.push(fault);
    } else {
        let millis = rng.below(longest);
        scene.cluster.run_for(millis);
        fault.set(scene, true);
    }
}

/// The faults are over: everything becomes whole, mounts, takes writes, moves on and goes without a trace.
fn settle(scene: &mut Scene) {
    scene.until(60_000, "everybody is back", mdfabric::sim::Cluster::is_up);
    scene.until(300_000, "no detach is under way", |cluster| {
        let world = cluster.world();
        let attached = world.volume_spec(&name()).is_some_and(|spec| spec.attachment.is_some());
        attached || world.volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    attach(scene, 1);
    scene.until(300_000, "mounted", is_mounted);
    ask_for_what_is_possible(scene);
    scene.whole();
    scene.write_a_little();
    scene.quiet_while_writing();
    scene.detach();
    scene.request_delete();
    scene.gone();
}

/// Somebody may have written into the record what cannot be: it can always be mended by the verb.
fn ask_for_what_is_possible(scene: &mut Scene) {
    scene.until(300_000, "no copy is under way", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.relocation.is_none())
    });
    let status = scene.status().unwrap();
    let spec = scene.cluster.world().volume_spec(&name()).unwrap();
    if scale::impossible(spec, status).is_some() {
        let replicas = u32::try_from(status.copies(spec)).ok();
        let wish = EditVolume { replicas, ..EditVolume::new(name()) };
        scene.cluster.request(|world, _| verbs::edit(world, &wish)).unwrap();
    }
}
