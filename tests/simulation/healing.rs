//! Copies that are lost and replaced, and those that come back.

use mdfabric::domain::{
    Bytes, DriveId, Member, MemberState, MoveCause, NodeName, VolumePhase, VolumeStatus, VolumeUid,
};
use mdfabric::plan::verbs::{self, Cordon, CreateVolume};
use mdfabric::plan::{Lane, Step};
use mdfabric::sim::{Cluster, Config, Crash, CrashWhen, DriveFault, Hang};

use super::scaling::{add, at};
use super::support::{Scene, edit_record, every_death, fatal, is_mounted, is_whole, name, node, wish};

/// The shortest there is, in milliseconds.
const TIMEOUT: u64 = 60_000;

/// Two copies, the volume mounted on a node with one. Who has the other.
fn two_copies(seed: u64, nodes: u8, drives: u8) -> (Scene, u8) {
    let mut scene = Scene::with(Config { seed, nodes, drives, ..Config::default() });
    scene.create(&CreateVolume { member_missing_timeout_seconds: 60, ..wish(2) });
    let holds = |index: &u8| scene.status().unwrap().member_on(&node(*index)).is_some();
    let homes: Vec<u8> = (1..=nodes).filter(holds).collect();
    scene.attach(homes[0]);
    scene.write_for(500);
    (scene, homes[1])
}

fn member_on(scene: &Scene, index: u8) -> Option<Member> {
    scene.status().unwrap().member_on(&node(index)).cloned()
}

fn drive_of(scene: &Scene, index: u8) -> DriveId {
    member_on(scene, index).unwrap().drives[0].clone()
}

fn events(scene: &Scene, reason: &str) -> Vec<String> {
    let events = scene.status().unwrap().events.iter().filter(|event| event.reason == reason);
    events.map(|event| event.message.clone()).collect()
}

fn reason(scene: &Scene, code: &str) -> Option<String> {
    let reasons = &scene.status().unwrap().reasons;
    reasons.iter().find(|reason| reason.code == code).map(|reason| reason.message.clone())
}

fn until_missing(scene: &mut Scene, index: u8) {
    let gone = node(index);
    scene.until(30_000, "missing", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.member_on(&gone).is_some_and(|member| member.state == MemberState::Missing)
    });
}

/// Until all copies asked for hold every write and none of them is on a node.
fn until_replaced(scene: &mut Scene, index: u8) {
    let gone = node(index);
    scene.until(TIMEOUT + 120_000, "replaced", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        let stays = status.staying().any(|member| member.node == gone);
        !stays && status.in_sync.len() == 2 && status.relocation.is_none()
    });
}

#[test]
fn a_copy_that_is_missing_for_too_long_is_replaced_and_erased_when_it_is_back() {
    let (mut scene, gone) = two_copies(41, 4, 1);
    let since = scene.cluster.now();
    scene.cluster.power_cut(&node(gone), None);
    until_missing(&mut scene, gone);
    scene.write_for(TIMEOUT - 10_000);
    scene.demand(scene.status().unwrap().relocation.is_none(), "it is waited for");
    let waits = reason(&scene, "MemberMissing").unwrap_or_default();
    scene.demand(waits.contains("replaced once it has been missing for 60 s"), &waits);
    until_replaced(&mut scene, gone);
    let took = scene.cluster.now().since(since);
    scene.demand((TIMEOUT..TIMEOUT + 30_000).contains(&took), &format!("replaced after {took} ms"));
    let said = events(&scene, "ReplicaReplaced");
    scene.demand(said.len() == 1, &format!("{said:?}"));
    scene.cluster.power_on(&node(gone));
    scene.until(60_000, "the old copy is erased", is_whole);
    scene.write_for(500);
    scene.quiet_while_writing();
}

#[test]
fn a_copy_that_is_back_in_time_is_caught_up_by_bitmap_and_the_clock_starts_anew() {
    let (mut scene, gone) = two_copies(42, 4, 1);
    let before = member_on(&scene, gone).unwrap().replica;
    for _ in 0..3 {
        scene.cluster.power_cut(&node(gone), Some(40_000));
        until_missing(&mut scene, gone);
        scene.write_for(500);
        scene.until(120_000, "whole", is_whole);
    }
    let now = member_on(&scene, gone).unwrap();
    scene.demand(now.replica == before && now.waited_millis == 0, &format!("{now:?}"));
    let full = scene.cluster.steps().iter().filter(|step| step.contains("by full")).count();
    scene.demand(full == 0, "nothing is copied whole");
}

