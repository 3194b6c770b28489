//! Changing where replicas are: one joins, is filled and compared, then one leaves. Never the other way round.

use super::run;
use super::serving::{InKernel, Serving, push_event};
use crate::domain::{
    Bytes, Member, MemberState, MoveCause, MoveReport, NodeName, PlacementEntry, Reason, Relocation,
    ReplicaId, Timestamp, VolumeSpec, VolumeStatus,
};
use crate::plan::placement::{self, Request};
use crate::plan::{controller, timing};

pub(super) fn plan(serving: &mut Serving) {
    if run::top(serving).is_none() || !serving.status.created {
        return;
    }
    match serving.status.relocation.clone() {
        Some(relocation) => advance(serving, &relocation),
        None => begin(serving),
    }
}

fn begin(serving: &mut Serving) {
    if serving.status.follow_owner {
        follow(serving);
    } else if serving.spec.placement.generation > serving.status.placement_generation {
        place(serving);
    }
}

/// The owner has no local replica: build one here and let a remote one go (seed A).
fn follow(serving: &mut Serving) {
    if serving.status.member_on(serving.input.me).is_some() {
        serving.next.follow_owner = false;
        return;
    }
    let entry = PlacementEntry { node: serving.input.me.clone(), drive: None };
    let leaving = leaving_for_owner(serving);
    if join(serving, &entry, leaving, MoveCause::FollowOwner) {
        serving.next.follow_owner = false;
    }
}

fn leaving_for_owner(serving: &Serving) -> Option<ReplicaId> {
    let cordoned =
        |member: &Member| serving.input.world.node_spec(&member.node).is_some_and(|spec| spec.cordoned);
    let stays = |member: &&Member| member.state != MemberState::Leaving;
    let worst = |member: &&Member| {
        (!serving.status.in_sync.contains(&member.replica), cordoned(member), member.node.clone())
    };
    serving.status.members.iter().filter(stays).max_by_key(worst).map(|member| member.replica)
}

/// The placement list was edited: the first place without a replica gets one, the first replica without a place goes.
fn place(serving: &mut Serving) {
    let entries = &serving.spec.placement.entries;
    let members: Vec<Member> = serving
        .status
        .members
        .iter()
        .filter(|member| member.state != MemberState::Leaving)
        .cloned()
        .collect();
    let missing = entries.iter().find(|entry| !members.iter().any(|member| is_at(member, entry))).cloned();
    let surplus = members.iter().find(|member| !entries.iter().any(|entry| is_at(member, entry)));
    let leaving = surplus.map(|member| member.replica);
    let unproven = members.iter().find(|member| !serving.status.in_sync.contains(&member.replica));
    match (missing, leaving) {
        (Some(entry), leaving) => drop(join(serving, &entry, leaving, MoveCause::Placement)),
        (None, Some(_)) if unproven.is_some_and(|member| surplus != Some(member)) => {
            if let Some(member) = unproven {
                keep_surplus(serving, member);
            }
        }
        (None, Some(leaving)) => {
            let begun = relocation(serving, None, Some(leaving), MoveCause::Placement);
            serving.next.relocation = Some(Relocation { verified: true, ..begun });
        }
        (None, None) => serving.next.placement_generation = serving.spec.placement.generation,
    }
}

/// R2: nobody goes while a copy that was to take a place does not hold every write. One that never will ends the
/// request: the copies stay as they are, and another place can be asked for.
fn keep_surplus(serving: &mut Serving, unproven: &Member) {
    if unproven.state == MemberState::Faulty {
        serving.next.placement_generation = serving.spec.placement.generation;
        serving.event(
            "MoveGivenUp",
            format_args!("the copy on {} is Faulty; no other copy goes in its favour", unproven.node),
        );
    } else {
        serving.wait(Reason::waiting(
            "CopyNotInSync",
            format_args!("the copy on {} does not hold every write yet; none goes before", unproven.node),
        ));
    }
}

fn is_at(member: &Member, entry: &PlacementEntry) -> bool {
    member.node == entry.node && entry.drive.as_ref().is_none_or(|drive| member.drives.first() == Some(drive))
}

