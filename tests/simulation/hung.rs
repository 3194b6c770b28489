//! Drives that never answer, calls that wait for them, and calls that never return for another reason: what they hold up says so,
//! everything else goes on, and all is well once they answer.

use mdfabric::domain::{
    DriveId, DriveState, MemberState, Reason, VolumeName, VolumePhase, VolumeUid, partition_guid,
};
use mdfabric::plan::stuck::STUCK;
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::plan::{Lane, Step, timing};
use mdfabric::sim::{Cluster, Config, Crash, CrashWhen, DriveFault, Hang};
use uuid::Uuid;

use super::scaling::at;
use super::support::{Scene, is_mounted, name, node, wish};

fn other() -> VolumeName {
    "other".parse().unwrap()
}

/// A written volume on two of three nodes with a drive each; who has no copy, and its drive.
fn served(mut config: Config) -> (Scene, u8, DriveId) {
    (config.nodes, config.drives) = (3, 1);
    let mut scene = Scene::with(config);
    scene.create(&wish(2));
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    let free = (1..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_none()).unwrap();
    (scene, free, format!("n{free}d1").parse().unwrap())
}

/// Another volume is asked for, with so many copies.
fn ask_for_another(scene: &mut Scene, replicas: u32) {
    let uid = VolumeUid(Uuid::from_u128(u128::from(scene.cluster.now().0)));
    let wish = CreateVolume { name: other(), ..wish(replicas) };
    scene.cluster.request(|world, now| verbs::create(world, &wish, uid, now)).unwrap();
}

fn is_made(cluster: &Cluster) -> bool {
    cluster.world().volume_status(&other()).is_some_and(|status| status.phase == VolumePhase::Synced)
}

fn is(cluster: &Cluster, drive: &DriveId, state: DriveState) -> bool {
    cluster.world().drive_status(drive).is_some_and(|status| status.state == state)
}

/// What the replicas on a node say.
fn reasons(scene: &Scene, index: u8) -> Vec<Reason> {
    let replicas = scene.cluster.world().replicas().filter(|replica| replica.spec.node == node(index));
    replicas.filter_map(|replica| replica.status?.reason).collect()
}

/// The other volume goes, and then the first one, without a trace.
fn ends_well(scene: &mut Scene) {
    scene.whole();
    scene.write_a_little();
    drop(scene.cluster.request(|world, _| verbs::delete(world, &other())));
    scene
        .until(60_000, "the other one is deleted", |cluster| cluster.world().volume_spec(&other()).is_none());
    scene.detach();
    scene.request_delete();
    scene.gone();
}

/// An idle drive hangs: once it is overdue nothing is placed on it any more, until it answers.
pub(crate) fn an_idle_drive_hangs(config: Config) {
    let (mut scene, _, drive) = served(config);
    scene.cluster.set_drive(&drive, DriveFault::Hung);
    scene.cluster.run_for(timing::DRIVE_ANSWER_MILLIS + 2_000);
    scene.write_for(1_000);
    ask_for_another(&mut scene, 2);
    scene.until(60_000, "another volume is made where drives answer", is_made);
    let told = scene.cluster.world().drive_status(&drive).and_then(|status| status.message.clone());
    scene.demand(is(&scene.cluster, &drive, DriveState::Stuck), "the drive is stuck");
    scene.demand(told.is_some_and(|told| told.contains("does not answer")), "and says why");
    scene.cluster.set_drive(&drive, DriveFault::None);
    scene.until(30_000, "it is ready again", |cluster| is(cluster, &drive, DriveState::Ready));
    ends_well(&mut scene);
}

#[test]
fn an_idle_drive_that_hangs_is_given_nothing_until_it_answers() {
    (0..8).for_each(|seed| an_idle_drive_hangs(Config { seed: 600 + seed, ..Config::default() }));
}

