//! Verbs on drives and nodes.

use uuid::Uuid;

use super::{Refusal, RefusalKind, Verdict, known_node};
use crate::domain::{
    DriveId, DriveSpec, DriveState, DriveStatus, Key, NodeName, NodeSpec, Record, Timestamp, Versioned,
    Volume, VolumeName, World,
};
use crate::plan::evacuate;

/// `drive add`: nothing that was found on a drive is overwritten unless the wipe names its serial.
pub fn add_drive(
    world: &World,
    id: &DriveId,
    wipe: Option<&DriveId>,
    disk_guid: Uuid,
    now: Timestamp,
) -> Result<Verdict, Refusal> {
    let object = format!("drive/{id}");
    if let Some(other) = wipe.filter(|wipe| *wipe != id) {
        return Err(Refusal::new(
            RefusalKind::InvalidArgument,
            format_args!("drive {id} is to be added, but --wipe names {other}"),
            format_args!("repeat the serial: --wipe {id}"),
        ));
    }
    let status = seen(world, id)?;
    let done = |spec: &DriveSpec| spec.wipe || wipe.is_none() || status.state == DriveState::Ready;
    if world.drive_spec(id).is_some_and(|spec| !spec.removing && done(spec)) {
        return Ok(Verdict::already(object));
    }
    addable(id, status, wipe.is_some())?;
    let spec = DriveSpec {
        id: id.clone(),
        node: status.node.clone(),
        disk_guid: world.drive_spec(id).map_or(disk_guid, |spec| spec.disk_guid),
        wipe: wipe.is_some(),
        cordoned: false,
        evicting: false,
        removing: false,
        added_at: now,
    };
    Ok(Verdict::write(object, id, Record::DriveSpec(spec)))
}

fn seen<'a>(world: &'a World, id: &DriveId) -> Result<&'a DriveStatus, Refusal> {
    world.drive_status(id).ok_or_else(|| {
        let known: Vec<String> = world.drives().map(|(id, _)| id.to_string()).collect();
        Refusal::new(
            RefusalKind::NotFound,
            format_args!("no node has seen a drive {id}"),
            format_args!("drives are known by serial number: {}", known.join(", ")),
        )
    })
}

fn addable(id: &DriveId, status: &DriveStatus, wipe: bool) -> Result<(), Refusal> {
    let refuse =
        |message: String, next: String| Err(Refusal::new(RefusalKind::FailedPrecondition, message, next));
    let busy: Vec<&String> = status.found.iter().filter(|found| found.starts_with("in use")).collect();
    if let Some(found) = busy.first() {
        return refuse(
            format!("drive {id} is {found}"),
            "free it first; a drive in use is never wiped".to_owned(),
        );
    }
    if status.read_only {
        return refuse(format!("drive {id} is read-only"), "make it writable or choose another".to_owned());
    }
    if status.state == DriveState::Foreign && !wipe {
        let found = status.found.join(", ");
        return refuse(
            format!("drive {id} on {} carries {found}", status.node),
            format!("if nobody needs that any more, repeat with --wipe {id}"),
        );
    }
    Ok(())
}

/// `drive remove`: only when it hosts nothing.
pub fn remove_drive(world: &World, id: &DriveId) -> Result<Verdict, Refusal> {
    let object = format!("drive/{id}");
    let Some(spec) = world.drive_spec(id) else { return Ok(Verdict::already(object)) };
    if spec.removing {
        return Ok(Verdict::already(object));
    }
    if let Some(volume) = hosted(world, id) {
        return Err(Refusal::new(
            RefusalKind::FailedPrecondition,
            format_args!("drive {id} hosts a copy of volume {volume}"),
            format_args!("empty it first: `mdfabric drive evict {id}`"),
        ));
    }
    Ok(Verdict::write(object, id, Record::DriveSpec(DriveSpec { removing: true, ..spec.clone() })))
}

/// A volume that has a copy on a drive, or has been promised one there.
fn hosted(world: &World, id: &DriveId) -> Option<VolumeName> {
    let made = world.replicas().find(|replica| replica.spec.drives.contains(id));
    made.map(|replica| replica.spec.volume).or_else(|| {
        let promised = |volume: &Volume| {
            volume.status.iter().flat_map(|status| &status.members).any(|member| member.drives.contains(id))
        };
        world.volumes().find(promised).map(|volume| volume.spec.name)
    })
}

/// Whether something takes new copies, and keeps those it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cordon {
    /// Both.
    Off,
    /// No new ones.
    On,
    /// Neither: its copies move away.
    Empty,
}

/// `drive cordon`, `drive uncordon`, `drive evict`.
pub fn cordon_drive(world: &World, id: &DriveId, cordon: Cordon) -> Result<Verdict, Refusal> {
    let object = format!("drive/{id}");
    let Some(spec) = world.drive_spec(id) else {
        seen(world, id)?;
        return Err(Refusal::new(
            RefusalKind::FailedPrecondition,
            format_args!("drive {id} was never added, there is nothing to cordon"),
            format_args!("`mdfabric drive add {id}` first"),
        ));
    };
    let (cordoned, evicting) = after(cordon, spec.evicting);
    if (spec.cordoned, spec.evicting) == (cordoned, evicting) {
        return Ok(Verdict::already(object));
    }
    let chosen = if evicting { evacuate::of_drive(world, id) } else { Vec::new() };
    let next = DriveSpec { cordoned, evicting, ..spec.clone() };
    Ok(Verdict { chosen, ..Verdict::write(object, id, Record::DriveSpec(next)) })
}

/// What is recorded after a verb: cordoned, and being emptied. Cordoning alone does not call off an emptying.
fn after(cordon: Cordon, emptied: bool) -> (bool, bool) {
    match cordon {
        Cordon::Off => (false, false),
        Cordon::On => (true, emptied),
        Cordon::Empty => (true, true),
    }
}

/// `node cordon`, `node uncordon`, `node drain`.
pub fn cordon_node(world: &World, node: &NodeName, cordon: Cordon) -> Result<Verdict, Refusal> {
    known_node(world, node)?;
    let spec = world.node_spec(node).cloned().unwrap_or_default();
    let (cordoned, draining) = after(cordon, spec.draining);
    if spec == (NodeSpec { cordoned, draining }) {
        return Ok(Verdict::already(format!("node/{node}")));
    }
    let next = Record::NodeSpec(NodeSpec { cordoned, draining });
    let chosen = if draining { foretold(world, node, &next) } else { Vec::new() };
    Ok(Verdict { chosen, ..Verdict::write(format_args!("node/{node}"), node, next) })
}

/// What emptying a node comes to once it is recorded that it takes nothing new.
fn foretold(world: &World, node: &NodeName, next: &Record) -> Vec<String> {
    let mut world = world.clone();
    let key = Key::new(next.kind(), node);
    let revision = world.revision(&key);
    world.set(key, Some(Versioned { revision, value: next.clone() }));
    evacuate::of_node(&world, node)
}