/// A copy is lost, another one is filled while it is away, and nothing is written from then on: MD has no reason to refuse the lost one its
/// bitmap, and would have forgotten what it lacks had the other one been given its slot.
pub(crate) fn a_copy_is_back_after_another_was_filled(mut config: Config) {
    config.nodes = 4;
    let mut scene = Scene::with(config);
    scene.create(&wish(2));
    let homes = (1..=4).partition(|index| member_on(&scene, *index).is_some());
    let (there, free): (Vec<u8>, Vec<u8>) = homes;
    scene.attach(there[0]);
    scene.write_a_little();
    scene.cluster.power_cut(&node(there[1]), None);
    until_missing(&mut scene, there[1]);
    scene.write_a_little();
    scene.app().writing = false;
    scene.cluster.request(|world, _| verbs::edit(world, &add(free[0]))).unwrap();
    scene.until_recorded(120_000, "another one is filled", |status| status.in_sync.len() == 2);
    // Bits go one by one.
    scene.cluster.run_for(60_000);
    scene.cluster.power_cut(&node(free[0]), None);
    until_missing(&mut scene, free[0]);
    scene.cluster.power_on(&node(there[1]));
    scene.until_recorded(60_000, "the lost one is back", |status| status.in_sync.len() == 2);
    scene.cluster.power_on(&node(free[0]));
    scene.whole();
}

#[test]
fn a_lost_copy_comes_back_by_bitmap_whoever_was_filled_meanwhile() {
    for seed in 0..8 {
        a_copy_is_back_after_another_was_filled(Config { seed: 440 + seed, ..Config::default() });
    }
}

/// The time a copy was missing survives those who counted it.
#[test]
fn daemons_that_die_while_they_wait_do_not_wait_for_ever() {
    let (mut scene, gone) = two_copies(43, 4, 1);
    let owner = scene.status().unwrap().owner.clone().unwrap();
    scene.cluster.power_cut(&node(gone), None);
    until_missing(&mut scene, gone);
    for _ in 0..4 {
        scene.write_for(35_000);
        scene.cluster.kill_daemon(&owner, 1_000);
    }
    until_replaced(&mut scene, gone);
}

#[test]
fn with_nowhere_to_go_the_reason_is_told_per_node() {
    let (mut scene, gone) = two_copies(44, 4, 1);
    let others: Vec<u8> = (1..=4).filter(|index| member_on(&scene, *index).is_none()).collect();
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(others[0]), Cordon::On)).unwrap();
    scene.cluster.power_cut(&node(others[1]), None);
    scene.cluster.power_cut(&node(gone), None);
    scene.write_for(TIMEOUT + 20_000);
    let why = reason(&scene, "NoReplacement").unwrap_or_default();
    let owner = scene.status().unwrap().owner.clone().unwrap();
    let wanted = [
        format!("{owner}: hosts a copy"),
        format!("node-{}: cordoned", others[0]),
        format!("node-{}: does not answer", others[1]),
    ];
    scene.demand(wanted.iter().all(|line| why.contains(line)), &why);
    scene.demand(member_on(&scene, gone).unwrap().state == MemberState::Missing, "it stays Missing");
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(others[0]), Cordon::Off)).unwrap();
    until_replaced(&mut scene, gone);
}

/// There is a node whose drive is cordoned, one whose drive is full, and one with a copy.
#[test]
fn with_no_drive_to_go_to_it_is_told_of_each_drive_why() {
    let (mut scene, gone) = two_copies(67, 4, 1);
    let others: Vec<u8> = (1..=4).filter(|index| member_on(&scene, *index).is_none()).collect();
    let [cordoned, full] =
        [others[0], others[1]].map(|index| format!("n{index}d1").parse::<DriveId>().unwrap());
    scene.cluster.request(|world, _| verbs::cordon_drive(world, &cordoned, Cordon::On)).unwrap();
    scene.volume = "large".parse().unwrap();
    let large = CreateVolume::new(scene.volume.clone(), Bytes::mib(3_500));
    scene.create(&CreateVolume { replicas: 1, placement: vec![at(others[1])], ..large });
    scene.volume = name();
    scene.cluster.power_cut(&node(gone), None);
    scene.write_for(TIMEOUT + 20_000);
    let why = reason(&scene, "NoReplacement").unwrap_or_default();
    let owner = scene.status().unwrap().owner.clone().unwrap();
    let free = scene.cluster.world().drive_status(&full).unwrap().largest_free;
    let wanted = [
        format!("{owner}: hosts a copy"),
        format!("node-{gone}: hosts a copy"),
        format!("node-{}: drive {cordoned}: cordoned", others[0]),
        format!("node-{}: drive {full}: {free} free of 1.0 GiB needed", others[1]),
    ];
    scene.demand(wanted.iter().all(|line| why.contains(line)), &why);
    scene.demand(member_on(&scene, gone).unwrap().state == MemberState::Missing, "it stays Missing");
    scene.cluster.request(|world, _| verbs::cordon_drive(world, &cordoned, Cordon::Off)).unwrap();
    until_replaced(&mut scene, gone);
}

