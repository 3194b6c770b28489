//! Scrubs: asked for, due, in the way of nothing, adopted, told.

use super::*;
use crate::domain::{ScrubRun, VolumeSpec};
use crate::plan::verbs::{self, Scrub};

/// Seconds.
const WEEK: u64 = 7 * 86_400;

fn name() -> crate::domain::VolumeName {
    "v".parse().unwrap()
}

impl Scene {
    /// A mounted volume whose use was just measured, so that its lane is free.
    fn calm() -> Self {
        let mut scene = Self::mounted();
        scene.measured(5);
        scene
    }

    fn ask(&mut self, what: Scrub) {
        for write in verbs::scrub(&self.world, &name(), what).unwrap().writes {
            put(&mut self.world, write.key.name.clone(), write.record.unwrap());
        }
        self.settle();
    }

    fn run(&self) -> Option<&ScrubRun> {
        self.status().scrub.running.as_ref()
    }

    fn checks(&self) -> Option<Step> {
        self.plan().steps.into_iter().find(|step| matches!(step, Step::Check { .. }))
    }

    /// The planned slice is done: it came `more` further, and so many sectors differed.
    fn checked(&mut self, more: Bytes, differ: u64) {
        let step = self.checks().unwrap();
        let Step::Check { from, .. } = step else { unreachable!() };
        let to = Bytes(from.0 + more.0);
        self.memory.record(&step, Ok(Outcome::Checked { to, mismatched_sectors: differ }), self.now);
        self.settle();
        self.now = self.now.plus(timing::SCRUB_PAUSE_MILLIS);
        // Whatever else is due by now.
        self.memory.record(&measure(), Ok(Outcome::Used(usage(5))), self.now);
    }

    fn codes(&self) -> Vec<String> {
        self.status().reasons.iter().map(|reason| reason.code.clone()).collect()
    }
}

#[test]
fn slices_follow_each_other_with_a_pause_to_the_end() {
    let mut scene = Scene::calm();
    assert_eq!(scene.checks(), None);
    scene.ask(Scrub::Begin { repair: false });
    scene.checked(Bytes::mib(400), 0);
    let Some(Step::Check { from, repair: false, .. }) = scene.checks() else { panic!("{:?}", scene.plan()) };
    assert_eq!(from, Bytes::mib(400));
    scene.now = Timestamp(scene.now.0 - 1);
    assert_eq!(scene.checks(), None, "the array has a moment for others");
    scene.now = scene.now.plus(1);
    scene.checked(Bytes::mib(624), 0);
    assert_eq!((scene.run(), scene.codes()), (None, vec![]));
    assert_eq!(scene.status().scrub.last.as_ref().unwrap().mismatched, Bytes(0));
    assert_eq!(scene.checks(), None);
}

#[test]
fn what_differs_is_recorded_at_once_and_told_until_it_is_repaired() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: false });
    scene.checked(Bytes::mib(4), 8);
    let run = scene.run().unwrap();
    assert_eq!((run.position, run.mismatched), (Bytes::mib(4), Bytes(4096)));
    assert_eq!((scene.codes(), scene.run().is_some()), (vec!["CopiesDiffer".to_owned()], true));
    assert_eq!(scene.status().events.last().unwrap().reason, "CopiesDiffer");
    scene.checked(Bytes::mib(1020), 3);
    assert_eq!(scene.codes(), ["CopiesDiffer"]);
    let (event, reason) = (&scene.status().events.last().unwrap().message, &scene.status().reasons[0]);
    assert_eq!(*event, reason.message);
    assert!(
        event.contains("places of 5632 bytes in all where the copies differ")
            && reason.next_step.contains("--repair` writes what the copy on n1 has"),
        "{reason:?}"
    );
    scene.ask(Scrub::Begin { repair: true });
    let Some(Step::Check { repair: true, .. }) = scene.checks() else { panic!("{:?}", scene.plan()) };
    scene.checked(Bytes::gib(1), 11);
    assert_eq!((scene.run(), scene.codes()), (None, vec![]));
}

#[test]
fn one_slice_that_compares_everything_tells_what_it_found_too() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: false });
    scene.checked(Bytes::gib(1), 8);
    let told: Vec<&str> = scene.status().events.iter().map(|event| event.reason.as_str()).collect();
    assert!(told.ends_with(&["ScrubStarted", "CopiesDiffer", "ScrubFinished"]), "{told:?}");
}

