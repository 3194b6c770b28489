//! One replica on this node: carve, zero, export, fence, wipe.

use uuid::Uuid;

use super::growth;
use crate::domain::{
    Bytes, DriveId, DriveState, Epoch, ExportTo, Key, Kind, PartitionRecord, Reason, Record, Replica,
    ReplicaState, ReplicaStatus, Wanted,
};
use crate::plan::safety::{self, Guard, Refusal};
use crate::plan::{Dev, DriveSeen, Input, Lane, PartitionSeen, Plan, Step, TableSeen, stuck};

pub(super) fn plan(input: &Input, replica: &Replica) -> Plan {
    let mut plan = Plan::default();
    // What it says may be that the replica was made.
    let key = Key::new(Kind::ReplicaStatus, replica.spec.id);
    if input.world.is_unreadable(&key) {
        plan.reasons.push(Refusal::Unread { key }.into());
        return plan;
    }
    let status = replica.status.clone().unwrap_or_default();
    let mut next = match (is_silent(input, replica), replica.spec.wanted) {
        (true, _) => wait_for_drive(input, replica, &status, &mut plan),
        (false, Wanted::Present) if status.zeroed => serve(input, replica, &status, &mut plan),
        (false, Wanted::Present) => make(input, replica, &status, &mut plan),
        (false, Wanted::Removed) => unmake(input, replica, &status, &mut plan),
    };
    if let Some((reason, drive)) = stuck(input, replica) {
        (next.reason, next.of_drive) = (Some(reason), Some(drive.clone()));
    }
    if next.state != status.state || replica.status.is_none() {
        next.updated_at = input.now;
    }
    if replica.status.as_ref() != Some(&next) {
        plan.put(replica.spec.id, Record::ReplicaStatus(next));
    }
    plan
}

/// A drive of it that does not answer, or a call about it that does not come back.
fn stuck<'a>(input: &Input, replica: &'a Replica) -> Option<(Reason, &'a DriveId)> {
    let mut partitions = replica.spec.partitions();
    partitions.find_map(|(guid, drive)| {
        let of_lane = |lane| stuck::of(input, &lane).map(|stuck| stuck.reason(input.me));
        let of_partition = || of_lane(Lane::Partition(guid)).or_else(|| of_lane(Lane::Tail(guid)));
        let reason = stuck::drive(input, drive).or_else(of_partition)?;
        Some((reason, drive))
    })
}

/// What is recorded of it, with nothing in the way.
fn free(status: &ReplicaStatus, state: ReplicaState) -> ReplicaStatus {
    ReplicaStatus { reason: None, of_drive: None, state, ..status.clone() }
}

/// Whether a drive of it does not answer now: what is not to be seen is not gone, and nothing new is begun on it.
fn is_silent(input: &Input, replica: &Replica) -> bool {
    replica
        .spec
        .drives
        .iter()
        .any(|drive| input.seen.drives.get(drive).is_some_and(|seen| seen.unanswered.is_some()))
}

/// What is recorded of it, and why nothing is done to it.
fn refused(status: &ReplicaStatus, refusal: Refusal) -> ReplicaStatus {
    ReplicaStatus { reason: Some(refusal.into()), of_drive: None, ..status.clone() }
}

/// Requested: carve every column, say so (its space is not free any more), zero it, and say so.
fn make(input: &Input, replica: &Replica, status: &ReplicaStatus, plan: &mut Plan) -> ReplicaStatus {
    if let Err(refusal) = safety::may_wipe(input, &replica.spec) {
        return refused(status, refusal);
    }
    let mut next = free(status, ReplicaState::Requested);
    if !is_let_go(input, replica, &mut next, plan) {
        report_failures(input, replica, plan, &mut next);
        return next;
    }
    let mut zeroing = Vec::new();
    for (guid, drive) in replica.spec.partitions() {
        match input.seen.partition(drive, guid) {
            Some(PartitionSeen { dev: Some(dev), .. }) => {
                zeroing.push(Step::Zero { partition: guid, dev: *dev });
            }
            _ => match carve(input, replica, guid, drive) {
                Ok(step) => plan.steps.push(step),
                Err(reason) => (next.reason, next.of_drive) = (Some(reason), Some(drive.clone())),
            },
        }
    }
    next.partitions = records(input, replica);
    if zeroing.len() == replica.spec.drives.len() {
        finish_zeroing(input, replica, zeroing, &mut next, plan);
    }
    report_failures(input, replica, plan, &mut next);
    next
}

