//! Calls that do not come back, and comparisons that give way.

use super::*;
use crate::domain::Verify;
use crate::plan::stuck::{ANSWERED, STUCK};
use crate::plan::{Lane, Waiting};

fn lane() -> Lane {
    Lane::Volume("v".parse().unwrap())
}

fn comparison() -> Step {
    let (volume, array) = ("v".parse().unwrap(), array_device(UID, 0));
    let (windows, how) = (Vec::new(), Verify::Sampled);
    Step::Compare { volume, array, partition: REMOTE, dev: MAP, good: PARTITION, size: SIZE, windows, how }
}

fn told(scene: &Scene) -> Vec<String> {
    scene.status().events.iter().map(|event| event.reason.clone()).collect()
}

#[test]
fn a_volume_says_which_call_it_is_stuck_in_and_that_it_was_answered() {
    let mut scene = Scene::mounted();
    scene.memory.begin(measure(), scene.now);
    scene.settle();
    assert_eq!(told(&scene), Vec::<String>::new());
    scene.now = scene.now.plus(timing::CALL_MILLIS);
    scene.settle();
    let reasons = &scene.status().reasons;
    assert!(reasons.iter().any(|reason| reason.code == STUCK && !reason.next_step.is_empty()), "{reasons:?}");
    let planned: Vec<Step> = scene.plan().steps.into_iter().filter(|step| step.lane() == lane()).collect();
    assert_eq!(planned, []);
    scene.measured(1);
    assert_eq!(told(&scene), [STUCK, ANSWERED]);
    assert_eq!(scene.status().reasons, []);
}

/// A daemon that starts over a drive that does not answer cannot tell which device of the array is whose.
#[test]
fn a_member_whose_drive_was_not_read_yet_stays_what_it_is() {
    let mut scene = Scene::mounted();
    scene.measured(1);
    let drive = scene.seen.drives.values_mut().next().unwrap();
    drive.table = TableSeen::Unread;
    drive.unanswered = Some(Waiting { call: None, millis: 2_000 });
    let before = scene.status().clone();
    scene.settle();
    let members = |status: &VolumeStatus| (status.members.clone(), status.in_sync.clone());
    assert_eq!(members(scene.status()), members(&before));
    assert_eq!(scene.plan().steps, []);
    scene.seen.drives.values_mut().next().unwrap().unanswered = None;
    scene.settle();
    assert_eq!(scene.status().in_sync.len(), 1, "it has answered, and there is no such partition");
}

#[test]
fn a_comparison_gives_way_to_whoever_is_to_have_the_volume() {
    let mut scene = Scene::mounted();
    scene.memory.begin(comparison(), scene.now);
    assert!(scene.plan().abandon.is_empty());
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    assert_eq!(scene.plan().abandon, [lane()].into());
    // Whoever is not a comparison goes on.
    scene.memory.begin(measure(), scene.now);
    assert!(scene.plan().abandon.is_empty());
}

#[test]
fn a_comparison_gives_way_to_a_mount_and_what_it_came_to_is_no_failure() {
    let mut scene = Scene::mounted();
    scene.seen.mounts.clear();
    scene.memory.begin(comparison(), scene.now);
    assert_eq!(scene.plan().abandon, [lane()].into());
    let gives_way = StepFailure { kind: FailureKind::Abandoned, message: String::new() };
    scene.memory.record(&comparison(), Err(gives_way), scene.now);
    assert!(scene.memory.failed.is_empty());
    // A mount that is not due yet costs no comparison.
    let mount = scene.plan().steps.into_iter().find(|step| matches!(step, Step::Mount { .. })).unwrap();
    let failed = StepFailure { kind: FailureKind::Retry, message: String::new() };
    scene.memory.record(&mount, Err(failed), scene.now);
    scene.memory.begin(comparison(), scene.now);
    assert!(scene.plan().abandon.is_empty());
}
