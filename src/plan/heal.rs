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

use super::placement::{self, Place, Request, Unfit};
use super::{Input, Plan, timing};
use crate::domain::{
    Bytes, DriveId, Member, MemberState, NodeName, Record, ReplicaId, Timestamp, VolumeSpec, VolumeStatus,
    World,
};

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

/// How long a copy is waited for.
#[must_use]
pub fn timeout_millis(spec: &VolumeSpec) -> u64 {
    u64::from(spec.member_missing_timeout_seconds) * 1000
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

/// The place of a new copy in favour of which `leaving` goes: on a node without one; if there is none, on another drive
/// of the same node.
pub(super) fn place(
    input: &Input,
    spec: &VolumeSpec,
    status: &VolumeStatus,
    leaving: &Member,
    so_far: &Plan,
) -> Result<Place, Vec<Unfit>> {
    let avoided = avoided(input.world, status, leaving);
    let promised = promised(input.world, so_far);
    let on = |taken: &[(NodeName, &'static str)]| {
        let request = Request { avoided: &avoided, ..Request::of(spec, taken, &promised) };
        placement::choose(input.world, &request, None)
    };
    let taken = unavailable(input, status);
    on(&taken).or_else(|unfit| {
        let others: Vec<_> =
            status.members.iter().filter(|member| member.replica != leaving.replica).collect();
        if !input.is_alive(&leaving.node) || others.iter().any(|member| member.node == leaving.node) {
            return Err(unfit);
        }
        let taken: Vec<_> = taken.iter().filter(|(node, _)| *node != leaving.node).cloned().collect();
        on(&taken)
    })
}

/// Why a node that has a copy gets no other one.
pub(super) const HOSTS: &str = "hosts a copy";

/// Nodes that host a copy already, one that still has to be erased among them, and those that do not answer.
pub(super) fn unavailable(input: &Input, status: &VolumeStatus) -> Vec<(NodeName, &'static str)> {
    let hosts = status.members.iter().map(|member| (member.node.clone(), HOSTS));
    let silent = |(node, _): (NodeName, _)| (!input.is_alive(&node)).then_some((node, "does not answer"));
    hosts.chain(input.world.nodes().filter_map(silent)).collect()
}

/// Drives that were tried in vain and are still those they were, and those of the lost copy.
fn avoided(world: &World, status: &VolumeStatus, leaving: &Member) -> Vec<(DriveId, String)> {
    let same = |drive: &DriveId, guid| world.drive_spec(drive).is_some_and(|spec| spec.disk_guid == guid);
    let tried = status.tried.iter().filter(|tried| same(&tried.drive, tried.disk_guid));
    let tried = tried.map(|tried| (tried.drive.clone(), format!("tried in vain: {}", tried.why)));
    let own = leaving.drives.iter().map(|drive| (drive.clone(), "has the lost copy".to_owned()));
    tried.chain(own).collect()
}

/// What stands in records, and what the same plan has already given away.
fn promised(world: &World, so_far: &Plan) -> Vec<(DriveId, Bytes)> {
    let mut promised = placement::promised(world);
    for (spec, status) in begun(world, so_far) {
        let size = placement::partition_size(spec.size, spec.stripe_width);
        let known: Vec<ReplicaId> = world
            .volume_status(&spec.name)
            .map(|stored| stored.members.iter().map(|member| member.replica).collect())
            .unwrap_or_default();
        let new = status.members.iter().filter(|member| !known.contains(&member.replica));
        promised.extend(new.flat_map(|member| &member.drives).map(|drive| (drive.clone(), size)));
    }
    promised
}

/// Volumes for which the plan so far begins a relocation.
fn begun<'a>(world: &'a World, so_far: &'a Plan) -> impl Iterator<Item = (&'a VolumeSpec, &'a VolumeStatus)> {
    so_far.writes.iter().filter_map(|write| {
        let Some(Record::VolumeStatus(status)) = &write.record else { return None };
        let name = write.key.name.parse().ok()?;
        let stored = world.volume_status(&name)?;
        let new = stored.relocation.is_none() && status.relocation.is_some();
        new.then_some((world.volume_spec(&name)?, status))
    })
}

/// Replacements this node fills just now, those of the plan so far among them.
pub(super) fn under_way(input: &Input, so_far: &Plan) -> usize {
    let heals = |status: &VolumeStatus| status.is_healing() && status.owner.as_ref() == Some(input.me);
    let stored = input.world.volumes().filter(|volume| volume.status.as_ref().is_some_and(heals)).count();
    stored + begun(input.world, so_far).filter(|(_, status)| heals(status)).count()
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
