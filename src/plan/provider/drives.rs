//! Drives: report what is seen, prepare what was added, give back what is to go.

use crate::domain::{Bytes, DriveId, DriveSpec, DriveState, DriveStatus, Key, Kind, Reason, Record};
use crate::plan::{DriveSeen, Input, Plan, Step, TableSeen, stuck};

pub(super) fn plan(input: &Input) -> Plan {
    let mut plan = Plan::default();
    for (id, seen) in input.seen.drives.iter().filter(|(id, _)| !is_elsewhere(input, id)) {
        one_seen(input, id, seen, &mut plan);
    }
    for (id, status) in input.world.drives_seen_on(input.me) {
        if !input.seen.drives.contains_key(&id) {
            one_unseen(input, &id, status, &mut plan);
        }
    }
    plan
}

/// Whether a live node reports a drive of this id: two drives that call themselves the same are left to the first.
fn is_elsewhere(input: &Input, id: &DriveId) -> bool {
    input.world.drive_status(id).is_some_and(|status| {
        status.node != *input.me && status.state != DriveState::Missing && input.is_alive(&status.node)
    })
}

/// A record that may say that a drive is ours, and cannot be read.
fn unread(input: &Input, id: &DriveId) -> Option<Reason> {
    let keys = [Kind::DriveSpec, Kind::DriveStatus].map(|kind| Key::new(kind, id));
    let key = keys.into_iter().find(|key| input.world.is_unreadable(key))?;
    Some(Reason::blocked(
        "RecordUnreadable",
        format_args!("{key} cannot be read: nothing is done to drive {id} meanwhile"),
        "start a version of the daemon that can read it, or put it back",
    ))
}

fn one_seen(input: &Input, id: &DriveId, seen: &DriveSeen, plan: &mut Plan) {
    if let Some(reason) = unread(input, id) {
        return plan.reasons.push(reason);
    }
    let spec = input.world.drive_spec(id).filter(|spec| spec.node == *input.me);
    let stored = input.world.drive_status(id);
    if seen.unanswered.is_some() || stuck::drive(input, id).is_some() {
        return one_silent(input, id, seen, plan);
    }
    let (state, message) = judge(spec, stored, seen);
    let status = report(input, seen, state, message);
    if let Some(spec) = spec {
        plan.steps.extend(act(input, spec, seen, state));
        if spec.removing && state == DriveState::Available {
            plan.remove(Key::new(Kind::DriveSpec, id));
        }
    }
    if stored != Some(&status) {
        plan.put(id, Record::DriveStatus(status));
    }
}

/// One that does not answer stays what it was, and one of ours is Stuck after a while; nothing is done to it meanwhile.
fn one_silent(input: &Input, id: &DriveId, seen: &DriveSeen, plan: &mut Plan) {
    let Some(reason) = stuck::drive(input, id) else { return };
    let stored = input.world.drive_status(id);
    let state = match stored {
        Some(_) if was_ours(stored) => DriveState::Stuck,
        Some(status) => status.state,
        None => DriveState::Foreign,
    };
    let message = Some(reason.to_string());
    let status = match stored {
        Some(stored) => {
            DriveStatus { state, message, free: Bytes(0), largest_free: Bytes(0), ..stored.clone() }
        }
        None => report(input, seen, state, message),
    };
    if stored != Some(&status) {
        plan.put(id, Record::DriveStatus(status));
    }
}

/// A drive that was added and is not there is missing; one that nobody added is forgotten.
fn one_unseen(input: &Input, id: &DriveId, status: &DriveStatus, plan: &mut Plan) {
    if input.world.drive_spec(id).is_none() {
        return plan.remove(Key::new(Kind::DriveStatus, id));
    }
    if status.state != DriveState::Missing {
        let message = Some(format!("drive {id} is not in {} any more", input.me));
        plan.put(
            id,
            Record::DriveStatus(DriveStatus { state: DriveState::Missing, message, ..status.clone() }),
        );
    }
}