/// The lost copy of a detached volume is being replaced: which one, and by whom.
fn replaced_by_a_maintainer(seed: u64) -> (Scene, u8, NodeName) {
    let (mut scene, gone) = two_copies(seed, 4, 1);
    scene.detach();
    scene.cluster.power_cut(&node(gone), None);
    begun(&mut scene, MoveCause::Heal);
    let maintainer = scene.status().unwrap().owner.clone().unwrap();
    (scene, gone, maintainer)
}

/// The new copy, and whether it counts.
fn new_copy(status: &VolumeStatus) -> Option<(&Member, bool)> {
    let new = status.member(status.relocation.as_ref()?.joining?)?;
    Some((new, status.in_sync.contains(&new.replica)))
}

/// It is asked for where nothing of it is, and used there soon; the replacement ends under its new owner. Whether the new copy counted
/// before.
fn attached_meanwhile(scene: &mut Scene, gone: u8) -> bool {
    let epoch = scene.status().unwrap().epoch;
    let to = (1..=4).find(|index| *index != gone && member_on(scene, *index).is_none()).unwrap();
    scene.request_attach(to);
    scene.until(15_000, "mounted where it is asked for", is_mounted);
    let status = scene.status().unwrap();
    scene.demand(status.epoch == epoch.next(), "it was handed over once");
    let counted = new_copy(status).map(|(_, counts)| counts);
    scene.demand(counted.is_some(), "the replacement was not waited for");
    until_replaced(scene, gone);
    scene.write_a_little();
    scene.cluster.power_on(&node(gone));
    scene.whole();
    counted == Some(true)
}

#[test]
fn a_maintainer_that_fills_a_copy_gives_way_at_once() {
    let mut filled = 0;
    for seed in 450..456 {
        let (mut scene, gone, _) = replaced_by_a_maintainer(seed);
        scene.until_recorded(60_000, "it is being filled", |status| {
            new_copy(status).is_some_and(|(new, counts)| new.state == MemberState::Syncing && !counts)
        });
        filled += usize::from(attached_meanwhile(&mut scene, gone));
    }
    assert!(filled < 3, "{filled} of 6 copies were filled before the volume was let go");
}

/// The comparison does not come to its end by itself.
#[test]
fn a_maintainer_that_compares_gives_way_at_once() {
    for seed in 460..463 {
        let (mut scene, gone, maintainer) = replaced_by_a_maintainer(seed);
        let is_it = |step: &Step| matches!(step, Step::Compare { .. });
        scene.cluster.hang(&maintainer, Some(Hang { lane: Lane::Volume(name()), is_it }));
        let compares = |cluster: &Cluster| {
            cluster.under_way(&maintainer).iter().any(|step| step.starts_with("compare "))
        };
        scene.until(60_000, "it is compared", compares);
        scene.cluster.run_for(2_000);
        scene.demand(compares(&scene.cluster), "it goes on being compared");
        attached_meanwhile(&mut scene, gone);
    }
}

#[test]
fn a_detached_volume_is_healed_and_let_go_again() {
    let (mut scene, gone) = two_copies(45, 4, 1);
    scene.detach();
    scene.cluster.power_cut(&node(gone), None);
    scene.cluster.run_for(TIMEOUT);
    scene.demand(scene.status().unwrap().owner.is_none(), "nobody owns it while it is waited for");
    until_replaced(&mut scene, gone);
    scene.until(60_000, "let go", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.quiet();
    let home = (1..=4).find(|index| *index != gone && member_on(&scene, *index).is_some()).unwrap();
    scene.attach(home);
    scene.write_for(500);
}

#[test]
fn a_replacement_that_cannot_be_finished_is_made_elsewhere() {
    let (mut scene, gone) = two_copies(46, 5, 1);
    scene.cluster.power_cut(&node(gone), None);
    until_missing(&mut scene, gone);
    let first = begun(&mut scene, MoveCause::Heal);
    scene.cluster.set_drive(&first.drives[0], DriveFault::Failing);
    scene.until(120_000, "given up", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.events.iter().any(|event| event.reason == "ReplacementGivenUp")
    });
    let second = begun(&mut scene, MoveCause::Heal);
    scene.demand(second.node != first.node, "another drive is tried");
    until_replaced(&mut scene, gone);
    scene.demand(scene.status().unwrap().tried.is_empty(), "forgotten once it worked");
}