fn relocation(
    serving: &Serving,
    joining: Option<ReplicaId>,
    leaving: Option<ReplicaId>,
    cause: MoveCause,
) -> Relocation {
    let from = leaving.and_then(|leaving| serving.status.member(leaving)).map(|member| member.node.clone());
    Relocation { joining, leaving, from, cause, started_at: serving.input.now, verified: false }
}

/// Writes down who joins, and who leaves afterwards. `false` with a reason when there is no room.
fn join(serving: &mut Serving, entry: &PlacementEntry, leaving: Option<ReplicaId>, cause: MoveCause) -> bool {
    let promised = placement::promised(serving.input.world);
    let request = Request {
        partition_size: placement::partition_size(serving.spec.size, serving.spec.stripe_width),
        columns: serving.spec.stripe_width,
        sector_size: serving.spec.sector_size,
        taken: &[],
        promised: &promised,
    };
    match placement::choose(serving.input.world, &request, Some(entry)) {
        Ok(place) => {
            let now = serving.input.now;
            let joining = controller::push_member(&mut serving.next, serving.spec, place, now);
            serving.next.relocation = Some(relocation(serving, Some(joining), leaving, cause));
            serving.event("ReplicaJoining", format_args!("a new copy is built on {}", entry.node));
            true
        }
        Err(unfit) => {
            let whys: Vec<String> = unfit.iter().map(ToString::to_string).collect();
            serving.wait(Reason::blocked(
                "NoPlace",
                format_args!("no room for a copy on {}: {}", entry.node, whys.join("; ")),
                format_args!("free space on {}, add a drive there, or choose another node", entry.node),
            ));
            serving.plan.wake(serving.input.now.plus(timing::RETRY_MAX_MILLIS));
            false
        }
    }
}

/// The new copy is in the recorded in-sync set: the old one leaves it, by record first (R1).
fn advance(serving: &mut Serving, relocation: &Relocation) {
    if !has_joined(serving.status, relocation) {
        return;
    }
    let Some(leaving) = relocation.leaving.and_then(|leaving| serving.status.member(leaving)).cloned() else {
        return finish(&mut serving.next, serving.spec, serving.input.now);
    };
    if leaving.state != MemberState::Leaving && others_are_good(serving, leaving.replica) {
        serving.next.in_sync.remove(&leaving.replica);
        serving.set_state(leaving.replica, MemberState::Leaving);
        serving.event("ReplicaLeaving", format_args!("the copy on {} is dropped", leaving.node));
    }
}

fn has_joined(status: &VolumeStatus, relocation: &Relocation) -> bool {
    relocation.joining.is_none_or(|joining| status.in_sync.contains(&joining))
}

/// Whether everybody else in the recorded set is in sync in the kernel and reachable, and there is somebody else.
fn others_are_good(serving: &Serving, leaving: ReplicaId) -> bool {
    let mut others = serving
        .status
        .members
        .iter()
        .filter(|member| member.replica != leaving && serving.status.in_sync.contains(&member.replica))
        .peekable();
    others.peek().is_some()
        && others.all(|member| serving.in_kernel(member) == InKernel::InSync && !serving.is_lost(member))
}

/// Ends a relocation whose leaving member is gone from the volume.
pub(in crate::plan) fn finish(next: &mut VolumeStatus, spec: &VolumeSpec, now: Timestamp) {
    let Some(relocation) = next.relocation.clone() else { return };
    let gone = relocation.leaving.is_none_or(|leaving| next.member(leaving).is_none());
    if !gone || !has_joined(next, &relocation) {
        return;
    }
    let to_node =
        relocation.joining.and_then(|joining| next.member(joining)).map(|member| member.node.clone());
    let millis = now.since(relocation.started_at);
    let copied = if to_node.is_some() { spec.size } else { Bytes(0) };
    next.relocation = None;
    let name = |node: &Option<NodeName>| node.as_ref().map_or("nowhere".to_owned(), ToString::to_string);
    let (from, to) = (name(&relocation.from), name(&to_node));
    push_event(
        next,
        now,
        "ReplicaMoved",
        format_args!("a copy moved from {from} to {to} in {}.{} s", millis / 1000, millis % 1000 / 100),
    );
    next.last_move =
        Some(MoveReport { from: relocation.from, to: to_node, millis, copied, finished_at: now });
}
