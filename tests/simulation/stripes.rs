//! Volumes of several columns: what holds for one column holds for each, with one in-sync set.

use mdfabric::domain::{Bytes, FsType, MemberState, PlacementEntry};
use mdfabric::plan::verbs::{self, CreateVolume, NewSize};
use mdfabric::sim::{BLOCKS, Cluster, Config, Crash, CrashWhen, DriveFault};

use super::support::{Scene, edit_record, is_whole, name, node, wish};

fn striped(replicas: u32) -> CreateVolume {
    CreateVolume { stripe_width: 2, ..wish(replicas) }
}

fn at(index: u8) -> PlacementEntry {
    PlacementEntry { node: node(index), drive: None }
}

fn request_growth(scene: &mut Scene) {
    let size = NewSize::Of(Bytes::mib(1536));
    scene.cluster.request(|world, _| verbs::grow(world, &name(), size)).unwrap();
}

fn grown(scene: &mut Scene) {
    scene.until(300_000, "grown", |cluster| {
        let status = cluster.world().volume_status(&name());
        status.is_some_and(|status| status.size == Some(Bytes::mib(1536)) && status.growth.is_none())
            && is_whole(cluster)
    });
}

#[test]
fn a_striped_volume_lives_and_leaves_nothing_behind() {
    for (replicas, fs) in [(1, FsType::Xfs), (2, FsType::Ext4), (3, FsType::Xfs)] {
        let mut scene = Scene::new(60 + u64::from(replicas));
        scene.create(&CreateVolume { fs, ..striped(replicas) });
        scene.quiet();
        scene.attach(1);
        scene.write_for(2_000);
        scene.whole();
        scene.quiet_while_writing();
        let written = (1..8).filter(|block| scene.cluster.app(&name()).acked.get(*block) > 0).count();
        scene.demand(written == 7, "every block of every column is written");
        scene.lives_on_node_2_and_ends();
    }
}

#[test]
fn a_striped_volume_grows_as_a_whole_while_it_is_written() {
    for (replicas, fs) in [(1, FsType::Ext4), (2, FsType::Raw), (3, FsType::Xfs)] {
        let mut scene = Scene::new(70 + u64::from(replicas));
        scene.create(&CreateVolume { fs, ..striped(replicas) });
        scene.begin(fs, 1);
        scene.write_for(1_000);
        scene.whole();
        request_growth(&mut scene);
        grown(&mut scene);
        scene.write_for(20_000);
        let last = scene.cluster.app(&name()).acked.get(BLOCKS - 1);
        scene.demand(last > 0, "what is beyond the old end is written");
        scene.detach();
        scene.begin(fs, 2);
        scene.whole();
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}

/// The volume is attached, mounted if it can be, and written.
/// A copy that lost one column is out of all of them, comes back in all of them, and only with what changed.
#[test]
fn a_copy_that_lost_a_link_comes_back_by_bitmap_in_every_column() {
    for seed in 1..=10 {
        let mut scene = Scene::new(80 + seed);
        scene.create(&striped(2));
        scene.attach(1);
        scene.write_for(2_000);
        let whole = scene.in_sync();
        let before = scene.cluster.trace().len();
        scene.cluster.set_link(&node(1), &node(2), false);
        scene.cluster.run_for(1_500 + seed * 300);
        scene.cluster.set_link(&node(1), &node(2), true);
        scene.write_for(4_000);
        scene.whole();
        scene.demand(scene.in_sync() == whole, "the same copies");
        let since = scene.cluster.trace()[before..].join("\n");
        scene.demand(since.matches("(Bitmap recovery)").count() >= 2, "bitmap catch-up in both columns");
        // A kernel that forgot bits just before says so; then, and only then, everything is copied.
        let forgot = since.contains("behind the bitmap");
        scene.demand(forgot || !since.contains("(Full recovery)"), "no full copy");
    }
}

fn drive_of_a_column(scene: &Scene, on: u8, column: usize) -> mdfabric::domain::DriveId {
    let member = scene.status().unwrap().member_on(&node(on)).unwrap();
    member.drives[column].clone()
}

/// One of the drives of a copy is pulled: the copy as a whole does not count any more.
#[test]
fn a_copy_without_one_of_its_drives_does_not_count() {
    for (on, column) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let mut scene = Scene::new(100 + u64::from(on) * 10 + column as u64);
        scene.create(&CreateVolume { member_missing_timeout_seconds: 600, ..striped(2) });
        let other = if scene.status().unwrap().member_on(&node(2)).is_some() { 2 } else { 3 };
        let on = if on == 2 { other } else { on };
        if scene.status().unwrap().member_on(&node(1)).is_none() {
            continue;
        }
        scene.attach(1);
        scene.write_for(2_000);
        let drive = drive_of_a_column(&scene, on, column);
        scene.cluster.set_drive(&drive, DriveFault::Pulled);
        scene.cluster.app(&name()).writing = true;
        scene.until(60_000, "the copy does not count", |cluster| {
            cluster.world().volume_status(&name()).is_some_and(|status| {
                let member = status.member_on(&node(on));
                member.is_some_and(|member| {
                    !status.in_sync.contains(&member.replica)
                        && matches!(member.state, MemberState::Missing | MemberState::Faulty)
                })
            })
        });
        scene.write_for(3_000);
        scene.demand(scene.in_sync().len() == 1, "the other copy counts");
        scene.cluster.set_drive(&drive, DriveFault::None);
        scene.whole();
        scene.write_for(1_000);
    }
}

