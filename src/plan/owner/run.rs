//! The running array: writable, members as recorded, file system made, mounted where it shall be, and how full it is.

use super::serving::Serving;
use super::{dead, expand, members, publish, top};
use crate::domain::{FsType, MountRequest};
use crate::plan::{ArrayState, Dev, Lane, Step, SyncAction, timing};

pub(super) fn plan(serving: &mut Serving) {
    if make_writable(serving) {
        return;
    }
    members::learn(serving);
    if dead::plan(serving) {
        return;
    }
    let free = serving.may_touch_array();
    if free.is_ok() {
        thaw(serving);
        top::map(serving);
        members::change(serving);
        serve_file_system(serving);
    }
    if let Some(dev) = top::device(serving) {
        expand::plan(serving, dev, free);
    }
}

/// Recovery that a daemon held and did not live to let go on, or a check that stands where one did not live to move it on.
fn thaw(serving: &mut Serving) {
    let busy = serving.is_busy();
    for array in serving.arrays().unwrap_or_default() {
        if matches!(array.sync.action, SyncAction::Frozen | SyncAction::Piece) && !busy {
            let (volume, array) = (serving.spec.name.clone(), array.name.clone());
            serving.step(Step::Thaw { volume, array });
        }
    }
}

/// Stops an array that never ran and frees one that waits for its first write. `true` while that is to be done.
fn make_writable(serving: &mut Serving) -> bool {
    let mut busy = false;
    for array in serving.arrays().unwrap_or_default() {
        let (volume, name) = (serving.spec.name.clone(), array.name.clone());
        match array.state {
            ArrayState::Inactive => serving.step(Step::StopArray { volume, array: name }),
            ArrayState::ReadOnly | ArrayState::ReadAuto => {
                serving.step(Step::SetWritable { volume, array: name });
            }
            ArrayState::Clean | ArrayState::Active | ArrayState::Broken | ArrayState::Other(_) => continue,
        }
        busy = true;
    }
    busy
}

fn serve_file_system(serving: &mut Serving) {
    let Some(dev) = top::device(serving) else { return };
    if !serving.status.formatted {
        return make_file_system(serving, dev);
    }
    publish::withdraw(serving);
    keep_mounted(serving, dev);
    publish::show(serving, dev);
    measure_use(serving, dev);
}

/// Nothing runs, so nothing is mounted: what shall not be is none any more. Nobody who takes a volume away waits for its copies.
pub(super) fn without_device(serving: &mut Serving) {
    publish::withdraw(serving);
    let wanted = serving.spec.attachment.as_ref().and_then(|attachment| attachment.mount.as_ref());
    let recorded = serving.status.mount_path.as_ref();
    let mounted = serving.input.seen.mounts.iter().any(|mount| Some(&mount.path) == recorded);
    if wanted.is_none() && !mounted && !serving.is_busy() {
        serving.next.mount_path = None;
    }
}

fn keep_mounted(serving: &mut Serving, dev: Dev) {
    let wanted = serving.spec.attachment.as_ref().and_then(|attachment| attachment.mount.clone());
    let mounted =
        |path: &str| serving.input.seen.mounts.iter().any(|mount| mount.dev == dev && mount.path == path);
    let ours = serving.status.mount_path.clone().filter(|path| mounted(path));
    match (wanted, ours) {
        (Some(wanted), ours) if ours.as_ref().is_none_or(|path| *path == wanted.path) => {
            if serving.status.mount_path.as_ref() != Some(&wanted.path) {
                serving.next.mount_path = Some(wanted.path);
            } else if mounted(&wanted.path) {
                serving.next.array.mounted_at = Some(wanted.path);
            } else {
                mount(serving, dev, wanted);
            }
        }
        // What is shown elsewhere goes first.
        (_, Some(_)) if publish::left(serving).is_some() => {}
        (_, Some(path)) => {
            let volume = serving.spec.name.clone();
            serving.step(Step::Unmount { volume, path });
        }
        (_, None) if serving.is_busy() => {}
        (_, None) => {
            serving.next.mount_path = None;
            serving.next.array.mounted_at = None;
        }
    }
}

fn mount(serving: &mut Serving, dev: Dev, wanted: MountRequest) {
    let (volume, fs) = (serving.spec.name.clone(), serving.spec.fs);
    let MountRequest { path, read_only, options, group } = wanted;
    serving.next.array.mounted_at = None;
    serving.step(Step::Mount { volume, dev, fs, path, read_only, options, group });
}

/// When the last figure is old and nothing else is to be done in the lane: a file system that does not answer would hold
/// it up. A failure is no reason the volume's record tells: what the volume is for goes on.
fn measure_use(serving: &mut Serving, dev: Dev) {
    let Some(path) = serving.next.array.mounted_at.clone() else { return };
    let volume = serving.spec.name.clone();
    let (input, lane) = (serving.input, Lane::Volume(volume.clone()));
    let is_fresh = |at| input.now.since(at) < timing::USE_MILLIS;
    let fresh = input.memory.used.get(&volume).is_some_and(|used| is_fresh(used.at));
    let free = !serving.is_busy() && serving.plan.steps.iter().all(|step| step.lane() != lane);
    if free && !fresh {
        serving.plan.steps.push(Step::MeasureUse { volume, dev, path });
    }
}

/// Once, before anybody could have mounted it: that it is made is recorded before the first mount.
fn make_file_system(serving: &mut Serving, dev: Dev) {
    let spec = serving.spec;
    if spec.fs == FsType::Raw || serving.input.memory.formatted.contains(&spec.uid.0) {
        serving.next.formatted = true;
    } else {
        let (volume, fs, sector_size) = (spec.name.clone(), spec.fs, spec.sector_size);
        serving.step(Step::Format { volume, dev, fs, sector_size, uuid: spec.uid.0, now: spec.created_at });
    }
}