#[test]
fn a_scrub_ends_when_one_copy_is_left_and_no_other_one_is_wanted() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: false });
    let mut status = scene.status().clone();
    status.members.truncate(1);
    status.in_sync = status.members.iter().map(|member| member.replica).collect();
    let wanted = status.copies(scene.world.volume_spec(&name()).unwrap());
    put(&mut scene.world, "v", Record::VolumeStatus(status.clone()));
    assert!(scene.run().is_some() && wanted == 2, "the second copy may come back");
    status.placed = status.placed.map(|placed| crate::domain::Placed { copies: 1, ..placed });
    put(&mut scene.world, "v", Record::VolumeStatus(status));
    let spec = scene.world.volume_spec(&name()).unwrap().clone();
    put(&mut scene.world, "v", Record::VolumeSpec(VolumeSpec { replicas: 1, ..spec }));
    scene.settle();
    let told = scene.status().events.iter().find(|event| event.reason == "ScrubStopped").unwrap();
    assert!(scene.run().is_none() && told.message.contains("one copy is left"), "{told:?}");
}

#[test]
fn a_daemon_that_knows_nothing_goes_on_from_the_record() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: false });
    scene.checked(Bytes::mib(4), 8);
    scene.checked(Bytes::mib(4), 0);
    scene.memory.scrubbed.clear();
    let Some(Step::Check { from, .. }) = scene.checks() else { panic!("{:?}", scene.plan()) };
    assert_eq!(from, Bytes::mib(4));
    scene.checked(Bytes::mib(1020), 0);
    assert_eq!(scene.status().scrub.last.as_ref().unwrap().mismatched, Bytes(4096), "counted once");
}

#[test]
fn it_gives_way_and_says_for_what_it_waits() {
    let waits = |change: fn(&mut Scene)| {
        let mut scene = Scene::calm();
        scene.ask(Scrub::Begin { repair: false });
        change(&mut scene);
        scene.settle();
        assert_eq!(scene.checks(), None, "{:?}", scene.plan());
        scene.codes()
    };
    assert_eq!(waits(|scene| scene.memory.begin(measure(), NOW)), [""; 0]);
    assert!(waits(|scene| scene.seen.connections.clear()).contains(&"ScrubWaits".to_owned()));
    let bigger = |scene: &mut Scene| {
        let spec = scene.world.volume_spec(&name()).unwrap().clone();
        put(&mut scene.world, "v", Record::VolumeSpec(VolumeSpec { size: Bytes::gib(2), ..spec }));
    };
    assert!(waits(bigger).contains(&"ScrubWaits".to_owned()));
    waits(|scene| scene.wish(|attachment| attachment.node = "n2".parse().unwrap()));
}

#[test]
fn it_begins_by_itself_when_it_is_due_and_never_repairs_then() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Every(WEEK));
    // It was asked for at the beginning of time, so the first one is due at once.
    let Some(Step::Check { repair: false, .. }) = scene.checks() else { panic!("{:?}", scene.plan()) };
    scene.checked(Bytes::gib(1), 0);
    assert_eq!((scene.run(), scene.checks()), (None, None));
    let finished = scene.status().scrub.last.as_ref().unwrap().finished_at;
    scene.now = finished.plus(1000 * WEEK - 1);
    assert_eq!(scene.plan().wake_at, Some(scene.now.plus(1)));
    scene.now = scene.now.plus(1);
    scene.settle();
    assert!(scene.run().is_some());
}

#[test]
fn it_stops_when_told() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: true });
    assert!(scene.run().is_some());
    scene.ask(Scrub::Stop);
    assert_eq!((scene.run(), scene.checks()), (None, None));
    assert_eq!(scene.status().events.last().unwrap().reason, "ScrubStopped");
}

#[test]
fn a_slice_gives_way_to_a_release() {
    let mut scene = Scene::calm();
    scene.ask(Scrub::Begin { repair: false });
    let step = scene.checks().unwrap();
    scene.memory.begin(step, scene.now);
    assert!(scene.plan().abandon.is_empty());
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    assert_eq!(scene.plan().abandon, [crate::plan::Lane::Volume(name())].into());
}

/// It would stand there for ever, and nothing else could be done to the array.
#[test]
fn a_check_that_a_dead_daemon_left_standing_is_ended() {
    let mut scene = Scene::calm();
    scene.array().sync.action = SyncAction::Piece;
    let thaws = |scene: &Scene| scene.plan().steps.iter().any(|step| matches!(step, Step::Thaw { .. }));
    assert!(thaws(&scene));
    scene.memory.begin(measure(), scene.now);
    assert!(!thaws(&scene), "a step of this daemon may be doing it");
    scene.memory.running.clear();
    scene.array().sync.action = SyncAction::Check;
    assert!(!thaws(&scene), "one without an end is somebody else's");
}
