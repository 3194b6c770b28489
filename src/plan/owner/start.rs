//! From ownership to a running array: R4 (only acknowledging replicas) and R3 (only recorded in-sync ones).

use super::serving::Serving;
use super::{members, takeover};
use crate::domain::{
    Force, Member, MemberState, Reason, ReplicaId, array_device, array_uuid, partition_guid,
};
use crate::plan::leg::Leg;
use crate::plan::{ArrayState, Lane, NewMember, Step, safety, timing};

pub(super) fn plan(serving: &mut Serving) {
    free_assembly(serving);
    if let Some(force) = forced(serving) {
        return start_from(serving, &force);
    }
    let members: Vec<Member> = in_sync_members(serving);
    let given_up: Vec<&Member> = members.iter().filter(|member| is_given_up(serving, member)).collect();
    if !given_up.is_empty() && given_up.len() < members.len() && leaves_enough(serving, &members, &given_up) {
        return give_up(serving, &given_up);
    }
    if !members.is_empty() && given_up.len() == members.len() {
        serving.wait(nobody_to_start_from(serving, &members));
    }
    if members.iter().filter(|member| !bring_leg(serving, member)).count() == 0 {
        assemble(serving, &members);
    }
}

/// What a user asked of this very ownership.
fn order<'a>(serving: &Serving<'a>) -> Option<&'a Force> {
    let is_open = |force: &&Force| force.epoch == serving.status.epoch && serving.status.forced < force.epoch;
    serving.spec.forced.as_ref().filter(is_open)
}

/// The array runs: an order to start it by force is carried out, or was not needed. Nothing that happens to this ownership
/// later may bring it back to life.
pub(super) fn settle(serving: &mut Serving) {
    if let Some(force) = order(serving) {
        serving.next.forced = force.epoch;
    }
}

/// The order, as long as nothing of the volume runs here.
fn forced(serving: &Serving) -> Option<Force> {
    let force = order(serving)?;
    let none_runs = serving.columns().all(|column| serving.array(column).is_none());
    let done = serving.status.in_sync.iter().eq([&force.replica]);
    let there = serving.status.member(force.replica).is_some();
    (none_runs && there && !done && !serving.is_busy()).then(|| force.clone())
}

/// The named copy is all there is from now on. Whatever is on the others may never be mixed with it.
fn start_from(serving: &mut Serving, force: &Force) {
    let others: Vec<ReplicaId> = serving.status.members.iter().map(|member| member.replica).collect();
    for other in others.into_iter().filter(|other| *other != force.replica) {
        serving.set_diverged(other, true);
        let state = serving.status.member(other).map(|member| member.state);
        if !matches!(state, Some(MemberState::Faulty | MemberState::Leaving)) {
            serving.set_state(other, MemberState::Missing);
        }
    }
    serving.next.relocation = None;
    serving.next.in_sync = [force.replica].into();
    serving.set_diverged(force.replica, false);
    serving.set_state(force.replica, MemberState::Synced);
    let node = serving.status.member(force.replica).map(|member| member.node.to_string()).unwrap_or_default();
    serving.event(
        "ForceStarted",
        format_args!(
            "epoch {} starts from the copy on {node} by order of {}; writes it lacks are lost",
            force.epoch, force.by
        ),
    );
}

/// For whom is waited, and what else there is.
fn nobody_to_start_from(serving: &Serving, members: &[Member]) -> Reason {
    let name = &serving.spec.name;
    let nodes: Vec<&str> = members.iter().map(|member| member.node.as_str()).collect();
    let nodes = nodes.join(", ");
    let unread = members.iter().filter_map(|member| {
        Some(format!("; the one on {} cannot be read: {}", member.node, serving.unreadable(member)?))
    });
    let unread: String = unread.collect();
    Reason::blocked(
        "NoInSyncCopyReachable",
        format_args!("every copy of {name} that holds every write is out of reach: those on {nodes}{unread}"),
        format_args!(
            "bring {nodes} back; `mdfabric volume force-start {name} --from REPLICA` says what an older copy lacks"
        ),
    )
}