/// A drive hangs while a copy is made on it, after so many steps from now on.
fn hangs_in_the_making(seed: u64, after: usize) {
    let (mut scene, free, drive) = served(Config { seed, ..Config::default() });
    let from = scene.cluster.counted();
    ask_for_another(&mut scene, 3);
    scene.until(60_000, "it has begun", |cluster| cluster.counted() >= from + after);
    scene.cluster.set_drive(&drive, DriveFault::Hung);
    scene.write_for(timing::CALL_MILLIS + 5_000);
    let stall = scene.cluster.app(&name()).longest_stall;
    scene.demand(stall < 1_000, &format!("nobody else waits: {stall} ms"));
    let stuck = reasons(&scene, free).iter().any(|reason| reason.code == STUCK);
    let known = scene.cluster.world().replicas().any(|replica| replica.spec.node == node(free));
    scene.demand(is(&scene.cluster, &drive, DriveState::Stuck), "the drive is stuck");
    scene.demand(stuck || !known, "the copy on it says so");
    scene.cluster.set_drive(&drive, DriveFault::None);
    scene.until(120_000, "the other volume is made", is_made);
    ends_well(&mut scene);
}

#[test]
fn a_call_that_hangs_leaves_its_own_object_stuck_and_ends_when_it_is_answered() {
    (0..6).for_each(|after| hangs_in_the_making(620 + after as u64, after));
}

/// The drive of a copy that is written to hangs: writes wait, for nothing else; a daemon that starts meanwhile drops nobody.
fn the_drive_of_a_copy_hangs(seed: u64, on: u8, dies: bool) {
    let (mut scene, _, _) = served(Config { seed, ..Config::default() });
    let Some(member) = scene.status().unwrap().member_on(&node(on)).cloned() else { return };
    let epoch = scene.status().unwrap().epoch;
    scene.cluster.set_drive(&member.drives[0], DriveFault::Hung);
    if dies {
        scene.cluster.run_for(3_000);
        scene.cluster.kill_daemon(&node(on), 500);
    }
    let acked = scene.cluster.acks(&name());
    scene.cluster.run_for(timing::CALL_MILLIS + 10_000);
    scene.demand(scene.cluster.acks(&name()) <= acked + 2, "writes wait for every copy that counts");
    scene.demand(scene.in_sync().len() == 2, "nobody is dropped for being slow");
    scene.demand(is(&scene.cluster, &member.drives[0], DriveState::Stuck), "the drive is stuck");
    scene.demand(reasons(&scene, on).iter().any(|reason| reason.code == STUCK), "and its copy says so");
    scene.cluster.set_drive(&member.drives[0], DriveFault::None);
    scene.write_a_little();
    let status = scene.status().unwrap();
    let same = status.member(member.replica).is_some_and(|member| member.state == MemberState::Synced);
    scene.demand(same && status.epoch == epoch, "the same copy goes on, nothing was restarted");
    ends_well(&mut scene);
}

#[test]
fn writes_wait_for_a_drive_that_hangs_and_go_on_when_it_answers() {
    for seed in 640..646 {
        for (on, dies) in [(1, false), (2, false), (3, false), (1, true), (2, true), (3, true)] {
            the_drive_of_a_copy_hangs(seed, on, dies);
        }
    }
}

/// Its node loses power while it hangs, at any moment of a life: power resets it.
#[test]
fn power_ends_a_call_that_nothing_else_ends() {
    for seed in 650..656 {
        let (mut scene, free, drive) = served(Config { seed, ..Config::default() });
        let at = scene.cluster.counted() + usize::try_from(seed - 648).unwrap();
        let crash = Crash { at, when: CrashWhen::PowerCut, node: Some(node(free)), down: 3_000 };
        ask_for_another(&mut scene, 3);
        scene.cluster.run_for(20 * (seed - 650));
        scene.cluster.set_drive(&drive, DriveFault::Hung);
        scene.cluster.crash(Some(crash));
        scene.cluster.run_for(30_000);
        if scene.cluster.is_powered(&node(free)) {
            scene.cluster.power_cut(&node(free), Some(1_000));
        }
        scene.cluster.crash(None);
        scene.until(180_000, "the other volume is made", is_made);
        ends_well(&mut scene);
    }
}

