//! Taking a volume down: unmount, stop, unmap, disconnect, in that order.

use uuid::Uuid;

use super::serving::Serving;
use crate::domain::{Epoch, Reason, Volume, VolumeStatus, array_device, array_uuid, partition_guid};
use crate::plan::{Input, Step, leg};

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
    running || legs.into_iter().any(|partition| !epochs_of(input, partition).is_empty())
}

/// The device name applications see.
pub(super) fn device(serving: &Serving) -> String {
    format!("/dev/{}", array_device(serving.spec.uid, 0))
}
