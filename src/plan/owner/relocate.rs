//! Changing where replicas are and how many: one joins, is filled and compared, then one leaves. Never the other way
//! round. A move is both, more copies is only the first half, fewer only the second.

use super::serving::{InKernel, Serving, push_event};
use super::{evacuate, heal, lifecycle, top, unfinished};
use crate::domain::{
    Bytes, Member, MemberState, MoveCause, MoveReport, NodeName, Placed, PlacementEntry, Reason, Relocation,
    ReplicaId, Timestamp, VolumeSpec, VolumeStatus,
};
use crate::plan::placement::{self, Place, Request, Unfit};
use crate::plan::safety::{self, Guard, Refusal};
use crate::plan::scale::{self, Difference, Why};
use crate::plan::{Input, candidate, controller, timing};

pub(super) fn plan(serving: &mut Serving) {
    if top::device(serving).is_none() || !serving.status.created {
        return;
    }
    match serving.status.relocation.clone() {
        Some(relocation) => advance(serving, &relocation),
        // A copy that needs room to grow may just have begun to move: one at a time.
        None if serving.next.relocation.is_some() => {}
        None => begin(serving),
    }
}

/// One change at a time; one that finds no place holds up no other.
fn begin(serving: &mut Serving) {
    let causes: [fn(&mut Serving); 4] = [follow, request, heal::plan, evacuate::plan];
    for cause in causes {
        if serving.next.relocation.is_none() {
            cause(serving);
        }
    }
}

/// What the user's record asks for.
fn request(serving: &mut Serving) {
    if !serving.status.has_taken_up(serving.spec) {
        take_up(serving);
    } else if !serving.status.is_placed(serving.spec) {
        place(serving);
    } else if serving.status.placed.is_none() {
        serving.next.placed = Some(Placed::carried_out(serving.spec));
    }
}

/// The owner has no local replica: build one here and let a remote one go (seed A).
fn follow(serving: &mut Serving) {
    if !serving.status.follow_owner {
        return;
    }
    if serving.status.staying().any(|member| member.node == *serving.input.me) {
        serving.next.follow_owner = false;
        return;
    }
    let entry = PlacementEntry { node: serving.input.me.clone(), drive: None };
    let leaving = leaving_for_owner(serving);
    join(serving, Some(&entry), leaving, MoveCause::FollowOwner);
    serving.next.follow_owner = serving.next.relocation.is_none();
}

fn leaving_for_owner(serving: &Serving) -> Option<ReplicaId> {
    let (world, status) = (serving.input.world, serving.status);
    let worst = status.staying().max_by(|one, other| scale::worse(world, status, one, other));
    worst.map(|member| member.replica)
}

/// The user's record asks for something new: what that comes to is recorded before any of it is done. Fewer copies are
/// not even begun with while one that stays does not hold every write.
fn take_up(serving: &mut Serving) {
    let Ok(placed) = scale::take_up(serving.spec, serving.status) else {
        return serving.next.reasons.extend(scale::impossible(serving.spec, serving.status));
    };
    let difference = scale::difference(serving.input.world, serving.status, &placed);
    match scale::unproven(serving.status, &difference.surplus) {
        Some(member) if difference.missing.is_empty() && !difference.surplus.is_empty() => {
            serving.wait(not_in_sync(member));
        }
        Some(_) | None => scale::begin(&mut serving.next, placed, serving.input.now),
    }
}

/// What was taken up: the first place without a copy gets one, the first copy without a place goes.
fn place(serving: &mut Serving) {
    let Some(placed) = &serving.status.placed else { return };
    let Difference { missing, surplus } = scale::difference(serving.input.world, serving.status, placed);
    let unproven = scale::unproven(serving.status, &surplus).cloned();
    match (missing.first(), surplus.first(), unproven) {
        (Some(place), leaving, _) => join(serving, place.as_ref(), leaving.copied(), MoveCause::Placement),
        (None, _, Some(member)) if member.state == MemberState::Faulty => {
            scale::give_up(&mut serving.next, &member, serving.input.now);
        }
        (None, _, Some(member)) => serving.wait(not_in_sync(&member)),
        (None, Some(leaving), None) => drop_surplus(serving, *leaving),
        (None, None, None) => {}
    }
}

/// R2: nobody goes while a copy that stays does not hold every write.
fn not_in_sync(member: &Member) -> Reason {
    Refusal::NotInSync { node: member.node.clone() }.into()
}