/// A detached volume with copies on node-1 and node-2.
fn detached(seed: u64) -> Scene {
    let mut scene = Scene::with(Config { seed, ..Config::default() });
    scene.create(&CreateVolume { placement: vec![at(1), at(2)], ..wish(2) });
    scene.attach(1);
    scene.write_a_little();
    scene.detach();
    scene
}

fn leg_to_node_2(scene: &Scene) -> Lane {
    let copy = scene.status().unwrap().member_on(&node(2)).unwrap().replica;
    Lane::Leg(partition_guid(copy, 0))
}

/// Another volume of the same nodes is made, used on node-1 with both of its copies, and deleted.
fn another_lives(scene: &mut Scene) {
    scene.volume = other();
    let wish = CreateVolume { name: other(), placement: vec![at(1), at(2)], ..wish(2) };
    scene.create(&wish);
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    let stall = scene.app().longest_stall;
    scene.demand(stall < 1_000, &format!("nobody else waits: {stall} ms"));
    scene.detach();
    scene.request_delete();
    scene.until(60_000, "it is deleted", |cluster| cluster.world().volume_spec(&other()).is_none());
    scene.volume = name();
}

/// A call on node-1 about the volume has not returned for so long that it is said, and nothing else waits for it.
fn only_it_is_stuck(scene: &mut Scene, call: &str) {
    let deadline = timing::FILE_SYSTEM_CALL_MILLIS + 30_000;
    scene.until_recorded(deadline, "it is stuck", |status| {
        status.reasons.iter().any(|reason| reason.code == STUCK && reason.message.starts_with(call))
    });
    another_lives(scene);
    let reasons = &scene.status().unwrap().reasons;
    scene.demand(reasons.iter().any(|reason| reason.code == STUCK), "it still is");
}

/// `ask` leads to a call on node-1 that never returns, nor does it when a new daemon tries. In the end it does.
fn never_returns(scene: &mut Scene, hang: Hang, call: &str, ask: impl FnOnce(&mut Scene)) {
    scene.cluster.hang(&node(1), Some(hang));
    ask(scene);
    only_it_is_stuck(scene, call);
    scene.cluster.kill_daemon(&node(1), 500);
    scene.until(5_000, "a new daemon", Cluster::is_up);
    only_it_is_stuck(scene, call);
    scene.cluster.hang(&node(1), None);
}

/// It is used in the end, with both copies, and goes without a trace.
fn is_served_in_the_end(scene: &mut Scene) {
    scene.until(120_000, "mounted", is_mounted);
    ends_well(scene);
}

#[test]
fn a_connection_that_is_never_made_is_stuck_alone() {
    let mut scene = detached(660);
    let hang = Hang { lane: leg_to_node_2(&scene), is_it: |step| matches!(step, Step::Connect { .. }) };
    never_returns(&mut scene, hang, "connect ", |scene| scene.request_attach(1));
    is_served_in_the_end(&mut scene);
}

#[test]
fn a_leg_that_is_never_mapped_is_stuck_alone() {
    let mut scene = detached(661);
    let hang = Hang { lane: leg_to_node_2(&scene), is_it: |step| matches!(step, Step::MapLeg { .. }) };
    never_returns(&mut scene, hang, "map leg ", |scene| scene.request_attach(1));
    is_served_in_the_end(&mut scene);
}

#[test]
fn a_mount_that_never_returns_is_stuck_alone() {
    let mut scene = detached(662);
    let hang = Hang { lane: Lane::Volume(name()), is_it: |step| matches!(step, Step::Mount { .. }) };
    never_returns(&mut scene, hang, "mount ", |scene| scene.request_attach(1));
    is_served_in_the_end(&mut scene);
}

#[test]
fn an_array_that_is_never_stopped_is_stuck_alone() {
    let mut scene = detached(663);
    scene.attach(1);
    let hang = Hang { lane: Lane::Volume(name()), is_it: |step| matches!(step, Step::StopArray { .. }) };
    never_returns(&mut scene, hang, "stop ", |scene| {
        scene.app().writing = false;
        scene.request_detach();
    });
    scene.until_recorded(60_000, "detached", |status| status.owner.is_none());
    scene.attach(1);
    ends_well(&mut scene);
}
