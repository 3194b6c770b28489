//! Comparing all copies while the volume is used, slice by slice; each gives way to whatever else is to be done.
//!
//! ```text
//! asked for, or due -recorded: running-> slice, pause, slice, ... -> end: recorded, an event says what differs
//!                                          | a copy is lost, joins or moves, the volume grows: waits
//!                                          | daemon dies: goes on from the recorded position
//! ```
//! Nothing is changed on any copy unless the user asked for a repair: md knows that copies differ, not which is right.

use std::collections::BTreeSet;

use super::serving::{InKernel, Serving};
use crate::domain::{Bytes, Member, Reason, ScrubReport, ScrubRun};
use crate::plan::{ArraySeen, Lane, MemberFlag, MemberSeen, Scrubbed, Step, SyncAction, timing};

const COPIES_DIFFER: &str = "CopiesDiffer";

pub(super) fn plan(serving: &mut Serving) {
    if !serving.status.created {
        return;
    }
    match serving.status.scrub.running.clone() {
        _ if is_asked(serving) => take_up(serving),
        Some(run) if is_alone(serving) => {
            end_early(serving, &run, ": one copy is left, and nothing to compare it with");
        }
        Some(run) => advance(serving, &run),
        None => begin_when_due(serving),
    }
    tell(serving);
    refuse_schedule(serving);
}

/// The record may have been edited past the API. Nothing is done by such a schedule; what was asked for is.
fn refuse_schedule(serving: &mut Serving) {
    if let Err(error) = serving.spec.scrub.schedule() {
        let says = format!("the copies are not compared by themselves: a schedule of {error}");
        let next_step = format!(
            "set one that may be: `mdfabric volume scrub {} --every 7d`, or `off`",
            serving.spec.name
        );
        serving.wait(Reason::warning("ScrubScheduleRefused", says, next_step));
    }
}

fn is_asked(serving: &Serving) -> bool {
    serving.spec.scrub.generation > serving.status.scrub.generation
}

/// A new request takes the place of what is under way.
fn take_up(serving: &mut Serving) {
    let request = serving.spec.scrub.clone();
    serving.next.scrub.generation = request.generation;
    let was = serving.next.scrub.running.take();
    if !request.stop {
        begin(serving, request.repair);
    } else if let Some(run) = was {
        end_early(serving, &run, "");
    }
}

/// Whether there is one copy and no other one is wanted: what is compared would wait for ever.
fn is_alone(serving: &Serving) -> bool {
    let status = serving.status;
    status.members.len() < 2 && status.copies(serving.spec) < 2 && status.relocation.is_none()
}

fn end_early(serving: &mut Serving, run: &ScrubRun, why: &str) {
    serving.next.scrub.running = None;
    serving.event("ScrubStopped", format_args!("the scrub was stopped at {}{why}", run.position));
}

fn begin(serving: &mut Serving, repair: bool) {
    let started_at = serving.input.now;
    let nothing = Bytes(0);
    serving.next.scrub.running =
        Some(ScrubRun { started_at, repair, position: nothing, mismatched: nothing });
    let what = if repair {
        let first = first_copy(serving);
        format!("a scrub compares all copies; where they differ, what {first} has is written over the others")
    } else {
        "a scrub compares all copies".to_owned()
    };
    serving.event("ScrubStarted", what);
}

/// Hours at least: that the last one's end was told by another node's clock makes no difference.
fn begin_when_due(serving: &mut Serving) {
    let Ok(Some(every)) = serving.spec.scrub.schedule() else { return };
    if serving.status.in_sync.len() < 2 {
        return;
    }
    let last = serving.status.scrub.last.as_ref().map_or(serving.spec.created_at, |last| last.finished_at);
    let due = last.plus(every * 1000);
    if serving.input.now >= due { begin(serving, false) } else { serving.plan.wake(due) }
}