/// An assembly that was begun reads superblocks, and a leg that was lost meanwhile holds the read, for ever if nobody brings the
/// path back. A copy that is recorded as not in sync is not waited for: what its leg holds may fail, and the assembly with it.
pub(super) fn free_assembly(serving: &mut Serving) {
    let lane = Lane::Volume(serving.spec.name.clone());
    let running = serving.input.memory.running.get(&lane);
    let assembles = matches!(
        running,
        Some((Step::Assemble { .. } | Step::ReadHeader { .. } | Step::WriteHeaders { .. }, _))
    );
    if !assembles || serving.arrays().is_some() {
        return;
    }
    for member in serving.status.members.clone() {
        if !serving.legs(&member).iter().any(|leg| matches!(leg, Leg::Lost(_))) {
            continue;
        }
        if serving.status.in_sync.contains(&member.replica) {
            members::revive(serving, &member);
        } else {
            members::let_go(serving, &member);
        }
    }
}

fn in_sync_members(serving: &Serving) -> Vec<Member> {
    let counts = |member: &&Member| {
        let is_there = || serving.ready(member).is_some();
        !serving.is_noted(member)
            && safety::may_start_from(serving.input, serving.status, member.replica, is_there)
    };
    serving.status.members.iter().filter(counts).cloned().collect()
}

/// Whether one of the other copies can be started from: a drive that fails is found out before anybody leaves for not answering. What
/// leaves because it cannot be used is missed by nobody.
fn leaves_enough(serving: &mut Serving, members: &[Member], given_up: &[&Member]) -> bool {
    let answers = |member: &&&Member| serving.ready(member).is_some();
    if !serving.status.created
        || given_up.iter().all(|member| answers(&member) || bad_header(serving, member).is_some())
    {
        return true;
    }
    let stays = |member: &&Member| !given_up.contains(member) && serving.ready(member).is_some();
    let staying: Vec<&Member> = members.iter().filter(stays).collect();
    let unread: Vec<Vec<Step>> = staying.iter().map(|member| unread(serving, member)).collect();
    let enough = unread.iter().any(Vec::is_empty);
    if !enough {
        unread.into_iter().flatten().for_each(|step| serving.step(step));
    }
    enough
}

/// What is to be read of a copy in this ownership.
fn unread(serving: &Serving, member: &Member) -> Vec<Step> {
    let since = serving.status.claimed_at;
    let step = |column| {
        let (partition, array) =
            (partition_guid(member.replica, column), array_uuid(serving.spec.uid, column));
        let is_read = serving.input.memory.readable.get(&partition).is_some_and(|at| *at >= since);
        let dev = serving.leg(member, column).dev().filter(|_| !is_read)?;
        Some(Step::ReadHeader { volume: serving.spec.name.clone(), array, partition, dev })
    };
    serving.columns().filter_map(step).collect()
}

/// Whether a recorded copy is not waited for any longer: its node is dead, its superblock unusable, its drive fails, or it took too long.
fn is_given_up(serving: &Serving, member: &Member) -> bool {
    if bad_header(serving, member).is_some() {
        return true;
    }
    let waited = serving.input.now.since(serving.status.claimed_at.max(serving.input.memory.started_at));
    let dead = !serving.input.is_alive(&member.node);
    if serving.ready(member).is_some() {
        return waited >= timing::CONNECT_MILLIS && serving.unreadable(member).is_some();
    }
    dead && waited >= timing::CONNECT_MILLIS || waited >= timing::ACKNOWLEDGE_MILLIS
}

fn bad_header<'a>(serving: &Serving<'a>, member: &Member) -> Option<&'a String> {
    let headers = &serving.input.memory.bad_headers;
    serving.columns().find_map(|column| headers.get(&partition_guid(member.replica, column)))
}