/// The copy that is being built, for a cause.
fn begun(scene: &mut Scene, cause: MoveCause) -> Member {
    let of = |status: &VolumeStatus| {
        let relocation = status.relocation.as_ref().filter(|relocation| relocation.cause == cause)?;
        status.member(relocation.joining?).cloned()
    };
    scene.until(TIMEOUT + 60_000, "a new copy is begun", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| of(status).is_some())
    });
    of(scene.status().unwrap()).unwrap()
}

/// A drain goes on elsewhere when what it builds on dies for good.
#[test]
fn a_move_nobody_named_that_cannot_be_finished_is_made_elsewhere() {
    for power in [false, true] {
        let (mut scene, other) = two_copies(56, 5, 1);
        scene.cluster.request(|world, _| verbs::cordon_node(world, &node(other), Cordon::Empty)).unwrap();
        let first = begun(&mut scene, MoveCause::Evacuate);
        if power {
            scene.cluster.power_cut(&first.node, None);
        } else {
            scene.cluster.set_drive(&first.drives[0], DriveFault::Failing);
        }
        scene.until(240_000, "moved", |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            let stays: Vec<&Member> = status.staying().collect();
            status.in_sync.len() == 2 && stays.iter().all(|member| member.node != node(other))
        });
        scene.demand(events(&scene, "ReplicaGivenUp").len() == 1, "told once");
        let status = scene.status().unwrap();
        scene.demand(status.staying().all(|member| member.node != first.node), "elsewhere");
        scene.write_for(500);
    }
}

#[test]
fn an_owners_own_copy_is_built_on_its_other_drive_after_one_failed() {
    let mut scene = Scene::with(Config { seed: 57, nodes: 2, drives: 2, ..Config::default() });
    scene.create(&CreateVolume { replicas: 1, ..wish(1) });
    let home = (1..=2).find(|index| member_on(&scene, *index).is_some()).unwrap();
    let owner = 3 - home;
    scene.attach(owner);
    let first = begun(&mut scene, MoveCause::FollowOwner);
    scene.cluster.set_drive(&first.drives[0], DriveFault::Failing);
    scene.until(120_000, "given up", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.events.iter().any(|event| event.reason == "ReplicaGivenUp")
    });
    scene.write_for(5_000);
    // What was begun can be erased; that it failed is not forgotten.
    scene.cluster.set_drive(&first.drives[0], DriveFault::None);
    scene.until(240_000, "followed", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.in_sync.len() == 1 && status.staying().all(|member| member.node == node(owner))
    });
    scene.demand(member_on(&scene, owner).unwrap().drives != first.drives, "on the other drive");
    scene.write_for(500);
}

/// Uncordoned before anything of the new copy is in the array: nothing moves.
#[test]
fn a_drain_that_is_taken_back_moves_nothing_more() {
    let (mut scene, other) = two_copies(58, 4, 1);
    let before = member_on(&scene, other).unwrap().replica;
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(other), Cordon::Empty)).unwrap();
    let new = begun(&mut scene, MoveCause::Evacuate);
    scene.cluster.set_drive(&new.drives[0], DriveFault::Pulled);
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(other), Cordon::Off)).unwrap();
    scene.until(30_000, "given up", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.relocation.is_none())
    });
    let told = events(&scene, "ReplicaGivenUp");
    scene.demand(told.iter().any(|event| event.contains("is not emptied any more")), &format!("{told:?}"));
    scene.cluster.set_drive(&new.drives[0], DriveFault::None);
    scene.until(60_000, "what was begun is erased", is_whole);
    scene.demand(scene.status().unwrap().member(before).is_some(), "the copy stayed");
}

#[test]
fn a_copy_that_is_back_before_anything_of_the_new_one_is_kept() {
    let (mut scene, gone) = two_copies(47, 4, 1);
    let before = member_on(&scene, gone).unwrap().replica;
    scene.cluster.power_cut(&node(gone), None);
    until_missing(&mut scene, gone);
    scene.until(TIMEOUT + 60_000, "a replacement is begun", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.relocation.is_some())
    });
    let status = scene.status().unwrap();
    let new = status.member(status.relocation.as_ref().unwrap().joining.unwrap()).unwrap().clone();
    scene.cluster.set_drive(&new.drives[0], DriveFault::Pulled);
    scene.cluster.power_on(&node(gone));
    scene.until(60_000, "the old one is caught up", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.in_sync.contains(&before))
    });
    scene.demand(events(&scene, "ReplicaReplaced").is_empty(), "nothing was replaced");
    scene.cluster.set_drive(&new.drives[0], DriveFault::None);
    scene.until(60_000, "what was begun is erased", is_whole);
}

