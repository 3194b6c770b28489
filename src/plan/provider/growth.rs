//! A replica that shall be larger than it was made.
//!
//! ```text
//! made to 1 GiB -grow the partition-> longer -zero the tail, read it back-> zero -tell the host-> recorded: made to 2 GiB
//! ```
//! The record comes last: the owner makes the array larger only after it, and from then on nothing is zeroed here any more.

use uuid::Uuid;

use super::replica::ready_drive;
use crate::domain::{Bytes, DriveId, PartitionRecord, Reason, Replica, ReplicaStatus};
use crate::plan::{Input, PartitionSeen, Plan, Step};

/// What is next for one column.
enum Next {
    Nothing,
    Steps(Vec<Step>),
    Wait(Reason),
    Made(Bytes),
}

/// The next steps, and how far every column is.
pub(super) fn plan(input: &Input, replica: &Replica, next: &mut ReplicaStatus, plan: &mut Plan) {
    for (guid, drive) in replica.spec.partitions() {
        let Some(seen) = input.seen.partition(drive, guid) else { continue };
        let Some(record) = next.partitions.iter_mut().find(|record| record.guid == guid) else { continue };
        (record.start, record.size, record.room) = (seen.start, seen.size, seen.room);
        match column(input, replica, record, drive, seen) {
            Next::Nothing => {}
            Next::Steps(steps) => plan.steps.extend(steps),
            Next::Wait(reason) => next.reason = Some(reason),
            Next::Made(size) => record.zeroed_to = size,
        }
    }
}

fn column(
    input: &Input,
    replica: &Replica,
    record: &PartitionRecord,
    drive: &DriveId,
    seen: &PartitionSeen,
) -> Next {
    let (wanted, guid) = (replica.spec.partition_size, record.guid);
    if record.zeroed_to == Bytes(0) {
        // Written by an earlier version, which zeroed all of what it carved.
        return Next::Made(seen.known.min(seen.size));
    }
    let Some(dev) = seen.dev.filter(|_| record.zeroed_to < wanted) else { return Next::Nothing };
    if seen.size < wanted || seen.known < wanted {
        return longer(input, record, drive, wanted);
    }
    if input.memory.tails.get(&guid).is_none_or(|zeroed| *zeroed < wanted) {
        return Next::Steps(vec![Step::ZeroTail {
            partition: guid,
            dev,
            from: record.zeroed_to,
            to: wanted,
        }]);
    }
    let steps = untold(input, guid, wanted);
    if steps.is_empty() { Next::Made(wanted) } else { Next::Steps(steps) }
}

fn longer(input: &Input, record: &PartitionRecord, drive: &DriveId, wanted: Bytes) -> Next {
    if record.is_crowded(wanted) {
        return Next::Wait(crowded(record, drive, wanted));
    }
    match ready_drive(input, drive) {
        Ok(seen) => Next::Steps(vec![Step::GrowPartition {
            drive: drive.clone(),
            dev: seen.dev,
            partition: record.guid,
            size: wanted,
        }]),
        Err(reason) => Next::Wait(reason),
    }
}

fn crowded(record: &PartitionRecord, drive: &DriveId, wanted: Bytes) -> Reason {
    Reason::waiting(
        "NoRoomToGrow",
        format_args!(
            "partition {} on drive {drive} can be {} long where it lies, {wanted} are needed: the copy moves first",
            record.guid, record.room
        ),
    )
}

/// Exports whose hosts were not told how large the partition is.
fn untold(input: &Input, partition: Uuid, size: Bytes) -> Vec<Step> {
    let told = |key| input.memory.told.get(key).is_some_and(|told| *told >= size);
    let exports = input.seen.exports.iter().filter(|(key, seen)| key.0 == partition && seen.enabled);
    let untold = exports.filter(|(key, _)| !told(*key));
    untold
        .map(|((partition, epoch), _)| Step::Revalidate { partition: *partition, epoch: *epoch, size })
        .collect()
}