fn carve(input: &Input, replica: &Replica, guid: Uuid, drive: &DriveId) -> Result<Step, Reason> {
    // One that stands in the table already keeps its size: it may have been carved for a smaller volume.
    let there = input.seen.partition(drive, guid).map(|partition| partition.size);
    Ok(Step::Carve {
        drive: drive.clone(),
        dev: ready_drive(input, drive)?.dev,
        partition: guid,
        name: replica.spec.volume.to_string(),
        size: there.unwrap_or(replica.spec.partition_size),
    })
}

/// A drive whose table may be changed.
pub(super) fn ready_drive<'a>(input: &Input<'a>, drive: &DriveId) -> Result<&'a DriveSeen, Reason> {
    let ready = input.world.drive_status(drive).is_some_and(|status| status.state == DriveState::Ready);
    input.seen.drives.get(drive).filter(|_| ready).ok_or_else(|| {
        Reason::blocked(
            "DriveMissing",
            format_args!("drive {drive} is not ready in {}", input.me),
            format_args!("put drive {drive} back, or remove the replica from {}", input.me),
        )
    })
}

/// All columns are carved: zero those that are not yet known to be, and record the whole as made.
fn finish_zeroing(
    input: &Input,
    replica: &Replica,
    zeroing: Vec<Step>,
    next: &mut ReplicaStatus,
    plan: &mut Plan,
) {
    let is_zero = |guid: Uuid| input.memory.zeroed.contains(&guid);
    if replica.spec.partitions().all(|(guid, _)| is_zero(guid)) {
        next.zeroed = true;
        next.state = ReplicaState::Created;
        next.partitions.iter_mut().for_each(|partition| partition.zeroed_to = partition.size);
    } else {
        plan.steps.extend(zeroing.into_iter().filter(|step| match step {
            Step::Zero { partition, .. } => !is_zero(*partition),
            _ => true,
        }));
    }
}

fn records(input: &Input, replica: &Replica) -> Vec<PartitionRecord> {
    let record = |guid, partition: &PartitionSeen| PartitionRecord {
        guid,
        start: partition.start,
        size: partition.size,
        zeroed_to: Bytes(0),
        room: partition.room,
    };
    replica
        .spec
        .partitions()
        .filter_map(|(guid, drive)| {
            input.seen.partition(drive, guid).map(|partition| record(guid, partition))
        })
        .collect()
}

/// Created: serve it to the owner of the wanted epoch and to nobody else. Acknowledged is what is fenced and served, so
/// that the owner's first connect is not refused.
fn serve(input: &Input, replica: &Replica, status: &ReplicaStatus, plan: &mut Plan) -> ReplicaStatus {
    let mut next = free(status, ReplicaState::Created);
    if let Some(reason) = lost(input, replica) {
        // What is exported holds a device that is gone, and would go on doing so when the drive is back.
        plan.steps.extend(all_exports(input, replica));
        next.state = ReplicaState::Missing;
        next.reason = Some(reason);
        return next;
    }
    let mut growing = Plan::default();
    growth::plan(input, replica, &mut next, &mut growing);
    fence_and_export(input, replica, &mut next, plan);
    plan.merge(growing);
    report_failures(input, replica, plan, &mut next);
    next
}

/// The epoch that is wanted is served and no other one, and is acknowledged then. What makes the replica larger meanwhile
/// holds that up in nothing.
fn fence_and_export(input: &Input, replica: &Replica, next: &mut ReplicaStatus, plan: &mut Plan) {
    plan.steps.extend(unannounced(input, replica));
    let fences = fences(input, replica);
    if !fences.is_empty() && safety::is_on(input, Guard::FenceBeforeAcknowledge) {
        return plan.steps.extend(fences);
    }
    let Some(export) = &replica.spec.export else { return };
    if let Err(refusal) = held_by_an_earlier_owner(input, replica, export) {
        next.reason = Some(refusal.into());
        return;
    }
    if export.node != *input.me {
        plan.steps.extend(exports(input, replica, export));
    }
    if plan.steps.is_empty() {
        next.acked_epoch = next.acked_epoch.max(export.epoch);
    }
}

/// Nothing is asked of a drive that does not answer; but whoever may not reach it is cut off as ever.
fn wait_for_drive(
    input: &Input,
    replica: &Replica,
    status: &ReplicaStatus,
    plan: &mut Plan,
) -> ReplicaStatus {
    plan.steps.extend(match replica.spec.wanted {
        Wanted::Present => fences(input, replica),
        Wanted::Removed => all_exports(input, replica),
    });
    status.clone()
}