fn advance(serving: &mut Serving, run: &ScrubRun) {
    let Some(arrays) = serving.arrays() else { return };
    let column_size = arrays.iter().map(|array| array.size).min().unwrap_or_default();
    let total = Bytes(column_size.0 * arrays.len() as u64);
    let done = so_far(serving, run);
    tell_first_difference(serving, run, &done);
    if done.position >= total {
        return finish(serving, &done);
    }
    record(serving, run, &done);
    if let Some(why) = in_the_way(serving, &arrays) {
        begin_anew_after_growth(serving, &done, arrays.len());
        let at = done.position;
        return serving
            .wait(Reason::waiting("ScrubWaits", format_args!("the scrub goes on from {at} once {why}")));
    }
    let resume_at = serving
        .input
        .memory
        .scrubbed
        .get(&serving.spec.name)
        .map(|seen| seen.at.plus(timing::SCRUB_PAUSE_MILLIS));
    match resume_at.filter(|at| serving.input.now < *at) {
        Some(at) => serving.plan.wake(at),
        None => check(serving, run, &done, &arrays, column_size),
    }
}

/// What is recorded, and what this daemon has compared since.
fn so_far(serving: &Serving, run: &ScrubRun) -> ScrubRun {
    let seen = serving.input.memory.scrubbed.get(&serving.spec.name);
    match seen.filter(|seen| seen.is_of(run.started_at, run.position)) {
        Some(Scrubbed { to, mismatched, .. }) => {
            ScrubRun { position: *to, mismatched: Bytes(run.mismatched.0 + mismatched.0), ..run.clone() }
        }
        None => run.clone(),
    }
}

/// Once in a scrub, in whichever slice it is found; the last one may be the first.
fn tell_first_difference(serving: &mut Serving, run: &ScrubRun, done: &ScrubRun) {
    if !run.repair && run.mismatched == Bytes(0) && done.mismatched > Bytes(0) {
        let at = done.position;
        serving.event(COPIES_DIFFER, format_args!("the scrub found copies that differ before {at}"));
    }
}

/// The position is recorded in large steps, a difference at once.
fn record(serving: &mut Serving, run: &ScrubRun, done: &ScrubRun) {
    let moved = done.position.0 - run.position.0 >= timing::SCRUB_STEP.0;
    if moved || done.mismatched != run.mismatched {
        serving.next.scrub.running = Some(done.clone());
    }
}

/// Positions count one column after the other: they mean something else once the columns are longer.
fn begin_anew_after_growth(serving: &mut Serving, done: &ScrubRun, columns: usize) {
    if columns > 1 && is_growing(serving) && done.position > Bytes(0) {
        let nothing = Bytes(0);
        serving.next.scrub.running =
            Some(ScrubRun { position: nothing, mismatched: nothing, ..done.clone() });
    }
}

fn is_growing(serving: &Serving) -> bool {
    serving.status.growth.is_some() || serving.next.growth.is_some()
}

fn finish(serving: &mut Serving, done: &ScrubRun) {
    let report =
        ScrubReport { finished_at: serving.input.now, repaired: done.repair, mismatched: done.mismatched };
    let what = said(report.mismatched, report.repaired);
    serving.next.scrub.running = None;
    serving.next.scrub.last = Some(report);
    serving.event("ScrubFinished", what);
}

/// The same words in event and reason.
fn said(differ: Bytes, repaired: bool) -> String {
    match (differ.0, repaired) {
        (0, _) => "the scrub found all copies equal".to_owned(),
        (differ, false) => {
            format!(
                "the scrub found places of {differ} bytes in all where the copies differ; nothing was changed"
            )
        }
        (differ, true) => {
            format!(
                "the scrub found places of {differ} bytes in all where the copies differed, and made them equal"
            )
        }
    }
}

/// As long as it is so for all that is known: what a scrub under way has found, else what the last one left.
fn tell(serving: &mut Serving) {
    let scrub = &serving.next.scrub;
    let found = scrub.running.as_ref().filter(|run| !run.repair).map_or(Bytes(0), |run| run.mismatched);
    let left = scrub.last.as_ref().filter(|last| !last.repaired).map_or(Bytes(0), |last| last.mismatched);
    let differ = if found > Bytes(0) { found } else { left };
    if differ > Bytes(0) && serving.status.members.len() > 1 {
        let (name, first) = (&serving.spec.name, first_copy(serving));
        let next_step = format!(
            "find out which copy is right: `mdfabric volume scrub {name} --repair` writes what {first} has over the others; one that is wrong can be dropped by \
             `mdfabric volume edit {name} --remove-replica NODE` instead, then scrub again"
        );
        serving.wait(Reason::warning(COPIES_DIFFER, said(differ, false), next_step));
    }
}