fn life(seed: u64, crash: Option<Crash>) -> usize {
    let mut scene = Scene::with(Config { seed, ..Config::default() });
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    scene.create(&striped(2));
    scene.attach(1);
    scene.write_a_little();
    let (from, to) = scene.a_move();
    scene.request_move(from, to);
    scene.moved(from, to);
    request_growth(&mut scene);
    grown(&mut scene);
    scene.write_a_little();
    scene.detach();
    scene.attach(2);
    scene.write_a_little();
    scene.whole();
    scene.detach();
    scene.request_delete();
    let moments = scene.cluster.counted() - base;
    scene.until(60_000, "everybody is back", Cluster::is_up);
    scene.gone();
    moments
}

fn deaths(when: CrashWhen, node: Option<u8>, down: u64, every: usize) {
    let mut failed = Vec::new();
    for at in (0..life(110, None)).step_by(every) {
        let crash = Crash { at, when, node: node.map(super::support::node), down };
        if std::panic::catch_unwind(|| life(110, Some(crash))).is_err() {
            failed.push(at);
        }
    }
    assert!(failed.is_empty(), "{when:?} of {node:?} at {failed:?}");
}

#[test]
fn a_striped_volume_survives_a_daemon_crash_at_every_other_step() {
    deaths(CrashWhen::BeforeEffect, None, 300, 2);
    deaths(CrashWhen::AfterEffect, None, 300, 2);
}

#[test]
fn a_striped_volume_survives_power_cuts() {
    deaths(CrashWhen::PowerCut, None, 3_000, 4);
    deaths(CrashWhen::PowerCut, Some(1), 3_000, 4);
}

/// The API does not let it, but a record can be edited past it: two columns stay two, and one stays one.
#[test]
fn a_width_edited_into_the_record_is_refused_by_name() {
    for (seed, made, asked) in [(91, 1, 2), (92, 2, 1), (93, 2, 0)] {
        let mut scene = Scene::new(seed);
        scene.create(&CreateVolume { stripe_width: made.into(), ..wish(2) });
        scene.attach(1);
        scene.write_a_little();
        scene.whole();
        edit_record(&mut scene, |spec| spec.stripe_width = asked);
        let (from, to) = scene.a_move();
        scene.write_for(5_000);
        let refused = |scene: &Scene| {
            let reasons = &scene.status().unwrap().reasons;
            reasons
                .iter()
                .find(|reason| reason.code == "StripeWidthRefused")
                .map(|reason| reason.message.clone())
        };
        let says = refused(&scene).unwrap_or_default();
        scene.demand(says.contains(&format!("it has {made}; {asked} is asked for")), &says);
        // Not by a verb, which writes the record as it should be.
        edit_record(&mut scene, |spec| {
            spec.placement.entries = vec![at(1), at(to)];
            spec.placement.generation += 1;
        });
        scene.moved(from, to);
        edit_record(&mut scene, |spec| spec.attachment = None);
        scene.cluster.app(&name()).writing = false;
        scene.until(60_000, "detached", |cluster| {
            cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
        });
        scene.quiet();
        scene.demand(refused(&scene).is_some(), "it is told of a detached volume, too");
        edit_record(&mut scene, |spec| spec.stripe_width = made);
        scene.until(30_000, "it is told no longer than it is so", |cluster| {
            let reasons = &cluster.world().volume_status(&name()).unwrap().reasons;
            reasons.iter().all(|reason| reason.code != "StripeWidthRefused")
        });
        scene.attach(1);
        scene.write_a_little();
        scene.lives_on_node_2_and_ends();
    }
}
