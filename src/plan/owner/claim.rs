//! Who owns a volume next.

use crate::domain::{Locality, Member, MemberState, NodeName, Record, Volume, VolumeStatus};
use crate::plan::candidate::{self, First};
use crate::plan::{Input, Plan, evacuate, heal, scale};

/// Claims a volume that shall be attached here, or that this node has to look after while it is detached.
pub(super) fn plan(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    let mut plan = Plan::default();
    if !is_wanted(input, volume, status) || !is_made(input, status) {
        return plan;
    }
    let attached = volume.spec.attachment.is_some();
    let follow = attached && volume.spec.locality == Locality::Follow && status.member_on(input.me).is_none();
    let next = VolumeStatus {
        owner: Some(input.me.clone()),
        epoch: status.epoch.next(),
        claimed_at: input.now,
        follow_owner: follow,
        reasons: Vec::new(),
        ..status.clone()
    };
    plan.put(&volume.spec.name, Record::VolumeStatus(next));
    plan
}

/// Whether this node should be the owner: the user says so, or the detached volume needs one for maintenance and
/// this node is the first that holds an in-sync copy.
pub(super) fn is_wanted(input: &Input, volume: &Volume, status: &VolumeStatus) -> bool {
    match &volume.spec.attachment {
        _ if volume.spec.deleting => false,
        Some(attachment) => attachment.node == *input.me,
        None => needs_maintenance(input, volume, status) && maintainer(input, status) == Some(input.me),
    }
}

fn needs_maintenance(input: &Input, volume: &Volume, status: &VolumeStatus) -> bool {
    let fillable = |member: &Member| {
        matches!(member.state, MemberState::Joining | MemberState::Syncing | MemberState::Missing)
            && status.created
            && input.is_alive(&member.node)
    };
    let asked = !status.is_placed(&volume.spec) && scale::impossible(&volume.spec, status).is_none();
    asked
        || status.is_to_grow(&volume.spec)
        || heals(input, volume, status)
        || status.relocation.is_some()
        || status.members.iter().any(fillable)
}

/// A copy is lost, or its place is emptied, and there is a place for another one.
fn heals(input: &Input, volume: &Volume, status: &VolumeStatus) -> bool {
    let nothing = Plan::default();
    let place = |leaving, first| candidate::place(input, (&volume.spec, status), leaving, first, &nothing);
    heal::lost(&volume.spec, status).is_some_and(|lost| place(lost, First::Others).is_ok())
        || evacuate::due(input.world, status).is_some_and(|due| place(due, evacuate::FIRST).is_ok())
}

fn maintainer<'a>(input: &Input, status: &'a VolumeStatus) -> Option<&'a NodeName> {
    let holders = status.members.iter().filter(|member| status.in_sync.contains(&member.replica));
    holders.map(|member| &member.node).filter(|node| input.is_alive(node)).min()
}

/// Before the first start there have to be copies, and every one has to be carved and zeroed.
fn is_made(input: &Input, status: &VolumeStatus) -> bool {
    let made =
        |member: &Member| input.world.replica_status(&member.replica).is_some_and(|status| status.zeroed);
    status.created || !status.members.is_empty() && status.members.iter().all(made)
}
