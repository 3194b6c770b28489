//! Taking a volume down: unmount, stop, unmap, disconnect, in that order.

use uuid::Uuid;

use super::serving::Serving;
use crate::domain::{
    Epoch, Reason, Timestamp, Volume, VolumeStatus, array_device, array_uuid, partition_guid,
};
use crate::plan::safety::{self, Guard};
use crate::plan::{Input, Lane, Plan, Step, leg, timing};

/// The next steps down. `true` once nothing is left on this node and nothing is on its way.
pub(super) fn plan(serving: &mut Serving) -> bool {
    if serving.is_busy() {
        return false;
    }
    if let Some(path) = mounted_by_us(serving) {
        let volume = serving.spec.name.clone();
        serving.step(Step::Unmount { volume, path });
        return false;
    }
    let arrays: Vec<_> = serving.columns().filter_map(|column| serving.array(column)).collect();
    for array in &arrays {
        if let Some(mount) = serving.input.seen.mounts.iter().find(|mount| mount.dev == array.dev) {
            let path = &mount.path;
            serving.wait(Reason::blocked(
                "MountedByOthers",
                format_args!("{} is mounted at {path}, and not by mdfabric", array.name),
                format_args!("unmount {path}"),
            ));
        } else {
            let (volume, array) = (serving.spec.name.clone(), array.name.clone());
            serving.step(Step::StopArray { volume, array });
        }
    }
    arrays.is_empty() && release_legs(serving)
}

fn mounted_by_us(serving: &Serving) -> Option<String> {
    let path = serving.status.mount_path.clone()?;
    serving.input.seen.mounts.iter().any(|mount| mount.path == path).then_some(path)
}

/// Any mount of the volume's arrays. The record tells of another owner's: whatever is mounted of an array that must
/// not run has to go.
fn mounted_here(serving: &Serving) -> Option<String> {
    let arrays: Vec<_> = serving.columns().filter_map(|column| serving.array(column)).collect();
    let mounts = &serving.input.seen.mounts;
    mounts
        .iter()
        .find(|mount| arrays.iter().any(|array| array.dev == mount.dev))
        .map(|mount| mount.path.clone())
}

fn release_legs(serving: &mut Serving) -> bool {
    let steps = legs_of(serving.input, serving.status, serving.spec.stripe_width);
    let none = steps.is_empty();
    for step in steps {
        serving.step(step);
    }
    none
}

/// Every leg of a volume that this node still has, of whatever epoch.
fn legs_of(input: &Input, status: &VolumeStatus, columns: u8) -> Vec<Step> {
    let mut steps = Vec::new();
    for member in &status.members {
        for partition in (0..columns).map(|column| partition_guid(member.replica, column)) {
            let release = |epoch| leg::release(input, partition, epoch);
            steps.extend(epochs_of(input, partition).into_iter().filter_map(release));
        }
    }
    steps
}

fn epochs_of(input: &Input, partition: Uuid) -> std::collections::BTreeSet<Epoch> {
    let keys = input.seen.maps.keys().chain(input.seen.connections.keys());
    keys.filter(|(guid, _)| *guid == partition).map(|(_, epoch)| *epoch).collect()
}

/// Whether this node still has anything of a volume it does not own.
pub(super) fn is_held(input: &Input, volume: &Volume) -> bool {
    let columns = 0..volume.spec.stripe_width;
    let running =
        columns.clone().any(|column| input.seen.arrays.contains_key(&array_uuid(volume.spec.uid, column)));
    let members = volume.status.iter().flat_map(|status| &status.members);
    let mut legs =
        members.flat_map(|member| columns.clone().map(move |column| partition_guid(member.replica, column)));
    running || legs.any(|partition| !epochs_of(input, partition).is_empty())
}

