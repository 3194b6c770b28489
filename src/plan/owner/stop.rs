//! Taking a volume down: publish no more, unmount, take the stripes away, stop, unmap, disconnect, in that order. What a leg holds is brought to an end
//! first (`members::lost`): an unmount would wait for it in the kernel.

use uuid::Uuid;

use super::serving::Serving;
use super::{publish, start, top};
use crate::domain::{Epoch, Reason, Volume, VolumeStatus, array_device, array_uuid, partition_guid};
use crate::plan::safety::Refusal;
use crate::plan::{ArraySeen, ArrayState, Input, MountSeen, Step, leg};

/// The next steps down. `true` once nothing is left on this node and nothing is on its way.
pub(super) fn plan(serving: &mut Serving) -> bool {
    if serving.is_busy() {
        start::free_assembly(serving);
        return false;
    }
    if let Some(refusal) = held(serving) {
        serving.wait(refusal.into());
        return false;
    }
    if let Some(path) = publish::left(serving) {
        let volume = serving.spec.name.clone();
        serving.step(Step::Unpublish { volume, path });
        return false;
    }
    if let Some(path) = mounted_by_us(serving) {
        let volume = serving.spec.name.clone();
        serving.step(Step::Unmount { volume, path });
        return false;
    }
    if let Some(mount) = mounted_here(serving) {
        serving.wait(mounted_by_others(serving, &mount.path));
        return false;
    }
    top::unmap(serving) && stop_all(serving) && release_legs(serving)
}

/// What a running array waits for. Legs without one hold nobody's writes, and one that never ran has none.
fn held(serving: &Serving) -> Option<Refusal> {
    let is_running = |array: &ArraySeen| array.state != ArrayState::Inactive;
    let runs = serving.columns().any(|column| serving.array(column).is_some_and(is_running));
    serving.may_touch_array().err().filter(|_| runs)
}

/// Any mount of the volume's devices.
pub(super) fn mounted_here<'a>(serving: &Serving<'a>) -> Option<&'a MountSeen> {
    let devices = top::devices(serving);
    serving.input.seen.mounts.iter().find(|mount| devices.contains(&mount.dev))
}

/// Any place where a device of the volume is shown itself.
pub(super) fn shown_here<'a>(serving: &Serving<'a>) -> Option<&'a MountSeen> {
    let devices = top::devices(serving);
    serving.input.seen.device_binds.iter().find(|bind| devices.contains(&bind.dev))
}

fn mounted_by_others(serving: &Serving, path: &str) -> Reason {
    Reason::blocked(
        "MountedByOthers",
        format_args!("{} is mounted at {path}, and not by mdfabric", serving.spec.name),
        format_args!("unmount {path}"),
    )
}

/// `true` once none runs.
fn stop_all(serving: &mut Serving) -> bool {
    let running: Vec<&ArraySeen> = serving.columns().filter_map(|column| serving.array(column)).collect();
    stop_arrays(serving, &running);
    running.is_empty()
}

pub(super) fn stop_arrays(serving: &mut Serving, arrays: &[&ArraySeen]) {
    for array in arrays {
        let (volume, array) = (serving.spec.name.clone(), array.name.clone());
        serving.step(Step::StopArray { volume, array });
    }
}

fn mounted_by_us(serving: &Serving) -> Option<String> {
    let path = serving.status.mount_path.clone()?;
    serving.input.seen.mounts.iter().any(|mount| mount.path == path).then_some(path)
}

fn release_legs(serving: &mut Serving) -> bool {
    let releases = legs_of(serving.input, serving.status, serving.spec.stripe_width);
    let mut gone = true;
    for release in releases {
        gone &= serving.release(release);
    }
    gone
}

/// Every leg of a volume that this node still has, of whatever epoch.
fn legs_of(input: &Input, status: &VolumeStatus, columns: u8) -> Vec<leg::Release> {
    let release = |partition| {
        let epochs = epochs_of(input, partition).into_iter();
        epochs.map(move |epoch| leg::release(input, partition, epoch))
    };
    partitions(status, columns).into_iter().flat_map(release).collect()
}

/// Every column of every member.
pub(super) fn partitions(status: &VolumeStatus, columns: u8) -> Vec<Uuid> {
    let of = |replica| (0..columns).map(move |column| partition_guid(replica, column));
    status.members.iter().flat_map(|member| of(member.replica)).collect()
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
    let legs = volume.status.iter().flat_map(|status| partitions(status, volume.spec.stripe_width));
    running
        || input.seen.tops.contains_key(&volume.spec.uid)
        || legs.into_iter().any(|partition| !epochs_of(input, partition).is_empty())
}

/// The device name applications see. Stripes have the kernel's own name (drivers/md/dm.c `alloc_dev`), which is good for as long as
/// they are there: nothing here makes links in `/dev/mapper`.
pub(super) fn device(serving: &Serving) -> Option<String> {
    let dev = top::device(serving)?;
    let one = || array_device(serving.spec.uid, 0);
    let name = if serving.spec.stripe_width > 1 { format!("dm-{}", dev.minor) } else { one() };
    Some(format!("/dev/{name}"))
}