/// A column that was carved and is not there.
fn lost(input: &Input, replica: &Replica) -> Option<Reason> {
    let (guid, drive) =
        replica.spec.partitions().find(|(guid, drive)| input.seen.partition(drive, *guid).is_none())?;
    let message = match input.seen.drives.get(drive).map(|seen| &seen.table) {
        None => format!("drive {drive} is not in {} any more", input.me),
        Some(TableSeen::Corrupt(why)) => format!("the partition table of drive {drive} is damaged: {why}"),
        Some(TableSeen::Absent | TableSeen::Gpt { .. } | TableSeen::Unread) => {
            format!("partition {guid} is not on drive {drive} any more")
        }
    };
    Some(Reason::blocked(
        "ReplicaMissing",
        message,
        format_args!("put drive {drive} back, or move the replica away"),
    ))
}

/// Columns that stand in the table and that the kernel was never told of: a crash came between.
fn unannounced(input: &Input, replica: &Replica) -> Vec<Step> {
    let unknown = |guid, drive| input.seen.partition(drive, guid).is_some_and(|seen| seen.dev.is_none());
    let partitions = replica.spec.partitions().filter(|(guid, drive)| unknown(*guid, drive));
    partitions.filter_map(|(guid, drive)| carve(input, replica, guid, drive).ok()).collect()
}

/// Subsystems of this replica that serve another epoch than the wanted one, or nothing any more.
fn fences(input: &Input, replica: &Replica) -> Vec<Step> {
    let wanted =
        replica.spec.export.as_ref().filter(|export| export.node != *input.me).map(|export| export.epoch);
    replica
        .spec
        .partitions()
        .flat_map(|(guid, drive)| exports_of(input, guid).map(move |key| (key, drive)))
        .filter(|(key, drive)| Some(key.1) != wanted || is_dead(input, *key, drive))
        .map(|((partition, epoch), _)| Step::Fence { partition, epoch })
        .collect()
}

/// Whether an export holds a device that is gone: the drive was pulled and put back while nobody looked.
fn is_dead(input: &Input, (partition, epoch): (Uuid, Epoch), drive: &DriveId) -> bool {
    let there = input.seen.partition(drive, partition).and_then(|seen| seen.dev);
    let export = input.seen.exports.get(&(partition, epoch)).filter(|export| export.enabled);
    export.is_some_and(|export| there.is_some() && export.dev != there)
}

fn all_exports(input: &Input, replica: &Replica) -> Vec<Step> {
    let all = replica.spec.partitions().flat_map(|(guid, _)| exports_of(input, guid));
    all.map(|(partition, epoch)| Step::Fence { partition, epoch }).collect()
}

fn exports_of<'a>(input: &Input<'a>, guid: Uuid) -> impl Iterator<Item = (Uuid, Epoch)> + use<'a> {
    input.seen.exports.keys().copied().filter(move |(partition, _)| *partition == guid)
}

/// An array of this node that still holds the partition although the volume belongs to somebody else now.
fn held_by_an_earlier_owner(input: &Input, replica: &Replica, export: &ExportTo) -> Result<(), Refusal> {
    if export.node == *input.me || !safety::is_on(input, Guard::NotWhileHeld) {
        return Ok(());
    }
    let (node, volume, epoch) = (input.me.clone(), replica.spec.volume.clone(), export.epoch);
    if input.memory.running.contains_key(&Lane::Volume(volume.clone())) {
        return Err(Refusal::WorkedOn { node, volume, epoch });
    }
    match devices(input, replica).find_map(|dev| input.seen.array_holding(dev)) {
        Some((_, array)) => Err(Refusal::Held { node, array: array.name.clone(), epoch }),
        None => Ok(()),
    }
}

fn devices<'a>(input: &Input<'a>, replica: &Replica) -> impl Iterator<Item = Dev> + use<'a> {
    let found: Vec<Dev> = replica
        .spec
        .partitions()
        .filter_map(|(guid, drive)| input.seen.partition(drive, guid).and_then(|partition| partition.dev))
        .collect();
    found.into_iter()
}