/// R5: what this node still runs of a volume that belongs to nobody or to somebody else is stopped. Legs that hold
/// I/O are let go once nobody is left to whom it could be acknowledged.
pub(super) fn evict(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    if !is_held(input, volume) || !safety::is_on(input, Guard::StopWhenDeposed) {
        return Plan::default();
    }
    let mut serving = Serving::new(input, volume, status);
    serving.wait(evicted(&serving));
    if !safety::is_on(input, Guard::HoldUntilDown) {
        let_legs_go(&mut serving, Timestamp(0));
    }
    if let Some(since) = going_down(&serving) {
        let_legs_go(&mut serving, since);
    } else if let Some(path) = mounted_here(&serving) {
        let volume = serving.spec.name.clone();
        serving.step(Step::Unmount { volume, path });
    } else {
        plan(&mut serving);
    }
    let Serving { mut plan, next, .. } = serving;
    plan.reasons.extend(next.reasons);
    plan
}

/// Since when a call is out that takes the volume down. The kernel refuses it with EBUSY at once while anybody has the array
/// open (`md_ioctl`) or the file system in use (`propagate_mount_busy`; a mount that goes is not listed any more): whatever such
/// a call still waits for, nobody is left to whom a write could be acknowledged. Nor is there anybody before an array is there:
/// an assembly that was begun before the volume was lost waits for a superblock behind a leg.
fn going_down(serving: &Serving) -> Option<Timestamp> {
    let lane = Lane::Volume(serving.spec.name.clone());
    let (step, since) = serving.input.memory.running.get(&lane)?;
    let down =
        matches!(step, Step::StopArray { .. } | Step::Unmount { .. }) && mounted_here(serving).is_none();
    let not_up = matches!(step, Step::Assemble { .. })
        && serving.columns().all(|column| serving.array(column).is_none());
    (down || not_up).then_some(*since)
}

/// What holds the call up is a leg: it may fail now.
fn let_legs_go(serving: &mut Serving, since: Timestamp) {
    let due = since.plus(timing::GOING_DOWN_MILLIS);
    if serving.input.now < due {
        return serving.plan.wake(due);
    }
    let legs = legs_of(serving.input, serving.status, serving.spec.stripe_width);
    legs.into_iter().filter(|step| matches!(step, Step::FailLeg { .. })).for_each(|step| serving.step(step));
}

/// What a node says that still holds a volume after it lost it. Writes held on a leg are let go only once the array is down:
/// before, the kernel would acknowledge them from the local copy alone, and the new owner never saw them.
fn evicted(serving: &Serving) -> Reason {
    let (me, name, status) = (serving.input.me, &serving.spec.name, serving.status);
    let owner = status.owner.as_ref().map_or("nobody", |owner| owner.as_str());
    Reason::blocked(
        "OwnershipLost",
        format_args!(
            "{name} belongs to {owner} since epoch {}; {me} still holds an earlier array of it, whose writes wait",
            status.epoch
        ),
        format_args!("end the processes on {me} that use {name}; reboot {me} if they cannot end"),
    )
}

/// Legs of ours whose volume has no record any more.
pub(super) fn unknown(input: &Input) -> Plan {
    let mut plan = Plan::default();
    let known: std::collections::BTreeSet<Uuid> = input
        .world
        .volumes()
        .flat_map(|volume| {
            let columns = volume.spec.stripe_width;
            let members = volume.status.map(|status| status.members).unwrap_or_default();
            let guids = move |replica| (0..columns).map(move |column| partition_guid(replica, column));
            members.into_iter().flat_map(move |member| guids(member.replica)).collect::<Vec<_>>()
        })
        .collect();
    let keys: std::collections::BTreeSet<_> = input
        .seen
        .maps
        .keys()
        .chain(input.seen.connections.keys())
        .filter(|(guid, _)| !known.contains(guid))
        .collect();
    for (partition, epoch) in keys {
        let bound =
            input.seen.maps.get(&(*partition, *epoch)).and_then(|map| input.seen.array_holding(map.dev));
        if bound.is_none() {
            plan.steps.extend(leg::release(input, *partition, *epoch));
        }
    }
    plan
}

/// The device name applications see.
pub(super) fn device(serving: &Serving) -> String {
    format!("/dev/{}", array_device(serving.spec.uid, 0))
}
