//! Copies that are lost: how long they have been missing, whether one is to be replaced, and where its replacement goes.
//!
//! ```text
//! in sync --no path--> Missing --waited memberMissingTimeout--> lost --a new copy elsewhere is in sync--> dropped
//!    ^                    |                                      ^
//!    '----back, bitmap----'            failed in the kernel -----'
//! ```
//!
//! Nobody's clock is compared with anybody else's: whoever looks after the volume adds up the time it saw the copy missing,
//! and writes the sum down now and then. Who comes after goes on from there.

use std::collections::BTreeMap;

use super::{Input, Plan, candidate, timing};
use crate::domain::limits::MEMBER_MISSING_TIMEOUT_LEAST as LEAST;
use crate::domain::{Member, MemberState, MoveCause, Reason, ReplicaId, Timestamp, VolumeSpec, VolumeStatus};

/// Since when this daemon has seen a copy missing, and what was recorded of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// [`Member::waited_millis`] as it stood.
    pub recorded_millis: u64,
    /// From then on.
    pub since: Timestamp,
}

/// Milliseconds a copy has been missing.
#[must_use]
pub fn waited_millis(input: &Input, member: &Member) -> u64 {
    let waiting = input.memory.missing.get(&member.replica);
    let now = waiting.filter(|waiting| waiting.recorded_millis == member.waited_millis);
    member.waited_millis + now.map_or(0, |waiting| input.now.since(waiting.since))
}

/// How long a copy is waited for, seconds. A record may be edited past the API: less than the least is [`refused`] by name.
pub(super) fn timeout_seconds(spec: &VolumeSpec) -> u32 {
    spec.member_missing_timeout_seconds.max(LEAST)
}

/// [`timeout_seconds`] in milliseconds.
#[must_use]
pub fn timeout_millis(spec: &VolumeSpec) -> u64 {
    u64::from(timeout_seconds(spec)) * 1000
}

/// Why copies are waited for longer than the record says.
pub(super) fn refused(spec: &VolumeSpec) -> Option<Reason> {
    let asked = spec.member_missing_timeout_seconds;
    (asked < LEAST).then(|| {
        Reason::warning(
            "MemberMissingTimeoutRefused",
            format_args!(
                "a copy that is missing is waited for at least {LEAST} s; memberMissingTimeout {asked} s is asked for"
            ),
            format_args!("write {LEAST} or more into the record's memberMissingTimeoutSeconds"),
        )
    })
}

/// Adds up the time of the copies that are missing now.
pub(super) fn count(
    input: &Input,
    spec: &VolumeSpec,
    next: &mut VolumeStatus,
    missing: &[Member],
    plan: &mut Plan,
) {
    let timeout = timeout_millis(spec);
    for member in missing {
        plan.missing.insert(member.replica, member.waited_millis);
        let waited = waited_millis(input, member);
        let is_over = member.waited_millis < timeout && waited >= timeout;
        if is_over || waited - member.waited_millis >= timing::WAITED_STEP_MILLIS {
            next.set_waited(member.replica, waited);
        }
        if waited < timeout {
            plan.wake(input.now.plus(timing::WAITED_STEP_MILLIS.min(timeout - waited)));
        }
    }
}

/// The same for a volume nobody owns: nobody sees its copies, but a node that does not answer has none to offer.
pub(super) fn count_unowned(input: &Input, spec: &VolumeSpec, next: &mut VolumeStatus, plan: &mut Plan) {
    let members = next.members.clone();
    let is_missing = |member: &Member| {
        next.created
            && !matches!(member.state, MemberState::Faulty | MemberState::Leaving)
            && !input.is_alive(&member.node)
    };
    let (missing, there): (Vec<_>, Vec<_>) = members.into_iter().partition(is_missing);
    for member in there {
        if next.in_sync.contains(&member.replica) {
            next.set_waited(member.replica, 0);
        }
    }
    count(input, spec, next, &missing, plan);
}

/// A copy nobody counts on any more: it failed, or it was waited for long enough. Not one that is only left over from a
/// change that was given up: nobody misses that one.
#[must_use]
pub fn lost<'a>(spec: &VolumeSpec, status: &'a VolumeStatus) -> Option<&'a Member> {
    if !status.created || status.staying().count() > status.copies(spec) {
        return None;
    }
    status
        .staying()
        .find(|member| member.state == MemberState::Faulty || member.waited_millis >= timeout_millis(spec))
}

/// New copies this node fills of its own accord just now, those of the plan so far among them.
pub(super) fn under_way(input: &Input, so_far: &Plan) -> usize {
    let fills = |status: &VolumeStatus| {
        let unasked = |cause| matches!(cause, MoveCause::Heal | MoveCause::Evacuate);
        let cause = status.relocation.as_ref().map(|relocation| relocation.cause);
        cause.is_some_and(unasked) && status.owner.as_ref() == Some(input.me)
    };
    let stored = input.world.volumes().filter(|volume| volume.status.as_ref().is_some_and(fills)).count();
    stored + candidate::begun(input.world, so_far).filter(|(_, status)| fills(status)).count()
}

/// What a daemon remembers of those that are missing: for how long it has seen them so.
pub(super) fn remember(
    before: &BTreeMap<ReplicaId, Waiting>,
    missing: &BTreeMap<ReplicaId, u64>,
    now: Timestamp,
) -> BTreeMap<ReplicaId, Waiting> {
    let one = |(replica, recorded): (&ReplicaId, &u64)| {
        let known = before.get(replica).filter(|waiting| waiting.recorded_millis == *recorded);
        (*replica, known.copied().unwrap_or(Waiting { recorded_millis: *recorded, since: now }))
    };
    missing.iter().map(one).collect()
}