fn exports(input: &Input, replica: &Replica, export: &ExportTo) -> Vec<Step> {
    let Some(endpoint) = input.world.node_status(input.me).map(|status| status.endpoint.clone()) else {
        return Vec::new();
    };
    let done = |guid| {
        input.seen.exports.get(&(guid, export.epoch)).is_some_and(|seen| {
            seen.linked && seen.enabled && seen.hosts.len() == 1 && seen.hosts.contains(&export.host_nqn)
        })
    };
    let step = |guid, dev| Step::Export {
        partition: guid,
        epoch: export.epoch,
        dev,
        host_nqn: export.host_nqn.clone(),
        endpoint: endpoint.clone(),
    };
    replica
        .spec
        .partitions()
        .filter(|(guid, _)| !done(*guid))
        .filter_map(|(guid, drive)| Some(step(guid, input.seen.partition(drive, guid)?.dev?)))
        .collect()
}

/// Removed: nobody can reach it, nothing of it can be read, its space is free; then it is gone.
fn unmake(input: &Input, replica: &Replica, status: &ReplicaStatus, plan: &mut Plan) -> ReplicaStatus {
    if let Err(refusal) = safety::may_wipe(input, &replica.spec) {
        return refused(status, refusal);
    }
    let mut next = free(status, ReplicaState::Deleting);
    if is_let_go(input, replica, &mut next, plan) {
        erase(input, replica, &mut next, plan);
    }
    report_failures(input, replica, plan, &mut next);
    next
}

/// Whether nobody reaches it and nobody holds it: who did could write to it while it is wiped. One that is being made is reached or held
/// only if its records were lost.
fn is_let_go(input: &Input, replica: &Replica, next: &mut ReplicaStatus, plan: &mut Plan) -> bool {
    let fences = all_exports(input, replica);
    let holder = devices(input, replica).find_map(|dev| input.seen.array_holding(dev));
    match (fences.is_empty(), holder) {
        (false, _) => plan.steps.extend(fences),
        (true, Some((_, array))) => {
            let message = format_args!("{} still holds it on {}", array.name, input.me);
            next.reason = Some(Reason::waiting("InUse", message));
        }
        (true, None) => return true,
    }
    false
}

fn erase(input: &Input, replica: &Replica, next: &mut ReplicaStatus, plan: &mut Plan) {
    let mut left = 0_usize;
    for (guid, drive) in replica.spec.partitions() {
        let Some(seen) = input.seen.drives.get(drive) else {
            left += 1;
            next.reason = Some(Reason::blocked(
                "DriveMissing",
                format_args!("drive {drive} with data of this replica is not in {}", input.me),
                format_args!("put drive {drive} back: its data is erased then, and the replica goes"),
            ));
            continue;
        };
        let is_being_made = is_being_made(input, drive, guid);
        let Some(partition) = input.seen.partition(drive, guid) else {
            left += usize::from(is_being_made);
            continue;
        };
        left += 1;
        if is_being_made {
            continue;
        }
        plan.steps.push(match partition.dev {
            Some(dev) if !input.memory.erased.contains(&guid) => Step::Erase { partition: guid, dev },
            _ => Step::RemovePartition { drive: drive.clone(), dev: seen.dev, partition: guid },
        });
    }
    next.gone = left == 0;
}

/// Dropped while it is being made: it is not to be seen yet, and it will be there; or while it is being made longer: what is new
/// of it was not erased with the rest.
fn is_being_made(input: &Input, drive: &DriveId, guid: Uuid) -> bool {
    let running = input.memory.running.get(&Lane::Drive(drive.clone()));
    running.is_some_and(|(step, _)| match step {
        Step::Carve { partition, .. } | Step::GrowPartition { partition, .. } => *partition == guid,
        _ => false,
    })
}

/// A step that keeps failing is the reason why the replica does not go on.
fn report_failures(input: &Input, replica: &Replica, plan: &Plan, next: &mut ReplicaStatus) {
    let failed = plan.steps.iter().find_map(|step| Some((step, input.memory.failed.get(&step.to_string())?)));
    if let Some((step, attempt)) = failed {
        next.of_drive = drive_of(replica, &step.lane());
        next.reason = Some(Reason::warning(
            "StepFails",
            format_args!("{step}: {}", attempt.failure.message),
            "it is tried again by itself; the message says what the kernel objects to",
        ));
    }
}

/// The drive of the column that a lane is about.
fn drive_of(replica: &Replica, lane: &Lane) -> Option<DriveId> {
    let is_of = |(guid, drive): &(Uuid, &DriveId)| {
        [Lane::Drive((*drive).clone()), Lane::Partition(*guid), Lane::Tail(*guid)].contains(lane)
    };
    replica.spec.partitions().find(is_of).map(|(_, drive)| drive.clone())
}