#[test]
fn a_failed_drive_is_replaced_at_once() {
    for local in [false, true] {
        let (mut scene, other) = two_copies(48, 4, 1);
        let owner = (1..=4).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
        let index = if local { owner } else { other };
        let drive = drive_of(&scene, index);
        scene.cluster.set_drive(&drive, DriveFault::Failing);
        let since = scene.cluster.now();
        until_replaced(&mut scene, index);
        let took = scene.cluster.now().since(since);
        scene.demand(took < 30_000, &format!("local {local}: {took} ms"));
        scene.write_for(500);
    }
}

/// A superblock that cannot be read is not tried for ever while there is another copy that holds every write.
#[test]
fn a_volume_starts_without_the_copy_on_a_drive_that_failed_while_it_was_detached() {
    for local in [false, true] {
        let (mut scene, other) = two_copies(61, 4, 1);
        let owner = (1..=4).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
        let index = if local { owner } else { other };
        scene.detach();
        scene.cluster.set_drive(&drive_of(&scene, index), DriveFault::Failing);
        scene.attach(owner);
        scene.write_a_little();
        let told = events(&scene, "MemberDropped");
        scene.demand(told.iter().any(|event| event.contains("cannot be read")), &format!("{told:?}"));
        until_replaced(&mut scene, index);
    }
}

#[test]
fn a_failed_drive_is_replaced_by_another_one_of_its_node_if_there_is_no_other_node() {
    let (mut scene, other) = two_copies(49, 2, 2);
    let drive = drive_of(&scene, other);
    scene.cluster.set_drive(&drive, DriveFault::Failing);
    scene.until(60_000, "replaced", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        let staying: Vec<&Member> = status.staying().collect();
        status.in_sync.len() == 2 && staying.iter().all(|member| member.drives[0] != drive)
    });
    scene.write_for(500);
}

#[test]
fn a_pulled_drive_is_waited_for_and_comes_back_with_old_data() {
    for local in [false, true] {
        let (mut scene, other) = two_copies(50, 4, 1);
        let owner = (1..=4).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
        let index = if local { owner } else { other };
        let (drive, before) = (drive_of(&scene, index), member_on(&scene, index).unwrap().replica);
        scene.cluster.set_drive(&drive, DriveFault::Pulled);
        until_missing(&mut scene, index);
        scene.write_for(20_000);
        scene.cluster.set_drive(&drive, DriveFault::None);
        scene.whole();
        scene.demand(scene.status().unwrap().member(before).is_some(), "the same copy");

        scene.cluster.set_drive(&drive, DriveFault::Pulled);
        until_missing(&mut scene, index);
        until_replaced(&mut scene, index);
        scene.write_for(500);
        scene.cluster.set_drive(&drive, DriveFault::None);
        scene.until(60_000, "its old data is erased", is_whole);
        scene.quiet_while_writing();
    }
}

/// What does not answer at a start leaves the set only once it is known that there is another copy that can be read.
#[test]
fn a_copy_that_cannot_be_read_makes_nobody_leave_who_does_not_answer() {
    let (mut scene, other) = two_copies(65, 4, 1);
    let owner = (1..=4).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
    scene.detach();
    scene.cluster.set_drive(&drive_of(&scene, owner), DriveFault::Failing);
    scene.cluster.set_link(&node(owner), &node(other), false);
    scene.request_attach(owner);
    scene.cluster.run_for(120_000);
    scene.cluster.set_link(&node(owner), &node(other), true);
    scene.attach(owner);
    scene.write_a_little();
    until_replaced(&mut scene, owner);
}

fn unmount(scene: &mut Scene) {
    scene.app().writing = false;
    scene.cluster.request(|world, _| verbs::unmount(world, &name())).unwrap();
    scene.until_recorded(30_000, "unmounted", |status| status.array.mounted_at.is_none());
}

