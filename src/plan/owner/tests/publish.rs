//! Where else a volume is seen.

use super::*;
use crate::domain::{FsType, Publication, Published, VolumeSpec};

fn volume() -> crate::domain::VolumeName {
    "v".parse().unwrap()
}

fn place(path: &str) -> Publication {
    Publication { path: path.to_owned(), read_only: true }
}

fn shown_at(path: &str) -> MountSeen {
    MountSeen { dev: ARRAY, path: path.to_owned(), read_only: true }
}

fn publish(at: Option<&str>) -> Step {
    let (at, path) = (at.map(str::to_owned), "/p".to_owned());
    Step::Publish { volume: volume(), dev: ARRAY, at, path, read_only: true }
}

fn unpublish() -> Step {
    Step::Unpublish { volume: volume(), path: "/p".to_owned() }
}

fn unmount() -> Step {
    Step::Unmount { volume: volume(), path: "/m".to_owned() }
}

fn recorded(scene: &Scene) -> Vec<(String, bool)> {
    scene.status().published.iter().map(|place| (place.path.clone(), place.shown)).collect()
}

impl Scene {
    fn spec(&mut self, change: impl Fn(&mut VolumeSpec)) {
        let mut spec = self.world.volume_spec(&volume()).unwrap().clone();
        change(&mut spec);
        put(&mut self.world, "v", Record::VolumeSpec(spec));
    }

    /// Mounted at /m, and seen at /p, too.
    fn published() -> Self {
        let mut scene = Self::mounted();
        scene.wish(|attachment| attachment.published = vec![place("/p")]);
        scene.settle();
        scene.seen.mounts.push(shown_at("/p"));
        scene.settle();
        scene.measured(1);
        scene
    }

    /// A raw volume whose device shall be seen at /p.
    fn raw() -> Self {
        let mut scene = Self::mounted();
        scene.spec(|spec| spec.fs = FsType::Raw);
        scene.wish(|attachment| (attachment.mount, attachment.published) = (None, vec![place("/p")]));
        scene.seen.mounts.clear();
        scene.settle();
        scene
    }
}

#[test]
fn a_place_is_recorded_before_anything_is_there_and_found_again() {
    let mut scene = Scene::mounted();
    scene.measured(1);
    scene.wish(|attachment| attachment.published = vec![place("/p")]);
    let first = scene.plan();
    assert_eq!(first.steps, [], "nothing before it is recorded");
    scene.settle();
    assert_eq!(recorded(&scene), [("/p".to_owned(), false)]);
    assert_eq!(scene.plan().steps, [publish(Some("/m"))]);

    scene.seen.mounts.push(shown_at("/p"));
    scene.settle();
    assert_eq!((recorded(&scene), scene.plan().steps), (vec![("/p".to_owned(), true)], vec![]));
    scene.memory = Memory::default();
    assert!(!scene.plan().steps.contains(&publish(Some("/m"))), "whoever starts anew finds it");
    assert_eq!(scene.plan().writes, []);
}

#[test]
fn what_is_not_mounted_is_shown_nowhere() {
    let mut scene = Scene::published();
    scene.seen.mounts.clear();
    scene.settle();
    assert_eq!(recorded(&scene), [("/p".to_owned(), false)]);
    let steps = scene.plan().steps;
    assert!(matches!(steps.as_slice(), [Step::Mount { .. }]), "{steps:?}");
}

#[test]
fn a_node_that_was_started_again_says_so_before_the_volume_runs() {
    let mut scene = Scene::published();
    (scene.seen.mounts, scene.seen.arrays) = Default::default();
    scene.settle();
    assert_eq!((recorded(&scene), &scene.status().array.mounted_at), (vec![("/p".to_owned(), false)], &None));
}

#[test]
fn what_is_taken_away_does_not_wait_for_a_volume_that_does_not_run() {
    let mut scene = Scene::published();
    scene.wish(|attachment| (attachment.mount, attachment.published) = (None, Vec::new()));
    (scene.seen.mounts, scene.seen.arrays) = Default::default();
    assert!(scene.plan().steps.contains(&unpublish()));
    scene.memory.record(&unpublish(), Ok(Outcome::Done), scene.now);
    scene.settle();
    assert_eq!((recorded(&scene), &scene.status().mount_path), (vec![], &None));
}

#[test]
fn another_device_at_the_place_is_not_the_volume() {
    let mut scene = Scene::published();
    scene.seen.mounts[1].dev = PATH;
    scene.settle();
    assert_eq!(
        (recorded(&scene), scene.plan().steps),
        (vec![("/p".to_owned(), false)], vec![publish(Some("/m"))])
    );
}

#[test]
fn what_is_shown_in_another_way_than_is_asked_for_goes_first() {
    let mut scene = Scene::published();
    scene.seen.mounts[1].read_only = false;
    assert_eq!(scene.plan().steps, [unpublish()]);
    scene.settle();
    assert_eq!(recorded(&scene), [("/p".to_owned(), false)], "nobody is told that it is read-only");
    scene.memory.record(&unpublish(), Ok(Outcome::Done), scene.now);
    scene.seen.mounts.pop();
    assert_eq!(scene.plan().steps, [publish(Some("/m"))]);

    // Read-only below: so is whatever is shown of it.
    let mut scene = Scene::published();
    scene.seen.mounts[0].read_only = true;
    scene.wish(|attachment| attachment.published[0].read_only = false);
    assert_eq!(scene.plan().steps, []);
    scene.seen.mounts[0].read_only = false;
    assert_eq!(scene.plan().steps, [unpublish()]);
}