/// Whose content a repair writes over the others: md holds all against the copy in the lowest slot (`process_checks`,
/// drivers/md/raid1.c).
fn first_copy(serving: &Serving) -> String {
    let nodes: BTreeSet<&str> = serving.columns().filter_map(|column| first_in(serving, column)).collect();
    match nodes.into_iter().collect::<Vec<_>>().as_slice() {
        [] => "the copy in the array's first slot".to_owned(),
        [node] => format!("the copy on {node}"),
        nodes => format!("the first copy of each column, on {},", nodes.join(" or ")),
    }
}

fn first_in<'a>(serving: &Serving<'a>, column: u8) -> Option<&'a str> {
    let good = |member: &&MemberSeen| member.is(MemberFlag::InSync) && member.slot.is_some();
    let first = serving.array(column)?.members.iter().filter(good).min_by_key(|member| member.slot)?;
    let is_first = |member: &&Member| serving.leg(member, column).dev() == Some(first.dev);
    Some(serving.status.members.iter().find(is_first)?.node.as_str())
}

/// What has to be done or to end first. What is planned in this turn is in the way, too.
fn in_the_way(serving: &Serving, arrays: &[&ArraySeen]) -> Option<&'static str> {
    let (status, next) = (serving.status, &serving.next);
    let ours = |action| match action {
        SyncAction::Idle | SyncAction::Piece => true,
        SyncAction::Check | SyncAction::Repair | SyncAction::Frozen => serving.is_busy(),
        SyncAction::Resync | SyncAction::Recover | SyncAction::Reshape => false,
    };
    let whole = |array: &&ArraySeen| array.is_writable() && ours(array.sync.action);
    let good = |member: &Member| serving.in_kernel(member) == InKernel::InSync && !serving.is_lost(member);
    let mut counted = status.members.iter().filter(|member| status.in_sync.contains(&member.replica));
    if status.in_sync.len() < 2 {
        Some("there is a second copy to compare with")
    } else if status.relocation.is_some() || next.relocation.is_some() {
        Some("no copy joins or leaves")
    } else if is_growing(serving) {
        Some("the volume has grown")
    } else if !counted.all(good) || status.members.len() != status.in_sync.len() {
        Some("every copy holds every write")
    } else if !arrays.iter().all(whole) {
        Some("its array does nothing else")
    } else {
        None
    }
}

fn check(serving: &mut Serving, run: &ScrubRun, done: &ScrubRun, arrays: &[&ArraySeen], column_size: Bytes) {
    let volume = serving.spec.name.clone();
    let lane = Lane::Volume(volume.clone());
    if serving.is_busy() || serving.plan.steps.iter().any(|step| step.lane() == lane) {
        return;
    }
    let column = done.position.0 / column_size.0.max(1);
    let Some(array) = usize::try_from(column).ok().and_then(|column| arrays.get(column)) else { return };
    serving.step(Step::Check {
        volume,
        array: array.name.clone(),
        run: run.started_at,
        since: run.position,
        base: Bytes(column * column_size.0),
        from: Bytes(done.position.0 % column_size.0.max(1)),
        size: column_size,
        repair: run.repair,
    });
}

/// Whether slices follow each other.
pub(super) fn is_going_on(serving: &Serving) -> bool {
    let Some(arrays) = serving.arrays().filter(|_| serving.next.scrub.running.is_some()) else {
        return false;
    };
    in_the_way(serving, &arrays).is_none()
}

/// How far a comparison is, in tenths of a percent, as recorded.
pub(super) fn progress(serving: &Serving) -> Option<u16> {
    let run = serving.next.scrub.running.as_ref()?;
    let total: u64 = serving.arrays()?.iter().map(|array| array.size.0).sum();
    u16::try_from((run.position.0.saturating_mul(1000)).checked_div(total)?.min(1000)).ok()
}
