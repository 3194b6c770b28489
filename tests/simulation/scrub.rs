//! All copies are compared while a volume is used; what differs is told, and made equal only when told.

use mdfabric::domain::{Bytes, ScrubStatus, Timestamp};
use mdfabric::plan::explain::{Facts, explain};
use mdfabric::plan::verbs::{self, CreateVolume, Scrub};
use mdfabric::sim::{Cluster, Crash, CrashWhen};

use super::stripes;
use super::support::{Scene, edit_record, is_mounted, name, node, wish};

/// The application writes everywhere but here.
const QUIET: u8 = 0;
/// What md counts for one place that differs.
const PLACE: Bytes = Bytes(64 << 10);

/// A volume on node-1, written all the time.
fn served(seed: u64, wish: &CreateVolume) -> Scene {
    let mut scene = Scene::new(seed);
    scene.create(wish);
    scene.attach(1);
    scene.write_a_little();
    scene.whole();
    scene
}

fn request(scene: &mut Scene, what: Scrub) {
    scene.cluster.request(|world, _| verbs::scrub(world, &name(), what)).unwrap();
}

fn scrub_of(cluster: &Cluster) -> ScrubStatus {
    cluster.world().volume_status(&name()).map(|status| status.scrub.clone()).unwrap_or_default()
}

fn is_over(cluster: &Cluster) -> bool {
    let asked = cluster.world().volume_spec(&name()).map_or(0, |spec| spec.scrub.generation);
    let scrub = scrub_of(cluster);
    scrub.generation == asked && scrub.running.is_none()
}

/// What the scrub that was asked for has found.
fn found(scene: &mut Scene) -> Bytes {
    scene.until(120_000, "the scrub is over", is_over);
    scrub_of(&scene.cluster).last.unwrap().mismatched
}

fn scrubbed(scene: &mut Scene, repair: bool) -> Bytes {
    request(scene, Scrub::Begin { repair });
    found(scene)
}

/// A copy that is not on `node-1`.
fn remote(scene: &Scene) -> u8 {
    (2..=3).find(|index| scene.status().unwrap().member_on(&node(*index)).is_some()).unwrap()
}

fn rot(scene: &mut Scene, on: u8) -> u64 {
    scene.cluster.rot(&name(), &node(on), QUIET);
    content(scene, on)
}

fn content(scene: &Scene, on: u8) -> u64 {
    scene.cluster.block_on(&name(), &node(on), QUIET).unwrap()
}

/// What the condition says, and what to do.
fn condition(scene: &Scene) -> Option<(String, String)> {
    let reasons = &scene.status().unwrap().reasons;
    let differ = reasons.iter().find(|reason| reason.code == "CopiesDiffer")?;
    Some((differ.message.clone(), differ.next_step.clone()))
}

fn explained(scene: &Scene) -> String {
    let me = node(1);
    let facts = Facts {
        me: &me,
        now: scene.cluster.now(),
        running: &[],
        failing: &[],
        reasons: &[],
        store_lost: None,
        leads: false,
        peers: &[],
        foreign: &[],
    };
    explain(scene.cluster.world(), &facts, "volume/vol").unwrap().join("\n")
}

fn told(scene: &Scene, reason: &str) -> usize {
    scene.status().unwrap().events.iter().filter(|event| event.reason == reason).count()
}

#[test]
fn a_scrub_under_load_finds_all_copies_equal() {
    for wish in [wish(2), wish(3), CreateVolume { stripe_width: 2, ..wish(2) }] {
        let mut scene = served(80, &wish);
        scene.cluster.app(&name()).longest_stall = 0;
        let before = scene.cluster.acks(&name());
        let differ = scrubbed(&mut scene, false);
        scene.demand(differ == Bytes(0), "all copies are equal");
        let stall = scene.cluster.app(&name()).longest_stall;
        scene.demand(scene.cluster.acks(&name()) > before + 50, "it was written meanwhile");
        scene.demand(stall < 1_000, &format!("longest stall {stall} ms"));
        scene.demand(
            (told(&scene, "ScrubStarted"), told(&scene, "ScrubFinished")) == (1, 1),
            "events tell it",
        );
        scene.quiet_while_writing();
    }
}