/// The kernel keeps the last member, whatever its drive says: what was acknowledged is on it, and it is started from when nobody uses it.
#[test]
fn the_last_copy_pulled_from_below_its_owner_starts_anew_once_nobody_uses_it() {
    for (seed, columns, detaches) in [(63, 1, true), (64, 2, true), (65, 1, false), (66, 2, false)] {
        let mut scene = Scene::with(Config { seed, nodes: 2, drives: 2, ..Config::default() });
        scene.create(&CreateVolume { stripe_width: columns, ..wish(1) });
        let home = (1..=2).find(|index| member_on(&scene, *index).is_some()).unwrap();
        scene.attach(home);
        scene.write_a_little();
        let drive = drive_of(&scene, home);
        scene.cluster.set_drive(&drive, DriveFault::Pulled);
        let tells =
            |status: &VolumeStatus, code: &str| status.reasons.iter().any(|reason| reason.code == code);
        scene.until_recorded(30_000, "it is told", |status| tells(status, "LastCopyPulled"));
        scene.demand(!tells(scene.status().unwrap(), "WritesWait"), "writes fail, they do not wait");
        scene.cluster.set_drive(&drive, DriveFault::None);
        if detaches {
            scene.detach();
        } else {
            unmount(&mut scene);
        }
        scene.attach(home);
        scene.write_a_little();
        scene.demand(!tells(scene.status().unwrap(), "LastCopyPulled"), "nothing is told any more");
        scene.whole();
    }
}

/// Its provider's daemon was dead meanwhile: what is exported holds a device that is gone all the same.
#[test]
fn a_drive_that_was_pulled_and_put_back_while_nobody_looked_is_served_again() {
    let (mut scene, other) = two_copies(60, 3, 1);
    let (drive, before) = (drive_of(&scene, other), member_on(&scene, other).unwrap().replica);
    scene.cluster.kill_daemon(&node(other), 3_000);
    scene.cluster.set_drive(&drive, DriveFault::Pulled);
    scene.cluster.run_for(1_000);
    scene.cluster.set_drive(&drive, DriveFault::None);
    scene.write_for(10_000);
    scene.whole();
    scene.demand(scene.status().unwrap().member(before).is_some(), "the same copy");
}

/// From the loss to the new copy, with one death on the way. How many moments there were to die at.
fn way(crash: Option<Crash>) -> usize {
    let (mut scene, gone) = two_copies(51, 4, 1);
    scene.cluster.power_cut(&node(gone), None);
    until_missing(&mut scene, gone);
    scene.write_for(TIMEOUT - 5_000);
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    until_replaced(&mut scene, gone);
    scene.until(60_000, "everybody else is up", |cluster| {
        (1..=4).filter(|index| *index != gone).all(|index| cluster.is_powered(&node(index)))
    });
    scene.write_a_little();
    scene.cluster.counted() - base
}

#[test]
fn a_death_at_any_step_of_a_replacement_is_survived() {
    let steps = way(None);
    assert!(steps > 8, "{steps} steps");
    for at in 0..steps {
        for when in [CrashWhen::BeforeEffect, CrashWhen::AfterEffect] {
            way(Some(Crash { at, when, node: None, down: 2_000 }));
        }
    }
}

fn drained(scene: &mut Scene, index: u8) {
    let gone = node(index);
    scene.until(120_000, "drained", |cluster| {
        cluster.world().volume_status(&name()).unwrap().member_on(&gone).is_none() && is_whole(cluster)
    });
}

#[test]
fn a_drained_node_gives_its_copies_away_and_serves_what_finds_no_place() {
    let (mut scene, other) = two_copies(52, 3, 1);
    let owner = (1..=3).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
    let free = (1..=3).find(|index| member_on(&scene, *index).is_none()).unwrap();
    let drain = |scene: &mut Scene, index: u8, cordon| {
        scene.cluster.request(|world, _| verbs::cordon_node(world, &node(index), cordon)).unwrap();
    };
    drain(&mut scene, other, Cordon::Empty);
    drained(&mut scene, other);
    scene.demand(member_on(&scene, free).is_some(), "it went where there was room");
    drain(&mut scene, owner, Cordon::Empty);
    scene.write_for(5_000);
    let why = reason(&scene, "CannotMove").unwrap_or_default();
    scene.demand(why.contains(&format!("node-{other}: cordoned")), &why);
    scene.demand(scene.in_sync().len() == 2, "both serve");
    drain(&mut scene, other, Cordon::Off);
    drained(&mut scene, owner);
    let stall = scene.cluster.app(&name()).longest_stall;
    scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
    drain(&mut scene, owner, Cordon::Off);
    scene.quiet_while_writing();
}

