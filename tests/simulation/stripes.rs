//! Volumes of several columns: what holds for one column holds for each, with one in-sync set.

use std::collections::BTreeSet;

use mdfabric::domain::{Bytes, DriveId, FsType, Member, MemberState};
use mdfabric::plan::verbs::{self, Cordon, CreateVolume, NewSize};
use mdfabric::sim::{BLOCKS, Cluster, Config, Crash, CrashWhen, DriveFault};

use super::scaling::{add, at, homes, number, remove, scale};
use super::support::{Scene, edit_record, fatal, is_whole, name, node, wish};
use super::{failover, zombie};

fn striped(replicas: u32) -> CreateVolume {
    CreateVolume { stripe_width: 2, ..wish(replicas) }
}

/// Two copies, on node-1 and node-2, of so many columns; what is lost is waited for as briefly as may be.
fn wide(columns: u32) -> CreateVolume {
    // Each column is whole MiB, and whole blocks.
    let size = match columns {
        3 => Bytes::mib(1152),
        5 => Bytes::mib(1280),
        _ => Bytes::gib(1),
    };
    CreateVolume {
        stripe_width: columns,
        size,
        placement: vec![at(1), at(2)],
        member_missing_timeout_seconds: 60,
        ..wish(2)
    }
}

/// It is attached on node-1 and written to, in a cluster of four nodes with a drive for every column.
pub(crate) fn served(seed: u64, columns: u32) -> Scene {
    let drives = u8::try_from(columns.max(4)).unwrap();
    let mut scene = Scene::with(Config { seed, nodes: 4, drives, ..Config::default() });
    scene.create(&wide(columns));
    scene.attach(1);
    scene.write_for(2_000);
    scene.whole();
    scene
}

