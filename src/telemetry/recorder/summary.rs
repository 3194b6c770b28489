//! Records and steps in few words.

use crate::domain::{DriveStatus, Event, Record, ReplicaSpec, ReplicaStatus, VolumeSpec, VolumeStatus};
use crate::plan::{Lane, Outcome};

pub(super) fn lane(lane: &Lane) -> String {
    match lane {
        Lane::Drive(id) => format!("drive {id}"),
        Lane::Partition(id) => format!("partition {id}"),
        Lane::Tail(id) => format!("tail of {id}"),
        Lane::Leg(id) => format!("leg {id}"),
        Lane::Volume(name) => format!("volume {name}"),
        Lane::ShutDown(name) => format!("file system of {name}"),
        Lane::Eviction(name) => format!("eviction of {name}"),
    }
}

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Compared { bytes, mismatched_sectors } => {
            format!("compared {bytes}, {mismatched_sectors} sectors differ")
        }
        Outcome::Checked { to, mismatched_sectors } => {
            format!("checked up to {to}, {mismatched_sectors} sectors differ")
        }
        Outcome::Used(usage) => format!("{} in use", usage.used),
        Outcome::Holders(holders) => format!("{} users", holders.len()),
    }
}

/// What a record became. Heartbeats and renewals of a lease are told by nobody.
pub(super) fn of_change(before: Option<&Record>, after: Option<&Record>) -> Option<String> {
    let Some(after) = after else { return Some("removed".to_owned()) };
    Some(match after {
        Record::VolumeSpec(spec) => of_volume_spec(spec),
        Record::VolumeStatus(status) => of_volume_status(status),
        Record::ReplicaSpec(spec) => of_replica_spec(spec),
        Record::ReplicaStatus(status) => of_replica_status(status),
        Record::DriveSpec(spec) => {
            let state = [(spec.cordoned, ", cordoned"), (spec.removing, ", removing"), (spec.wipe, ", wipe")];
            format!("on {}{}", spec.node, words(&state))
        }
        Record::DriveStatus(status) => of_drive_status(status),
        Record::NodeSpec(spec) => (if spec.cordoned { "cordoned" } else { "not cordoned" }).to_owned(),
        Record::NodeStatus(_) => return None,
        Record::Lease(lease) => match before {
            Some(Record::Lease(held)) if held.holder == lease.holder => return None,
            _ => format!("held by {}", lease.holder),
        },
    })
}

/// The words whose condition holds.
fn words(all: &[(bool, &str)]) -> String {
    all.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word).collect()
}

fn of_volume_spec(spec: &VolumeSpec) -> String {
    let attached = spec.attachment.as_ref().map_or_else(
        || "detached".to_owned(),
        |attachment| {
            let mounted = attachment.mount.iter().map(|mount| format!(", mounted at {}", mount.path));
            let published = attachment.published.iter().map(|place| format!(", published at {}", place.path));
            format!("to {}{}", attachment.node, mounted.chain(published).collect::<String>())
        },
    );
    let places: Vec<String> = spec.placement.entries.iter().map(|entry| entry.node.to_string()).collect();
    let going = words(&[(spec.deleting, ", deleting")]);
    format!(
        "{}, {} copies, {attached}, placement {} [{}]{going}",
        spec.size,
        spec.replicas,
        spec.placement.generation,
        places.join(" ")
    )
}

fn of_volume_status(status: &VolumeStatus) -> String {
    let member = |member: &crate::domain::Member| {
        let in_sync = if status.in_sync.contains(&member.replica) { "+" } else { "-" };
        format!("{} {:?}{in_sync}", member.node, member.state)
    };
    let members: Vec<String> = status.members.iter().map(member).collect();
    let reasons: Vec<&str> = status.reasons.iter().map(|reason| reason.code.as_str()).collect();
    let owner = status.owner.as_ref().map_or("nobody", |owner| owner.as_str());
    format!(
        "{}, owner {owner}, epoch {}, members [{}], reasons [{}]",
        status.phase,
        status.epoch,
        members.join(", "),
        reasons.join(" ")
    )
}

fn of_replica_spec(spec: &ReplicaSpec) -> String {
    let export = spec.export.as_ref().map_or_else(
        || "to nobody".to_owned(),
        |export| format!("to {} (epoch {})", export.node, export.epoch),
    );
    format!("of {} on {}, {:?}, {export}", spec.volume, spec.node, spec.wanted)
}

fn of_replica_status(status: &ReplicaStatus) -> String {
    let more = words(&[(status.zeroed, ", zeroed"), (status.gone, ", gone")]);
    let reason = status.reason.as_ref().map(|reason| format!(", {}", reason.code)).unwrap_or_default();
    format!("{}, acknowledged epoch {}{more}{reason}", status.state, status.acked_epoch)
}

fn of_drive_status(status: &DriveStatus) -> String {
    let message = status.message.as_ref().map(|message| format!(", {message}")).unwrap_or_default();
    format!("{}, {} free, {}{message}", status.state, status.free, status.health)
}

/// Events of a volume that were not in its status before.
pub(super) fn new_events<'a>(before: Option<&Record>, after: Option<&'a Record>) -> Vec<&'a Event> {
    let Some(Record::VolumeStatus(after)) = after else { return Vec::new() };
    let known = match before {
        Some(Record::VolumeStatus(before)) => before.events.as_slice(),
        _ => &[],
    };
    after.events.iter().filter(|event| !known.contains(event)).collect()
}