#[test]
fn a_file_system_that_shall_not_be_mounted_is_shown_nowhere() {
    let mut scene = Scene::published();
    scene.wish(|attachment| attachment.mount = None);
    assert_eq!(scene.plan().steps, [unpublish()]);
}

#[test]
fn a_place_leaves_the_record_when_nothing_is_there_any_more() {
    let mut scene = Scene::published();
    scene.wish(|attachment| attachment.published.clear());
    assert_eq!(scene.plan().steps, [unpublish()]);
    let busy = StepFailure { kind: FailureKind::Busy, message: "/p is in use".to_owned() };
    scene.memory.record(&unpublish(), Err(busy), scene.now);
    let plan = scene.plan();
    assert!(plan.reasons.iter().any(|reason| reason.message.contains("/p is in use")), "{plan:?}");
    scene.settle();
    assert_eq!(recorded(&scene).len(), 1);

    scene.seen.mounts.pop();
    assert_eq!(scene.plan().steps, [unpublish()], "the directory may still be there");
    scene.memory.record(&unpublish(), Ok(Outcome::Done), scene.now);
    scene.settle();
    assert_eq!((recorded(&scene), scene.plan().steps), (vec![], vec![]));

    // The same place again, and away again: what was done for the first time does not count.
    scene.wish(|attachment| attachment.published = vec![place("/p")]);
    scene.settle();
    scene.memory.begin(publish(Some("/m")), scene.now);
    scene.wish(|attachment| attachment.published.clear());
    scene.settle();
    assert_eq!(recorded(&scene).len(), 1, "it may be there in a moment");
    let failure = StepFailure { kind: FailureKind::Retry, message: "cannot make /p".to_owned() };
    scene.memory.record(&publish(Some("/m")), Err(failure), scene.now);
    assert_eq!(scene.plan().steps, [unpublish()]);
}

#[test]
fn one_place_that_is_in_use_is_in_nobodys_way() {
    let mut scene = Scene::published();
    scene.wish(|attachment| attachment.published = vec![place("/q")]);
    scene.settle();
    let to_q = Step::Publish {
        volume: volume(),
        dev: ARRAY,
        at: Some("/m".to_owned()),
        path: "/q".to_owned(),
        read_only: true,
    };
    assert_eq!(scene.plan().steps, [unpublish(), to_q]);
}

#[test]
fn a_volume_is_unmounted_and_released_after_it_is_seen_nowhere_else() {
    let mut unmounted = Scene::published();
    unmounted.wish(|attachment| (attachment.mount, attachment.published) = (None, Vec::new()));
    let mut released = Scene::published();
    released.wish(|attachment| attachment.node = "n2".parse().unwrap());
    for scene in [&mut unmounted, &mut released] {
        assert_eq!(scene.plan().steps, [unpublish()]);
        scene.seen.mounts.pop();
        scene.memory.record(&unpublish(), Ok(Outcome::Done), scene.now);
        scene.settle();
        assert_eq!(scene.plan().steps, [unmount()]);
    }
    released.seen.mounts.clear();
    released.seen.arrays.clear();
    (released.seen.maps, released.seen.connections) = Default::default();
    released.settle();
    assert_eq!((&released.status().owner, &released.status().published), (&None, &Vec::new()));
}

#[test]
fn the_device_of_a_raw_volume_is_shown_itself() {
    let mut scene = Scene::raw();
    assert_eq!(scene.plan().steps, [publish(None)]);
    scene.seen.mounts.push(shown_at("/p"));
    assert_eq!(scene.plan().steps, [publish(None)], "a mount is not the device");
    scene.seen.mounts.clear();
    scene.seen.device_binds.push(shown_at("/p"));
    scene.settle();
    assert_eq!((recorded(&scene), scene.plan().steps), (vec![("/p".to_owned(), true)], vec![]));
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    assert_eq!(scene.plan().steps, [unpublish()]);
}

#[test]
fn a_lost_raw_volume_is_shown_nowhere_before_its_array_stops() {
    let mut scene = Scene::raw();
    scene.seen.device_binds.push(shown_at("/elsewhere"));
    let lost = VolumeStatus {
        owner: Some("n2".parse().unwrap()),
        epoch: EPOCH.next(),
        taken_over: true,
        published: vec![Published { path: "/on/n2".to_owned(), shown: true }],
        ..scene.status().clone()
    };
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    put(&mut scene.world, "v", Record::VolumeStatus(lost));
    let find = Step::FindHolders { volume: volume(), devs: vec![ARRAY] };
    scene.memory.record(&find, Ok(Outcome::Holders(Vec::new())), scene.now);
    let path = "/elsewhere".to_owned();
    assert_eq!(scene.plan().steps, [Step::Unpublish { volume: volume(), path }]);
    scene.seen.device_binds.clear();
    let steps = scene.plan().steps;
    assert!(matches!(steps.as_slice(), [Step::StopArray { .. }]), "{steps:?}");
}

#[test]
fn a_mount_has_the_options_and_the_group_that_were_asked_for() {
    let mut scene = Scene::mounted();
    scene.wish(|attachment| {
        let mount = attachment.mount.as_mut().unwrap();
        (mount.options, mount.group) = (vec!["noatime".to_owned()], Some(2000));
    });
    scene.seen.mounts.clear();
    let steps = scene.plan().steps;
    let [Step::Mount { options, group, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((options.as_slice(), *group), (["noatime".to_owned()].as_slice(), Some(2000)));
}
