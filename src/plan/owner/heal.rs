//! Replacing a lost copy: a new one joins elsewhere, and once it holds every write the lost one goes.

use super::relocate;
use super::serving::Serving;
use crate::domain::{Member, MemberState, MoveCause, Reason};
use crate::plan::candidate::{self, First};
use crate::plan::placement::{self, Place};
use crate::plan::{heal, timing};

/// Adds up for how long copies have been missing, and says what is waited for.
pub(super) fn count(serving: &mut Serving) {
    let missing: Vec<Member> =
        serving.status.members.iter().filter(|member| is_missing(serving, member)).cloned().collect();
    heal::count(serving.input, serving.spec, &mut serving.next, &missing, &mut serving.plan);
    for member in missing.iter().filter(|member| member.waited_millis < heal::timeout_millis(serving.spec)) {
        serving.wait(Reason::waiting(
            "MemberMissing",
            format_args!(
                "no path to the copy on {}; it is replaced once it has been missing for {} s",
                member.node,
                heal::timeout_seconds(serving.spec)
            ),
        ));
    }
}

/// Out of the set, not on its way out, and not to be reached. A copy that is only being built is watched elsewhere.
fn is_missing(serving: &Serving, member: &Member) -> bool {
    let joins = serving.status.relocation.as_ref().and_then(|relocation| relocation.joining);
    serving.status.created
        && !serving.status.in_sync.contains(&member.replica)
        && !matches!(member.state, MemberState::Faulty | MemberState::Leaving)
        && joins != Some(member.replica)
        && (serving.ready(member).is_none() || serving.is_gone(member))
}

/// Begins to replace a lost copy, if there is one and this node does not fill enough others just now.
pub(super) fn plan(serving: &mut Serving) {
    let Some(lost) = heal::lost(serving.spec, serving.status).cloned() else { return };
    if serving.status.in_sync.contains(&lost.replica) || is_back(serving, &lost) || is_fresh(serving, &lost) {
        return;
    }
    let node = &lost.node;
    let queued = Reason::waiting(
        "HealQueued",
        format_args!(
            "the copy on {node} is replaced after others: {} fills {} new copies at a time",
            serving.input.me,
            timing::HEALS_PER_NODE
        ),
    );
    let no_room = |whys| {
        Reason::blocked(
            "NoReplacement",
            format_args!("no room to replace the copy on {node}: {whys}"),
            format_args!(
                "bring {node} back, free space, add a drive, or ask for fewer copies with `mdfabric volume edit`"
            ),
        )
    };
    let Some(place) = find_place(serving, &lost, First::Others, queued, no_room) else { return };
    let why = match lost.state {
        MemberState::Faulty => "failed".to_owned(),
        _ => format!("has been missing for {} s", lost.waited_millis / 1000),
    };
    let message = format!("the copy on {node} {why}: a new one is built on {}", place.node);
    serving.event("ReplicaReplacing", message);
    relocate::join_at(serving, place, Some(lost.replica), MoveCause::Heal);
}

/// The place of a copy that nobody asked for, unless this node fills enough others just now or there is none: then the
/// reason is told, and it is looked for again later.
pub(super) fn find_place(
    serving: &mut Serving,
    leaving: &Member,
    first: First,
    queued: Reason,
    no_room: impl FnOnce(String) -> Reason,
) -> Option<Place> {
    let volume = (serving.spec, serving.status);
    let found = if heal::under_way(serving.input, serving.so_far) >= timing::HEALS_PER_NODE {
        Err(queued)
    } else {
        let place = candidate::place(serving.input, volume, leaving, first, serving.so_far);
        place.map_err(|unfit| no_room(placement::whys(&unfit)))
    };
    found
        .map_err(|reason| {
            serving.plan.wake(serving.input.now.plus(timing::RETRY_MAX_MILLIS));
            serving.wait(reason);
        })
        .ok()
}

/// It failed a moment ago: whether its drive was pulled is not known yet.
fn is_fresh(serving: &mut Serving, lost: &Member) -> bool {
    let (now, until) = (serving.input.now, lost.since.plus(timing::FAILED_MILLIS));
    let fresh = lost.state == MemberState::Faulty && (lost.since..until).contains(&now);
    if fresh {
        serving.plan.wake(until);
    }
    fresh
}

pub(super) fn is_back(serving: &Serving, old: &Member) -> bool {
    !matches!(old.state, MemberState::Faulty | MemberState::Leaving)
        && serving.ready(old).is_some()
        && !serving.is_gone(old)
}
