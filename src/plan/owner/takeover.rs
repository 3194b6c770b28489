//! Taking a volume from an owner that is dead and therefore does not release it.
//!
//! ```text
//! node-1 owns epoch 7, in sync {1, 2}        node-1 is silent
//!        | one compare-and-swap: owner node-2, epoch 8, in sync {2}, copy 1 Missing and diverged
//! node-2 owns epoch 8: every provider fences epoch 7 and acknowledges 8; node-2 starts from what acknowledged
//! ```
//!
//! Dead is only a guess. What makes it safe is the order: the copies that the old owner can write to without anybody's
//! leave are out of the set before the new owner starts, and the others are fenced before they are used (R4). An acknowledged
//! write of the old owner is on every copy of the recorded set, so it is on those that remain.

use std::collections::BTreeSet;

use super::serving::push_event;
use crate::domain::{ArrayReport, MemberState, NodeName, Reason, ReplicaId, Volume, VolumeStatus, World};
use crate::plan::{Input, Plan};

/// Takes over what shall be attached here and belongs to a dead node; says for whom it waits while that one lives.
pub(super) fn plan(input: &Input, volume: &Volume, status: &VolumeStatus, owner: &NodeName) -> Plan {
    let mut plan = Plan::default();
    if !super::claim::is_wanted(input, volume, status) {
        return plan;
    }
    if input.owner_lives(owner) {
        plan.wake(input.dead_at(owner));
        plan.reasons.push(Reason::waiting(
            "OwnerHasNotReleased",
            format_args!(
                "volume {}: {owner} has not released epoch {}; it is taken over once {owner} is silent",
                volume.spec.name, status.epoch
            ),
        ));
        return plan;
    }
    super::claim::plan(input, volume, &depose(input, status, owner))
}

/// The status without its owner. Copies that nobody answers for leave the in-sync set, unless they are all there is: then the
/// next owner waits for them. Whatever is outside of the set may have been written to by an owner nobody has stopped.
pub(in crate::plan) fn depose(input: &Input, status: &VolumeStatus, owner: &NodeName) -> VolumeStatus {
    let mut next = VolumeStatus {
        owner: None,
        taken_over: true,
        follow_owner: false,
        mount_path: None,
        published: Vec::new(),
        array: ArrayReport::default(),
        ..status.clone()
    };
    let answering = answering(input, status);
    if !answering.is_empty() {
        next.in_sync = answering;
    }
    for member in next.members.iter_mut().filter(|member| !next.in_sync.contains(&member.replica)) {
        member.diverged = true;
        if member.state == MemberState::Synced {
            member.state = MemberState::Missing;
            member.since = input.now;
        }
    }
    let epoch = status.epoch;
    push_event(
        &mut next,
        input.now,
        "OwnerLost",
        format_args!("{owner}, the owner of epoch {epoch}, is taken for dead"),
    );
    next
}

fn answering(input: &Input, status: &VolumeStatus) -> BTreeSet<ReplicaId> {
    let answers =
        |replica: &&ReplicaId| status.member(**replica).is_some_and(|member| input.is_alive(&member.node));
    status.in_sync.iter().filter(answers).copied().collect()
}

/// Whether a copy may still be written to by an owner before this one.
pub(super) fn is_unfenced(world: &World, status: &VolumeStatus, replica: ReplicaId) -> bool {
    let acknowledged =
        world.replica_status(&replica).is_some_and(|replica| replica.acked_epoch >= status.epoch);
    status.taken_over && !acknowledged
}