/// What a drive is to us. A table that was ours and is not any more is never written again by itself.
fn judge(
    spec: Option<&DriveSpec>,
    stored: Option<&DriveStatus>,
    seen: &DriveSeen,
) -> (DriveState, Option<String>) {
    let Some(spec) = spec else { return unadded(seen) };
    match &seen.table {
        TableSeen::Gpt { guid, damaged, .. } if *guid == spec.disk_guid => (
            DriveState::Ready,
            damaged.as_ref().map(|why| format!("{why}; repairing it from the other copy")),
        ),
        TableSeen::Corrupt(why) if was_ours(stored) => {
            (DriveState::Faulty, Some(format!("both copies of its partition table are damaged: {why}")))
        }
        // Who has said nothing yet is what he was.
        TableSeen::Unread => (stored.map_or(DriveState::Foreign, |status| status.state), None),
        TableSeen::Absent | TableSeen::Gpt { .. } | TableSeen::Corrupt(_) => unprepared(spec, stored, seen),
    }
}

fn unadded(seen: &DriveSeen) -> (DriveState, Option<String>) {
    if seen.found.is_empty() { (DriveState::Available, None) } else { (DriveState::Foreign, None) }
}

fn unprepared(
    spec: &DriveSpec,
    stored: Option<&DriveStatus>,
    seen: &DriveSeen,
) -> (DriveState, Option<String>) {
    if spec.removing && seen.found.is_empty() {
        (DriveState::Available, None)
    } else if was_ours(stored) {
        (DriveState::Faulty, Some("its partition table is not the one mdfabric wrote".to_owned()))
    } else if !seen.found.is_empty() && !spec.wipe {
        let found = seen.found.join(", ");
        (
            DriveState::Foreign,
            Some(format!("carries {found}; nothing is written to it without --wipe {}", spec.id)),
        )
    } else {
        (DriveState::Preparing, None)
    }
}

fn was_ours(stored: Option<&DriveStatus>) -> bool {
    stored.is_some_and(|status| {
        matches!(
            status.state,
            DriveState::Ready | DriveState::Faulty | DriveState::Missing | DriveState::Stuck
        )
    })
}

fn act(input: &Input, spec: &DriveSpec, seen: &DriveSeen, state: DriveState) -> Option<Step> {
    let (drive, dev, disk_guid) = (spec.id.clone(), seen.dev, spec.disk_guid);
    match (state, &seen.table) {
        (_, TableSeen::Unread) => None,
        (DriveState::Preparing, _) => Some(Step::PrepareDrive { drive, dev, disk_guid, wipe: spec.wipe }),
        (DriveState::Ready, TableSeen::Gpt { partitions, .. })
            if spec.removing && partitions.is_empty() && !is_used(input, &spec.id) =>
        {
            Some(Step::ReleaseDrive { drive, dev, disk_guid })
        }
        (DriveState::Ready, TableSeen::Gpt { damaged: Some(_), .. }) => {
            Some(Step::RepairTable { drive, dev })
        }
        _ => None,
    }
}

fn is_used(input: &Input, id: &DriveId) -> bool {
    input.world.replicas().any(|replica| replica.spec.drives.contains(id))
}

fn report(input: &Input, seen: &DriveSeen, state: DriveState, message: Option<String>) -> DriveStatus {
    let (free, largest_free) = match (&seen.table, state) {
        (TableSeen::Gpt { free, largest_free, .. }, DriveState::Ready) => (*free, *largest_free),
        _ => (Bytes(0), Bytes(0)),
    };
    let allocated = match (&seen.table, state) {
        (TableSeen::Gpt { partitions, .. }, DriveState::Ready) => {
            Bytes(partitions.values().map(|partition| partition.size.0).sum())
        }
        _ => Bytes(0),
    };
    DriveStatus {
        node: input.me.clone(),
        state,
        model: seen.model.clone(),
        capacity: seen.capacity,
        allocated,
        free,
        largest_free,
        sector_size: seen.sector_size,
        read_only: seen.read_only,
        health: seen.health.clone(),
        found: if state == DriveState::Ready { Vec::new() } else { seen.found.clone() },
        message,
    }
}