/// Everything is as the record says in every column, and it goes without a trace.
fn ends_well(scene: &mut Scene) {
    scene.whole();
    scene.quiet_while_writing();
    scene.detach();
    scene.request_delete();
    scene.gone();
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

fn is_written_to_the_end(scene: &mut Scene) {
    scene.write_for(20_000);
    let last = scene.cluster.app(&name()).acked.get(BLOCKS - 1);
    scene.demand(last > 0, "what is beyond the old end is written");
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
fn a_volume_of_three_or_four_columns_lives_and_leaves_nothing_behind() {
    for columns in [3, 4] {
        let mut scene = served(120 + u64::from(columns), columns);
        let width = u8::try_from(columns).unwrap();
        let acked = scene.cluster.app(&name()).acked.clone();
        scene.demand((width..2 * width).all(|block| acked.get(block) > 0), "every column is written");
        let drives = |member: &Member| member.drives.iter().collect::<BTreeSet<_>>().len();
        let apart = scene.status().unwrap().members.iter().all(|member| drives(member) == usize::from(width));
        scene.demand(apart, "each column is on a drive of its own");
        scene.quiet_while_writing();
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
        is_written_to_the_end(&mut scene);
        scene.detach();
        scene.begin(fs, 2);
        scene.whole();
        scene.detach();
        scene.request_delete();
        scene.gone();
    }
}

#[test]
fn a_volume_of_three_or_four_columns_grows_as_a_whole_while_it_is_written() {
    for columns in [3, 4] {
        let mut scene = served(180 + u64::from(columns), columns);
        request_growth(&mut scene);
        grown(&mut scene);
        is_written_to_the_end(&mut scene);
        scene.quiet_while_writing();
        scene.lives_on_node_2_and_ends();
    }
}

/// As many columns as there may be, and a number that is no power of two. A copy lost its link, and then its node.
#[test]
fn a_volume_of_five_or_eight_columns_lives_and_is_healed_by_bitmap_and_by_a_new_copy() {
    for columns in [5, 8] {
        let mut scene = served(190 + u64::from(columns), columns);
        scene.quiet_while_writing();
        let width = u8::try_from(columns).unwrap();
        let acked = scene.cluster.app(&name()).acked.clone();
        scene.demand((1..width).all(|block| acked.get(block) > 0), "every column but the first is written");
        let (before, lost) = (scene.cluster.trace().len(), copy_on_node_2(&scene));
        scene.cluster.set_link(&node(1), &node(2), false);
        scene.write_for(5_000);
        scene.cluster.set_link(&node(1), &node(2), true);
        scene.whole();
        let since = scene.cluster.trace()[before..].join("\n");
        let by_bitmap = since.matches("(Bitmap recovery)").count();
        scene.demand(by_bitmap >= usize::from(width), &format!("{by_bitmap} columns came back by bitmap"));
        scene.demand(!since.contains("(Full recovery)"), "no full copy");
        scene.cluster.power_cut(&node(2), None);
        scene.write_for(50_000);
        replaced(&mut scene, &lost);
        scene.write_for(1_000);
        scene.cluster.power_on(&node(2));
        ends_well(&mut scene);
    }
}

/// A copy that lost one column is out of all of them, comes back in all of them, and only with what changed.
#[test]
fn a_copy_that_lost_a_link_comes_back_by_bitmap_in_every_column() {
    for seed in 1..=40 {
        let mut scene = Scene::new(80 + seed);
        scene.create(&striped(2));
        scene.attach(1);
        scene.write_for(2_000);
        let whole = scene.in_sync();
        let before = scene.cluster.trace().len();
        scene.cluster.set_link(&node(1), &node(2), false);
        scene.cluster.run_for(1_500 + seed % 10 * 300);
        scene.cluster.set_link(&node(1), &node(2), true);
        scene.write_for(4_000);
        scene.whole();
        scene.demand(scene.in_sync() == whole, "the same copies");
        let since = scene.cluster.trace()[before..].join("\n");
        scene.demand(since.matches("(Bitmap recovery)").count() >= 2, "bitmap catch-up in both columns");
        scene.demand(!since.contains("(Full recovery)"), "no full copy");
    }
}

fn drive_of_a_column(scene: &Scene, on: u8, column: usize) -> DriveId {
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

#[test]
fn a_striped_volume_survives_a_daemon_crash_at_every_other_step() {
    survives(&[(CrashWhen::BeforeEffect, None, 2), (CrashWhen::AfterEffect, None, 2)]);
}

#[test]
fn a_striped_volume_survives_power_cuts() {
    survives(&[(CrashWhen::PowerCut, None, 4), (CrashWhen::PowerCut, Some(1), 4)]);
}

fn survives(deaths: &[(CrashWhen, Option<u8>, usize)]) {
    let failed: Vec<String> =
        deaths.iter().flat_map(|death| fatal(*death, |crash| life(110, crash))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Until node-2 has no copy that stays and two copies hold every write.
fn replaced(scene: &mut Scene, lost: &Member) {
    scene.until(180_000, "replaced", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        let stays = status.staying().any(|member| member.replica == lost.replica);
        !stays && status.in_sync.len() == 2 && status.relocation.is_none()
    });
    let status = scene.status().unwrap();
    let new = status.staying().find(|member| member.node != node(1)).unwrap();
    let apart: BTreeSet<&DriveId> = new.drives.iter().collect();
    scene.demand(apart.len() == lost.drives.len(), "a drive for each column");
    scene.demand(!new.drives.iter().any(|drive| lost.drives.contains(drive)), "none of the lost copy's");
}

fn copy_on_node_2(scene: &Scene) -> Member {
    scene.status().unwrap().member_on(&node(2)).unwrap().clone()
}

#[test]
fn a_copy_whose_node_does_not_come_back_is_replaced_in_every_column() {
    for columns in [3, 4] {
        let mut scene = served(130 + u64::from(columns), columns);
        let lost = copy_on_node_2(&scene);
        scene.cluster.power_cut(&node(2), None);
        scene.write_for(50_000);
        scene.demand(scene.status().unwrap().relocation.is_none(), "it is waited for");
        replaced(&mut scene, &lost);
        scene.write_for(1_000);
        scene.cluster.power_on(&node(2));
        ends_well(&mut scene);
    }
}

/// One drive is enough to lose a copy: pulled it is waited for, failed it is not.
#[test]
fn a_copy_that_lost_one_drive_for_good_is_replaced_in_every_column() {
    for (fault, column, waits) in
        [(DriveFault::Pulled, 0, true), (DriveFault::Pulled, 3, true), (DriveFault::Failing, 2, false)]
    {
        let mut scene = served(140 + column as u64, 4);
        let lost = copy_on_node_2(&scene);
        scene.cluster.set_drive(&lost.drives[column], fault);
        scene.write_for(50_000);
        let stays = scene.status().unwrap().staying().any(|member| member.replica == lost.replica);
        scene.demand(stays == waits, "it is waited for, or not");
        replaced(&mut scene, &lost);
        scene.write_for(1_000);
        scene.cluster.set_drive(&lost.drives[column], DriveFault::None);
        ends_well(&mut scene);
    }
}

/// Of a new copy that cannot be finished only the drive that is to blame is not tried again.
#[test]
fn one_bad_drive_of_a_new_copy_does_not_condemn_the_others() {
    let mut scene = Scene::with(Config { seed: 145, nodes: 3, drives: 4, ..Config::default() });
    scene.create(&wide(3));
    scene.attach(1);
    scene.write_for(2_000);
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(2), Cordon::Empty)).unwrap();
    let joining = |cluster: &Cluster| {
        let status = cluster.world().volume_status(&name()).unwrap().clone();
        status.member(status.relocation.as_ref()?.joining?).cloned()
    };
    scene.until(60_000, "a new copy is begun", |cluster| joining(cluster).is_some());
    let first = joining(&scene.cluster).unwrap();
    scene.cluster.set_drive(&first.drives[1], DriveFault::Failing);
    scene.until(120_000, "it is given up", |cluster| {
        !cluster.world().volume_status(&name()).unwrap().tried.is_empty()
    });
    let tried: Vec<DriveId> = scene.status().unwrap().tried.iter().map(|tried| tried.drive.clone()).collect();
    scene.demand(tried == [first.drives[1].clone()], &format!("{tried:?} of {:?}", first.drives));
    // What was begun can be erased; that it failed is not forgotten.
    scene.cluster.set_drive(&first.drives[1], DriveFault::None);
    scene.until(240_000, "moved", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.in_sync.len() == 2 && status.staying().all(|member| member.node != node(2))
    });
    let second = scene.status().unwrap().member_on(&node(3)).unwrap();
    scene.demand(!second.drives.contains(&first.drives[1]), "not on the drive that failed");
    ends_well(&mut scene);
}

#[test]
fn a_striped_volume_is_scaled_by_place_and_by_number_under_load() {
    for columns in [3, 4] {
        let mut scene = served(150 + u64::from(columns), columns);
        let is_at = |scene: &Scene, nodes: &[&str]| {
            scene.demand(homes(scene) == nodes, &format!("{:?} instead of {nodes:?}", homes(scene)));
            scene.demand(scene.cluster.torn().is_empty(), &format!("{:?}", scene.cluster.torn()));
        };
        scale(&mut scene, &add(3));
        scene.write_for(1_000);
        is_at(&scene, &["node-1", "node-2", "node-3"]);
        scale(&mut scene, &remove(2));
        scene.write_for(1_000);
        is_at(&scene, &["node-1", "node-3"]);
        scale(&mut scene, &number(3));
        scene.write_for(1_000);
        scene.demand(scene.in_sync().len() == 3, "three hold every write");
        scale(&mut scene, &number(2));
        let stall = scene.cluster.app(&name()).longest_stall;
        scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
        ends_well(&mut scene);
    }
}

#[test]
fn the_striped_volume_of_a_dead_owner_is_attached_elsewhere_and_its_copy_is_made_anew() {
    for seed in 0..6 {
        let config = Config { seed: 160 + seed, drives: 4, ..Config::default() };
        let scene = failover::the_owner_dies_of(config, &wide(3 + u32::try_from(seed % 2).unwrap()));
        let by_bitmap = scene.cluster.steps().iter().any(|step| step.contains("(Bitmap recovery)"));
        scene.demand(!by_bitmap, "nothing comes back by bitmap");
    }
}

#[test]
fn the_woken_owner_of_a_striped_volume_acknowledges_nothing_and_its_copy_is_made_anew() {
    for (seed, fs) in
        (170..).zip([FsType::Xfs, FsType::Ext4, FsType::Raw, FsType::Xfs, FsType::Ext4, FsType::Raw])
    {
        let config = Config { seed, drives: 4, ..Config::default() };
        let columns = 3 + u32::try_from(seed % 2).unwrap();
        zombie::the_owner_of_this_wakes_up(config, &CreateVolume { fs, ..wide(columns) });
    }
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