/// A copy goes and none comes for it.
fn drop_surplus(serving: &mut Serving, leaving: ReplicaId) {
    let Some(member) = serving.status.member(leaving).cloned() else { return };
    let placed = serving.status.placed.as_ref();
    let chosen = placed.is_some_and(|placed| placed.places().len() < usize::from(placed.copies));
    let why = chosen.then(|| scale::why(serving.input.world, serving.status, &member));
    let_leave(serving, &member, why);
    if serving.next.member(leaving).is_some_and(|member| member.state == MemberState::Leaving) {
        let begun = relocation(serving, None, Some(leaving), MoveCause::Placement);
        serving.next.relocation = Some(Relocation { verified: true, ..begun });
    }
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

/// Writes down who joins, and who leaves afterwards; or why there is no room.
fn join(serving: &mut Serving, entry: Option<&PlacementEntry>, leaving: Option<ReplicaId>, cause: MoveCause) {
    let taken = taken(serving, entry.is_none());
    match choose(serving, &taken, entry) {
        Ok(place) => build(serving, place, leaving, cause),
        Err(unfit) => no_place(serving, entry, &unfit),
    }
}

fn choose(
    serving: &Serving,
    taken: &[(NodeName, &'static str)],
    entry: Option<&PlacementEntry>,
) -> Result<Place, Vec<Unfit>> {
    let promised = placement::promised(serving.input.world);
    let size = serving.status.target(serving.spec);
    let barred = candidate::barred(serving.input.world, serving.status, entry);
    let request = Request { avoided: &barred, ..Request::of(serving.spec, size, taken, &promised) };
    placement::choose(serving.input.world, &request, entry)
}

fn build(serving: &mut Serving, place: Place, leaving: Option<ReplicaId>, cause: MoveCause) {
    serving.event("ReplicaJoining", format_args!("a new copy is built on {}", place.node));
    join_at(serving, place, leaving, cause);
}

/// A copy that cannot grow where it lies moves: on its own node if there is room, else to another one.
pub(super) fn make_room(serving: &mut Serving, leaving: &Member) {
    let here = PlacementEntry { node: leaving.node.clone(), drive: None };
    let taken = taken(serving, true);
    // A second copy there is one that failed on the way: another one would fare no better.
    let alone = serving.status.members.iter().filter(|member| member.node == leaving.node).count() == 1;
    let at_home = choose(serving, if alone { &[] } else { &taken }, Some(&here));
    match at_home.or_else(|at_home| choose(serving, &taken, None).map_err(|elsewhere| (at_home, elsewhere))) {
        Ok(place) => build(serving, place, Some(leaving.replica), MoveCause::Expand),
        Err((mut unfit, elsewhere)) => {
            let others = elsewhere.into_iter().filter(|unfit| unfit.node != leaving.node);
            unfit.extend(others);
            no_place(serving, None, &unfit);
        }
    }
}

/// Writes down that a copy joins at `place`, and that `leaving` goes afterwards.
pub(super) fn join_at(serving: &mut Serving, place: Place, leaving: Option<ReplicaId>, cause: MoveCause) {
    let joining = controller::push_member(&mut serving.next, serving.spec, place, serving.input.now);
    serving.next.relocation = Some(relocation(serving, Some(joining), leaving, cause));
}

/// Nodes that host a copy already, one that still has to be erased among them; where the place is ours to choose, also
/// those that do not answer.
fn taken(serving: &Serving, chosen: bool) -> Vec<(NodeName, &'static str)> {
    let alive = |node: &NodeName| !chosen || serving.input.is_alive(node);
    candidate::unavailable(serving.input.world, serving.status, &alive)
}

fn no_place(serving: &mut Serving, entry: Option<&PlacementEntry>, unfit: &[Unfit]) {
    let (whys, where_to) = (placement::whys(unfit), entry.map(|entry| format!(" on {}", entry.node)));
    let where_to = where_to.unwrap_or_default();
    serving.wait(Reason::blocked(
        "NoPlace",
        format_args!("no room for a copy{where_to}: {whys}"),
        format_args!("free space{where_to}, add a drive, or ask for another place"),
    ));
    serving.plan.wake(serving.input.now.plus(timing::RETRY_MAX_MILLIS));
}

/// Once the new copy is in the recorded in-sync set, the old one leaves it.
fn advance(serving: &mut Serving, relocation: &Relocation) {
    if !has_joined(serving.status, relocation) && safety::is_on(serving.input, Guard::OldCopyLast) {
        if relocation.cause == MoveCause::Placement {
            take_back(serving, relocation);
        }
        if serving.next.relocation.is_some() {
            unfinished::watch(serving, relocation);
        }
        return;
    }
    let leaving = relocation.leaving.and_then(|leaving| serving.status.member(leaving)).cloned();
    match leaving {
        Some(leaving) if leaving.state == MemberState::Leaving => leave_behind(serving, relocation, &leaving),
        Some(leaving) => let_leave(serving, &leaving, None),
        None => {}
    }
}

/// The user does not want the copy any more that is being built: it goes, and nobody goes for it.
fn take_back(serving: &mut Serving, relocation: &Relocation) {
    let (spec, status) = (serving.spec, serving.status);
    if status.has_taken_up(spec) {
        return;
    }
    let (Some(joining), Ok(placed)) = (relocation.joining, scale::take_up(spec, status)) else { return };
    if scale::difference(serving.input.world, status, &placed).surplus.contains(&joining) {
        // It may have come to hold every write at this very moment.
        serving.next.in_sync.remove(&joining);
        serving.set_state(joining, MemberState::Leaving);
        serving.next.relocation = None;
        let node = status.member(joining).map(|member| member.node.to_string()).unwrap_or_default();
        serving.event("ReplicaLeaving", format_args!("the copy on {node} is not wanted any more"));
    }
}

/// R1: a copy leaves the recorded set first. Not the last one, and not while one of the others would be missed. `why`
/// says why it is this one, where that was for us to choose.
fn let_leave(serving: &mut Serving, leaving: &Member, why: Option<Why>) {
    // Everybody else in the recorded set has to be in sync in the kernel and reachable.
    let good = |member: &Member| serving.in_kernel(member) == InKernel::InSync && !serving.is_lost(member);
    if let Err(refusal) = safety::may_leave(serving.input, serving.status, leaving.replica, good) {
        return serving.wait(refusal.into());
    }
    serving.next.in_sync.remove(&leaving.replica);
    serving.set_state(leaving.replica, MemberState::Leaving);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    serving.event("ReplicaLeaving", format_args!("the copy on {} is dropped{why}", leaving.node));
}

/// A copy that left and that its node cannot erase now holds up nothing: it is erased when node and drive are back.
fn leave_behind(serving: &mut Serving, relocation: &Relocation, leaving: &Member) {
    let (input, node) = (serving.input, &leaving.node);
    let objection = input.world.replica_status(&leaving.replica).and_then(|status| status.reason.as_ref());
    let why = match objection {
        _ if !input.is_alive(node) => "it does not answer".to_owned(),
        Some(reason) => reason.message.clone(),
        None => return,
    };
    if lifecycle::is_released(serving, leaving) {
        end(&mut serving.next, serving.spec, relocation, input.now);
        serving.event("ReplicaLeftBehind", format_args!("{node} erases its dropped copy later: {why}"));
    }
}

/// Whether the new copy holds every write. Where the old one goes, or has gone, it did: if it was lost since, it is healed like any other.
pub(super) fn has_joined(status: &VolumeStatus, relocation: &Relocation) -> bool {
    let goes = |old| status.member(old).is_none_or(|member| member.state == MemberState::Leaving);
    relocation.joining.is_none_or(|joining| status.in_sync.contains(&joining))
        || relocation.leaving.is_some_and(goes)
}

/// Ends a relocation whose leaving member is gone from the volume, and then the request it was for.
pub(in crate::plan) fn finish(input: &Input, next: &mut VolumeStatus, spec: &VolumeSpec) {
    if let Some(relocation) = next.relocation.clone() {
        let gone = relocation.leaving.is_none_or(|leaving| next.member(leaving).is_none());
        if gone && has_joined(next, &relocation) {
            end(next, spec, &relocation, input.now);
        }
    }
    scale::finish(next, input.now);
    candidate::forget(input.world, spec, next);
}

fn end(next: &mut VolumeStatus, spec: &VolumeSpec, relocation: &Relocation, now: Timestamp) {
    let to = relocation.joining.and_then(|joining| next.member(joining)).map(|member| member.node.clone());
    let millis = now.since(relocation.started_at);
    let copied = if to.is_some() { next.usable(spec) } else { Bytes(0) };
    let (reason, what) = match (&relocation.from, &to) {
        (Some(from), Some(to)) if relocation.cause == MoveCause::Heal => {
            ("ReplicaReplaced", format!("the copy on {from} was replaced by one on {to}"))
        }
        (Some(from), Some(to)) if from == to => ("ReplicaMoved", format!("a copy moved within {to}")),
        (Some(from), Some(to)) => ("ReplicaMoved", format!("a copy moved from {from} to {to}")),
        (None, Some(to)) => ("ReplicaAdded", format!("a copy was added on {to}")),
        (Some(from), None) => ("ReplicaDropped", format!("the copy on {from} was dropped")),
        (None, None) => ("ReplicaMoved", "nothing was to be moved".to_owned()),
    };
    push_event(next, now, reason, format_args!("{what} in {}.{} s", millis / 1000, millis % 1000 / 100));
    next.relocation = None;
    next.tried.clear();
    next.last_move = Some(MoveReport { from: relocation.from.clone(), to, millis, copied, finished_at: now });
}