#[test]
fn a_difference_is_told_and_left_alone_until_a_repair_is_ordered() {
    for wish in [wish(2), CreateVolume { stripe_width: 2, ..wish(3) }] {
        let mut scene = served(81, &wish);
        let (good, bad) = (1, remote(&scene));
        let wrong = rot(&mut scene, bad);
        let began = scene.cluster.now();
        let differ = scrubbed(&mut scene, false);
        scene.demand(differ == PLACE, &format!("one place differs: {differ}"));
        let at = scrub_of(&scene.cluster).last.unwrap().finished_at;
        scene.demand(at > began && at <= scene.cluster.now(), "the record says when");
        scene.demand(
            (told(&scene, "CopiesDiffer"), told(&scene, "ScrubFinished")) == (1, 1),
            "events tell it",
        );
        scene.cluster.kill_daemon(&node(1), 500);
        scene.until(60_000, "everybody is back", Cluster::is_up);
        scene.quiet_while_writing();
        let (says, advice) = condition(&scene).unwrap();
        scene.demand(says.contains("65536 bytes") && advice.contains("the copy on node-1"), &advice);
        let lines = explained(&scene);
        scene.demand(lines.contains(&says) && lines.contains("65536 bytes differed"), &lines);
        scene.demand(content(&scene, bad) == wrong, "nothing was changed");
        let again = scrubbed(&mut scene, false);
        scene.demand(again == PLACE && content(&scene, bad) == wrong, "nor the second time");
        scrubbed(&mut scene, true);
        scene.demand(content(&scene, bad) == content(&scene, good), "they were made equal");
        let left = scrubbed(&mut scene, false);
        scene.demand(left == Bytes(0) && condition(&scene).is_none(), "nothing is told any more");
    }
}

/// Nobody writes, so that it stays.
#[test]
fn a_difference_in_the_last_column_is_found() {
    for columns in [2, 4, 8] {
        let mut scene = stripes::served(890 + u64::from(columns), columns);
        scene.app().writing = false;
        scene.cluster.run_for(1_000);
        let last = u8::try_from(columns - 1).unwrap();
        let differ = scrubbed(&mut scene, false);
        scene.demand(differ == Bytes(0), &format!("all copies are equal: {differ}"));
        scene.cluster.rot(&name(), &node(2), last);
        let differ = scrubbed(&mut scene, false);
        scene.demand(differ == PLACE, &format!("one place differs: {differ}"));
    }
}

/// md does not know which copy is right: the first one wins, also when it is the wrong one.
#[test]
fn whose_content_a_repair_spreads_is_said_before() {
    let mut wins = Vec::new();
    for on in [1, 2, 3] {
        let mut scene = served(82, &wish(3));
        rot(&mut scene, on);
        let before = [1, 2, 3].map(|index| content(&scene, index));
        scrubbed(&mut scene, false);
        let (_, advice) = condition(&scene).unwrap();
        let said = (1..=3u8).find(|index| advice.contains(&format!("the copy on node-{index} has"))).unwrap();
        scrubbed(&mut scene, true);
        let winner = before[usize::from(said) - 1];
        let after = [1, 2, 3].map(|index| content(&scene, index));
        scene.demand(
            after == [winner; 3],
            &format!("node-{said} was said to win, {before:?} became {after:?}"),
        );
        wins.push(said == on);
    }
    assert_eq!(wins.iter().filter(|won| **won).count(), 1, "the wrong copy won where it was the first");
}

/// A scrub with a death in it. Returns how many moments there were to die at.
fn with_a_death(seed: u64, crash: Option<Crash>) -> usize {
    let mut scene = served(seed, &wish(2));
    let bad = remote(&scene);
    let wrong = rot(&mut scene, bad);
    let base = scene.cluster.counted();
    let may_heal = crash.as_ref().is_some_and(|crash| crash.when == CrashWhen::PowerCut);
    scene.cluster.crash(crash.map(|crash| Crash { at: crash.at + base, ..crash }));
    let differ = scrubbed(&mut scene, false);
    let moments = scene.cluster.counted() - base;
    scene.until(60_000, "everybody is back", Cluster::is_up);
    scene.until(120_000, "mounted", is_mounted);
    scene.whole();
    // A copy that is caught up after its node, or the owner's, lost power may have got the place written anew before it was compared.
    let healed = may_heal && content(&scene, bad) == content(&scene, 1);
    scene.demand(differ == PLACE || healed, &format!("one place differs: {differ}"));
    scene.demand(content(&scene, bad) == wrong || healed, "nothing was changed");
    scene.demand(condition(&scene).is_some() || healed, "it is told");
    scene.quiet_while_writing();
    moments
}

#[test]
fn a_scrub_survives_every_death_and_counts_once() {
    let mut failed = Vec::new();
    for (when, down) in
        [(CrashWhen::BeforeEffect, 300), (CrashWhen::AfterEffect, 300), (CrashWhen::PowerCut, 3_000)]
    {
        for at in 0..with_a_death(83, None) {
            for node in [None, Some(node(2)), Some(node(3))] {
                if node.is_some() && when != CrashWhen::PowerCut {
                    continue;
                }
                let what = format!("{when:?} at step {at} of {node:?}");
                let crash = Crash { at, when, node, down };
                if std::panic::catch_unwind(|| with_a_death(83, Some(crash))).is_err() {
                    failed.push(what);
                }
            }
        }
    }
    assert!(failed.is_empty(), "{} of them fail: {failed:#?}", failed.len());
}