/// Copies that cannot take part leave the in-sync set first; the array starts in a later plan.
fn give_up(serving: &mut Serving, members: &[&Member]) {
    for member in members {
        let (state, why) = match (bad_header(serving, member), serving.unreadable(member)) {
            (Some(why), _) => (MemberState::Faulty, format!("its superblock cannot be used: {why}")),
            (None, Some(why)) => (MemberState::Faulty, format!("its superblock cannot be read: {why}")),
            (None, None) => (MemberState::Missing, "its provider does not answer".to_owned()),
        };
        let unfenced = takeover::is_unfenced(serving.input.world, serving.status, member.replica);
        serving.drop_from_in_sync(member.replica, state);
        serving.set_diverged(member.replica, unfenced);
        let epoch = serving.status.epoch;
        serving.event(
            "MemberDropped",
            format_args!("epoch {epoch} starts without the copy on {}: {why}", member.node),
        );
    }
}

/// The next step towards a member's devices. `true` once all of them are there.
fn bring_leg(serving: &mut Serving, member: &Member) -> bool {
    let mut ready = true;
    for leg in serving.legs(member) {
        match leg {
            Leg::Ready(_) => continue,
            Leg::Lost(_) => {
                serving.wait(Reason::waiting("LegLost", format_args!("no path to {}", member.node)));
            }
            Leg::Absent(Ok(step)) => serving.step(step),
            Leg::Absent(Err(reason)) => serving.wait(reason),
        }
        ready = false;
    }
    if !ready {
        serving
            .plan
            .wake(serving.status.claimed_at.plus(timing::CONNECT_MILLIS).max(serving.input.now.plus(1000)));
    }
    ready
}

fn assemble(serving: &mut Serving, members: &[Member]) {
    if let Some(why) = members.iter().find_map(|member| bad_header(serving, member)).cloned() {
        return serving.wait(Reason::blocked(
            "NoUsableCopy",
            format_args!("the only in-sync copy has no usable superblock: {why}"),
            "bring another in-sync copy's node back, or restore from a backup",
        ));
    }
    for column in serving.columns() {
        match serving.array(column) {
            Some(array) if array.state == ArrayState::Inactive => {
                let (volume, array) = (serving.spec.name.clone(), array.name.clone());
                serving.step(Step::StopArray { volume, array });
            }
            Some(_) => {}
            None => start_column(serving, members, column),
        }
    }
    serving.next.created |= serving.columns().all(|column| has_headers(serving, column));
}

fn has_headers(serving: &Serving, column: u8) -> bool {
    serving.input.memory.headers_written.contains(&array_uuid(serving.spec.uid, column))
}

fn start_column(serving: &mut Serving, members: &[Member], column: u8) {
    let devices: Vec<_> =
        members.iter().filter_map(|member| Some((member, serving.leg(member, column).dev()?))).collect();
    let (volume, array) = (serving.spec.name.clone(), array_uuid(serving.spec.uid, column));
    if serving.status.created {
        let members =
            devices.iter().map(|(member, dev)| (partition_guid(member.replica, column), *dev)).collect();
        let device = array_device(serving.spec.uid, column);
        serving.step(Step::Assemble { volume, array, device, members });
    } else if !has_headers(serving, column) {
        let members = devices.iter().map(|(member, dev)| NewMember {
            partition: partition_guid(member.replica, column),
            dev: *dev,
            dev_number: member.dev_number,
            write_mostly: member.node != *serving.input.me,
        });
        let step = Step::WriteHeaders {
            volume,
            array,
            column,
            created_at: serving.spec.created_at,
            slots: u32::try_from(serving.copies_due()).unwrap_or_default().max(2),
            size: column_size(serving),
            members: members.collect(),
        };
        serving.step(step);
    }
}

fn column_size(serving: &Serving) -> crate::domain::Bytes {
    let partition = crate::plan::placement::partition_size(
        serving.status.usable(serving.spec),
        serving.spec.stripe_width,
    );
    crate::domain::Bytes(partition.0 - crate::plan::placement::HEADER.0)
}