#[test]
fn a_detached_volume_leaves_a_drained_node_too() {
    let (mut scene, other) = two_copies(53, 3, 1);
    scene.detach();
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(other), Cordon::Empty)).unwrap();
    drained(&mut scene, other);
    scene.until(60_000, "let go", |cluster| {
        cluster.world().volume_status(&name()).is_some_and(|status| status.owner.is_none())
    });
    scene.quiet();
}

/// The data stays where it is used, if its node has another drive.
#[test]
fn an_evicted_drive_is_emptied_onto_its_neighbour() {
    for (seed, drives) in [(54, 2), (55, 1)] {
        let (mut scene, other) = two_copies(seed, 3, drives);
        let drive = drive_of(&scene, other);
        let verdict = verbs::cordon_drive(scene.cluster.world(), &drive, Cordon::Empty).unwrap();
        let foretold = verdict.chosen.join("\n");
        scene.cluster.request(|world, _| verbs::cordon_drive(world, &drive, Cordon::Empty)).unwrap();
        scene.until(120_000, "emptied", |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            status.members.iter().all(|member| member.drives[0] != drive) && is_whole(cluster)
        });
        let status = scene.status().unwrap();
        let at = status.members.iter().find(|member| foretold.contains(&format!("to {}", member.node)));
        scene.demand(at.is_some_and(|member| (member.node == node(other)) == (drives == 2)), &foretold);
        scene.write_for(500);
    }
}

/// A drive is emptied with one death on the way, and the volume goes on to its end. How many moments there were to die at.
fn eviction(drives: u8, of_owner: bool, crash: Option<Crash>) -> usize {
    let (mut scene, other) = two_copies(59, 3, drives);
    let owner = (1..=3).find(|index| *index != other && member_on(&scene, *index).is_some()).unwrap();
    let drive = drive_of(&scene, if of_owner { owner } else { other });
    let base = scene.cluster.counted();
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    scene.cluster.request(|world, _| verbs::cordon_drive(world, &drive, Cordon::Empty)).unwrap();
    scene.until(240_000, "emptied", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.members.iter().all(|member| member.drives[0] != drive) && is_whole(cluster)
    });
    let moments = scene.cluster.counted() - base;
    scene.until(60_000, "everybody is back", Cluster::is_up);
    scene.until(120_000, "mounted", is_mounted);
    scene.write_a_little();
    scene.detach();
    scene.request_delete();
    scene.gone();
    moments
}

#[test]
fn an_eviction_survives_every_death() {
    let lives = [(1, false), (2, false), (1, true), (2, true)];
    let of_life = |(drives, of_owner)| {
        let life = move |crash| eviction(drives, of_owner, crash);
        let fatal = every_death(&[1, 2, 3]).into_iter().flat_map(move |death| fatal(death, life));
        fatal.map(move |what| format!("{what}, {drives} drives, the owner's: {of_owner}"))
    };
    let failed: Vec<String> = lives.into_iter().flat_map(of_life).collect();
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

/// Several volumes with copies on node-1, where they are attached, and node-2.
fn several(seed: u64, count: u8) -> Scene {
    let mut scene = Scene::with(Config { seed, nodes: 4, ..Config::default() });
    for index in 1..=count {
        let wish = CreateVolume {
            name: format!("v{index}").parse().unwrap(),
            size: Bytes::mib(512),
            placement: vec![at(1), at(2)],
            member_missing_timeout_seconds: 60,
            ..wish(2)
        };
        let uid = VolumeUid(uuid::Uuid::from_u128(100 + u128::from(index)));
        scene.cluster.request(|world, now| verbs::create(world, &wish, uid, now)).unwrap();
    }
    scene.until(60_000, "all are made", |cluster| {
        all_are(cluster, |status| status.phase == VolumePhase::Synced)
    });
    for index in 1..=count {
        let name = format!("v{index}").parse().unwrap();
        scene.cluster.request(|world, _| verbs::attach(world, &name, &node(1))).unwrap();
    }
    scene.until(60_000, "all run", |cluster| {
        all_are(cluster, |status| status.formatted && status.in_sync.len() == 2)
    });
    scene
}

fn all_are(cluster: &Cluster, so: impl Fn(&VolumeStatus) -> bool) -> bool {
    cluster.world().volumes().all(|volume| volume.status.is_some_and(|status| so(&status)))
}

/// Until no volume has a copy on node-2 any more: how many new copies were built at a time at most, and whether others said that
/// they wait for those.
fn most_at_a_time(scene: &mut Scene, code: &str) -> (usize, bool) {
    let (mut most, mut queued) = (0, false);
    let is_free = |status: &VolumeStatus| {
        status.staying().all(|member| member.node != node(2)) && status.in_sync.len() == 2
    };
    let done = scene.cluster.run_until(600_000, |cluster| {
        let statuses: Vec<VolumeStatus> =
            cluster.world().volumes().filter_map(|volume| volume.status).collect();
        most = most.max(statuses.iter().filter(|status| builds(status)).count());
        queued |= statuses.iter().any(|status| status.reasons.iter().any(|reason| reason.code == code));
        statuses.iter().all(is_free)
    });
    scene.demand(done, "node-2 has no copy any more");
    (most, queued)
}

/// Whether a new copy is being built.
fn builds(status: &VolumeStatus) -> bool {
    let joining = status.relocation.as_ref().and_then(|relocation| relocation.joining);
    joining.is_some_and(|joining| !status.in_sync.contains(&joining))
}

#[test]
fn a_node_fills_only_so_many_new_copies_at_a_time_and_the_others_say_that_they_wait() {
    for (seed, drains, code) in [(62, false, "HealQueued"), (63, true, "MoveQueued")] {
        let mut scene = several(seed, 5);
        if drains {
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(2), Cordon::Empty)).unwrap();
        } else {
            scene.cluster.power_cut(&node(2), None);
        }
        let (most, queued) = most_at_a_time(&mut scene, code);
        let bound = mdfabric::plan::timing::HEALS_PER_NODE;
        scene.demand(most == bound, &format!("{most} at a time instead of {bound}"));
        scene.demand(queued, &format!("nobody said {code}"));
    }
}

