//! A new copy that does not get finished: it goes again, and nobody goes in its favour.

use uuid::Uuid;

use super::heal;
use super::serving::{InKernel, Serving};
use crate::domain::{
    Member, MemberState, MoveCause, PlacementEntry, Reason, Relocation, Tried, partition_guid,
};
use crate::plan::{Step, evacuate, scale, timing};

/// A copy that is being built ends when it cannot be made, when its node is dead, or when what it was begun for is over before there is
/// anything of it in the array. What the user named is waited for: only they know whether it comes back.
pub(super) fn watch(serving: &mut Serving, relocation: &Relocation) {
    let of = |replica| serving.status.member(replica).cloned();
    let Some(new) = relocation.joining.and_then(of) else { return };
    if serving.next.in_sync.contains(&new.replica) || new.state == MemberState::Leaving {
        return;
    }
    let named = named(serving, &new, relocation);
    let blamed =
        cannot_be_made(serving, &new, relocation).filter(|_| named.is_none_or(|entry| entry.drive.is_none()));
    if let Some(why) = blamed {
        give_up(serving, &new, &why, true);
    } else if named.is_none() && !serving.input.is_alive(&new.node) && serving.ready(&new).is_none() {
        give_up(serving, &new, "its node does not answer", false);
    } else if let Some(why) = is_over(serving, relocation)
        && serving.in_kernel(&new) == InKernel::Absent
    {
        give_up(serving, &new, &why, false);
    } else if is_out_of_reach(serving, &new) {
        serving.wait(out_of_reach(serving, &new, named.is_some()));
    }
}

/// Its node is dead, or it lost its path and was let go: while a leg holds I/O the path may be back in a moment.
fn is_out_of_reach(serving: &Serving, new: &Member) -> bool {
    !serving.input.is_alive(&new.node) || serving.has_no_path(new) && !serving.holds_writes(new)
}

fn out_of_reach(serving: &Serving, new: &Member, named: bool) -> Reason {
    let (volume, node) = (&serving.spec.name, &new.node);
    let call_off = format!(", or call it off: `mdfabric volume edit {volume} --remove-replica {node}`");
    let call_off = if named { call_off.as_str() } else { "" };
    Reason::blocked(
        "NewCopyOutOfReach",
        format_args!(
            "the new copy on {node} cannot be filled: {node} is out of reach; no other copy goes before"
        ),
        format_args!("bring {node} or its network back{call_off}"),
    )
}

/// The entry of the user's list that asks for this very copy.
fn named<'a>(serving: &Serving<'a>, new: &Member, relocation: &Relocation) -> Option<&'a PlacementEntry> {
    let placed = serving.status.placed.as_ref().filter(|_| relocation.cause == MoveCause::Placement);
    placed?.places().iter().find(|entry| scale::is_at(new, entry))
}

/// Why the copy need not be built any more.
fn is_over(serving: &Serving, relocation: &Relocation) -> Option<String> {
    let old = serving.status.member(relocation.leaving?)?;
    match relocation.cause {
        MoveCause::Heal => heal::is_back(serving, old).then(|| format!("the copy on {} is back", old.node)),
        MoveCause::Evacuate => (!evacuate::is_emptied(serving.input.world, old))
            .then(|| format!("{} is not emptied any more", old.node)),
        MoveCause::Placement | MoveCause::FollowOwner | MoveCause::Expand => None,
    }
}

/// What its provider says against it for a while, what fails here time and again, or that the kernel threw it out although its path works.
fn cannot_be_made(serving: &Serving, new: &Member, relocation: &Relocation) -> Option<String> {
    if serving.in_kernel(new) == InKernel::Faulty && serving.has_failed(new) {
        return Some("its drive failed in the array".to_owned());
    }
    if let Some(why) = keeps_failing(serving, new) {
        return Some(why);
    }
    let (now, claimed) = (serving.input.now, serving.status.claimed_at);
    let begun = if relocation.started_at > now { claimed } else { relocation.started_at.max(claimed) };
    let status = serving.input.world.replica_status(&new.replica)?;
    let reason = status.reason.as_ref().filter(|_| !status.zeroed)?;
    (now.since(begun) >= timing::CANDIDATE_MILLIS).then(|| reason.message.clone())
}

/// What the kernel says to each try to take it into the array. That there is no way to it is not its drive's fault, and is waited for.
fn keeps_failing(serving: &Serving, new: &Member) -> Option<String> {
    let partitions: Vec<Uuid> = serving.columns().map(|column| partition_guid(new.replica, column)).collect();
    let joins = |step: &&Step| matches!(step, Step::AddMember { member, .. } if partitions.contains(&member.partition));
    let attempt = |step: &Step| serving.input.memory.failed.get(&step.to_string());
    let mut attempts = serving.plan.steps.iter().filter(joins).filter_map(attempt);
    let hopeless = attempts.find(|attempt| attempt.count >= timing::CANDIDATE_FAILURES)?;
    Some(hopeless.failure.message.clone())
}

/// The new copy goes. A drive that is to blame is not tried again.
pub(super) fn give_up(serving: &mut Serving, new: &Member, why: &str, to_blame: bool) {
    let cause = serving.status.relocation.as_ref().map(|relocation| relocation.cause);
    serving.set_state(new.replica, MemberState::Leaving);
    serving.next.relocation = None;
    serving.next.follow_owner |= cause == Some(MoveCause::FollowOwner) && new.node == *serving.input.me;
    if to_blame {
        let guid = |drive| serving.input.world.drive_spec(drive).map(|spec| spec.disk_guid);
        let tried = new.drives.iter().filter_map(|drive| {
            Some(Tried { drive: drive.clone(), disk_guid: guid(drive)?, why: why.to_owned() })
        });
        serving.next.tried.extend(tried);
    }
    let event = if cause == Some(MoveCause::Heal) { "ReplacementGivenUp" } else { "ReplicaGivenUp" };
    serving.event(event, format_args!("the new copy on {} is not finished: {why}", new.node));
}
