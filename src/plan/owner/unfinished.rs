//! A new copy that does not get finished: it goes again, and nobody goes in its favour.

use super::heal;
use super::serving::{InKernel, Serving};
use crate::domain::{
    DriveId, Member, MemberState, MoveCause, PlacementEntry, Reason, Relocation, Tried, partition_guid,
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
    let fault = cannot_be_made(serving, &new).filter(|_| named.is_none_or(|entry| entry.drive.is_none()));
    if let Some(Fault { why, drives }) = fault {
        give_up(serving, &new, &why, &drives);
    } else if named.is_none() && !serving.input.is_alive(&new.node) && serving.ready(&new).is_none() {
        give_up(serving, &new, "its node does not answer", &[]);
    } else if let Some(why) = is_over(serving, relocation)
        && serving.in_kernel(&new) == InKernel::Absent
    {
        give_up(serving, &new, &why, &[]);
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

/// Why a copy cannot be made, and the drives that are to blame: of a striped copy not those of the other columns.
struct Fault {
    why: String,
    drives: Vec<DriveId>,
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

/// The kernel threw it out although its path works, or refuses it time and again, or its provider objects.
fn cannot_be_made(serving: &mut Serving, new: &Member) -> Option<Fault> {
    failed(serving, new).or_else(|| keeps_failing(serving, new)).or_else(|| objection(serving, new))
}

fn failed(serving: &Serving, new: &Member) -> Option<Fault> {
    let failed = |(column, _): &(u8, &DriveId)| serving.in_column(new, *column) == InKernel::Faulty;
    let drives = serving.columns().zip(&new.drives).filter(failed).map(|(_, drive)| drive.clone());
    let drives: Vec<DriveId> = drives.filter(|_| serving.has_failed(new)).collect();
    (!drives.is_empty()).then(|| Fault { why: "its drive failed in the array".to_owned(), drives })
}

/// What the kernel says to each try to take it into the array. That there is no way to it is not its drive's fault, and is waited for.
fn keeps_failing(serving: &Serving, new: &Member) -> Option<Fault> {
    let attempt = |step: &Step| serving.input.memory.failed.get(&step.to_string());
    serving.columns().zip(&new.drives).find_map(|(column, drive)| {
        let partition = partition_guid(new.replica, column);
        let joins =
            |step: &&Step| matches!(step, Step::AddMember { member, .. } if member.partition == partition);
        let mut attempts = serving.plan.steps.iter().filter(joins).filter_map(attempt);
        let hopeless = attempts.find(|attempt| attempt.count >= timing::CANDIDATE_FAILURES)?;
        Some(Fault { why: hopeless.failure.message.clone(), drives: vec![drive.clone()] })
    })
}

/// What its provider has said against it for long enough, without taking it back in between.
fn objection(serving: &mut Serving, new: &Member) -> Option<Fault> {
    let (world, memory, now) = (serving.input.world, serving.input.memory, serving.input.now);
    let status = world.replica_status(&new.replica).filter(|status| !status.zeroed)?;
    let reason = status.reason.as_ref()?;
    serving.plan.objected.insert(new.replica);
    let since = memory.objected.get(&new.replica).copied().unwrap_or(now);
    let due = since.plus(timing::CANDIDATE_MILLIS);
    if now < due {
        serving.plan.wake(due);
        return None;
    }
    let drives = status.of_drive.clone().map_or_else(|| new.drives.clone(), |drive| vec![drive]);
    Some(Fault { why: reason.message.clone(), drives })
}

/// The new copy goes. Drives that are to blame are not tried again.
pub(super) fn give_up(serving: &mut Serving, new: &Member, why: &str, to_blame: &[DriveId]) {
    let cause = serving.status.relocation.as_ref().map(|relocation| relocation.cause);
    serving.set_state(new.replica, MemberState::Leaving);
    serving.next.relocation = None;
    serving.next.follow_owner |= cause == Some(MoveCause::FollowOwner) && new.node == *serving.input.me;
    let guid = |drive| serving.input.world.drive_spec(drive).map(|spec| spec.disk_guid);
    let tried = to_blame.iter().filter_map(|drive| {
        Some(Tried { drive: drive.clone(), disk_guid: guid(drive)?, why: why.to_owned() })
    });
    serving.next.tried.extend(tried);
    let event = if cause == Some(MoveCause::Heal) { "ReplacementGivenUp" } else { "ReplicaGivenUp" };
    serving.event(event, format_args!("the new copy on {} is not finished: {why}", new.node));
}