/// Two copies are lost, or one is lost and another one is to move: one new copy at a time.
#[test]
fn a_volume_builds_one_new_copy_at_a_time() {
    for (seed, drains) in [(64, false), (65, true)] {
        let mut scene = Scene::with(Config { seed, nodes: 5, drives: 1, ..Config::default() });
        let placement = vec![at(1), at(2), at(3)];
        scene.create(&CreateVolume { placement, member_missing_timeout_seconds: 60, ..wish(3) });
        scene.attach(1);
        scene.write_for(500);
        scene.cluster.power_cut(&node(2), None);
        if drains {
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(4), Cordon::On)).unwrap();
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(5), Cordon::On)).unwrap();
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(3), Cordon::Empty)).unwrap();
            scene.write_for(TIMEOUT + 5_000);
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(4), Cordon::Off)).unwrap();
            scene.cluster.request(|world, _| verbs::cordon_node(world, &node(5), Cordon::Off)).unwrap();
        } else {
            scene.cluster.power_cut(&node(3), None);
        }
        let mut most = 0;
        let done = scene.cluster.run_until(TIMEOUT + 240_000, |cluster| {
            let status = cluster.world().volume_status(&name()).unwrap();
            let new = |member: &&Member| [node(4), node(5)].contains(&member.node);
            let built =
                status.staying().filter(new).filter(|member| !status.in_sync.contains(&member.replica));
            most = most.max(built.count());
            status.staying().filter(new).count() == 2 && status.in_sync.len() == 3
        });
        scene.demand(done, "both have been replaced");
        scene.demand(most == 1, &format!("{most} at a time"));
        scene.write_for(500);
    }
}

#[test]
fn why_a_detached_volume_stays_on_a_drained_node_is_said() {
    let (mut scene, _) = two_copies(54, 2, 1);
    scene.detach();
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(1), Cordon::Empty)).unwrap();
    scene.until(30_000, "it is said", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.reasons.iter().any(|reason| reason.code == "CannotMove")
    });
    scene.quiet();
    scene.cluster.request(|world, _| verbs::cordon_node(world, &node(1), Cordon::Off)).unwrap();
    scene.until(30_000, "it is over", |cluster| {
        cluster.world().volume_status(&name()).unwrap().reasons.is_empty()
    });
}

/// Less than the shortest there is, written into the record past the verbs: it is refused by name, and the copy is waited for.
#[test]
fn a_timeout_that_is_too_short_is_not_kept_to() {
    for seconds in [0, 59] {
        let (mut scene, other) = two_copies(970, 3, 1);
        edit_record(&mut scene, |spec| spec.member_missing_timeout_seconds = seconds);
        scene.cluster.power_cut(&node(other), None);
        until_missing(&mut scene, other);
        scene.cluster.run_for(TIMEOUT - 10_000);
        scene.demand(scene.status().unwrap().relocation.is_none(), "nothing is replaced before its time");
        let told = reason(&scene, "MemberMissingTimeoutRefused").unwrap_or_default();
        scene.demand(told.contains("at least 60 s"), &format!("{seconds} s: {told}"));
        until_replaced(&mut scene, other);
    }
}