#[test]
fn another_owner_goes_on_with_it() {
    let mut begun = 0;
    for millis in [700, 1_500, 2_500] {
        let mut scene = served(84, &wish(3));
        rot(&mut scene, 3);
        request(&mut scene, Scrub::Begin { repair: false });
        scene.cluster.run_for(millis);
        scene.detach();
        begun += usize::from(scrub_of(&scene.cluster).running.is_some());
        scene.attach(2);
        scene.cluster.app(&name()).writing = true;
        let differ = found(&mut scene);
        scene.demand(differ == PLACE, &format!("one place differs: {differ}"));
        let started = told(&scene, "ScrubStarted");
        scene.demand(
            started == 1,
            &format!("it was started {started} times, first {millis} ms before the release"),
        );
    }
    assert!(begun > 0, "no release came in the middle of a scrub");
}

#[test]
fn it_waits_while_a_copy_is_missed_and_says_so() {
    let mut scene = served(85, &wish(2));
    let bad = remote(&scene);
    rot(&mut scene, bad);
    request(&mut scene, Scrub::Begin { repair: false });
    scene.cluster.run_for(300);
    scene.cluster.set_link(&node(1), &node(bad), false);
    scene.until(60_000, "it waits", |cluster| {
        let status = cluster.world().volume_status(&name()).unwrap();
        status.reasons.iter().any(|reason| reason.code == "ScrubWaits")
    });
    scene.write_for(10_000);
    scene.demand(!is_over(&scene.cluster), "it is not over without that copy");
    scene.cluster.set_link(&node(1), &node(bad), true);
    let differ = found(&mut scene);
    scene.demand(differ == PLACE, &format!("one place differs: {differ}"));
    scene.whole();
}

#[test]
fn a_scrub_that_is_stopped_changes_nothing_any_more() {
    let mut scene = served(86, &wish(2));
    request(&mut scene, Scrub::Begin { repair: false });
    scene.cluster.run_for(1_000);
    request(&mut scene, Scrub::Stop);
    scene.until(5_000, "stopped", is_over);
    scene.demand(scrub_of(&scene.cluster).last.is_none(), "nothing was finished");
    scene.demand(told(&scene, "ScrubStopped") == 1, "an event tells it");
    scene.quiet_while_writing();
}

/// One copy after the other ends is the time between; nothing happens in between, and the machines are not even asked.
#[test]
fn a_schedule_is_kept_and_costs_nothing_in_between() {
    const EVERY: u64 = 3_600_000;
    let mut scene = served(87, &wish(2));
    let bad = remote(&scene);
    scene.quiet_while_writing();
    scene.cluster.app(&name()).writing = false;
    let plans = |scene: &mut Scene| {
        let before = scene.cluster.plans();
        scene.cluster.run_for(30_000);
        scene.cluster.plans() - before
    };
    let without = plans(&mut scene);
    request(&mut scene, Scrub::Every(EVERY / 1000));
    let mut ends: Vec<Timestamp> = Vec::new();
    for round in 0..3 {
        let before = ends.last().copied();
        scene.until(EVERY + 30_000, "the next scrub is over", |cluster| {
            scrub_of(cluster).last.is_some_and(|last| Some(last.finished_at) != before)
        });
        let last = scrub_of(&scene.cluster).last.unwrap();
        scene.demand(last.mismatched == if round < 2 { Bytes(0) } else { PLACE }, "it finds what is there");
        scene.demand(!last.repaired, "nobody ordered a repair");
        ends.push(last.finished_at);
        scene.cluster.run_for(5_000);
        let with = plans(&mut scene);
        scene.demand(with <= without + 3, &format!("{with} plans in 30 s, {without} without a schedule"));
        if round == 1 {
            rot(&mut scene, bad);
        }
    }
    for pair in ends.windows(2) {
        let between = pair[1].since(pair[0]);
        scene.demand((EVERY..EVERY + 15_000).contains(&between), &format!("{between} ms between two"));
    }
    request(&mut scene, Scrub::Every(0));
    scene.cluster.run_for(2 * EVERY);
    let last = scrub_of(&scene.cluster).last.unwrap().finished_at;
    scene.demand(Some(&last) == ends.last(), "no schedule, no scrub");
}

/// The API refuses such a schedule, but a record can be edited past it.
#[test]
fn a_schedule_out_of_bounds_is_refused_by_name() {
    let mut scene = served(88, &wish(2));
    edit_record(&mut scene, |spec| spec.scrub.every_seconds = 1);
    scene.cluster.run_for(30_000);
    scene.demand(told(&scene, "ScrubStarted") == 0, "nothing is compared by such a schedule");
    let refused = |scene: &Scene| {
        let reasons = scene.status().unwrap().reasons.clone();
        reasons.into_iter().find(|reason| reason.code == "ScrubScheduleRefused")
    };
    let reason = refused(&scene).unwrap();
    scene.demand(reason.message.contains("1 seconds is neither 0 nor an hour (3600)"), &reason.message);
    let differ = scrubbed(&mut scene, false);
    scene.demand(differ == Bytes(0), "what is asked for is done");
    request(&mut scene, Scrub::Every(7 * 86_400));
    scene.quiet_while_writing();
    scene.demand(refused(&scene).is_none(), "it is told no longer than it is so");
}
