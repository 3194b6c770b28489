//! Where else the owner shows a volume: what is mounted, or the device of a raw volume.
//!
//! ```text
//!      asked for                     not asked for any more
//! (no) ---------> recorded -> shown -----------------------> taken away -> (no)
//! ```
//! A place is recorded before anything is there, like the mount itself: whatever happens in between, it is found again by its path
//! and the device that is seen there. It leaves the record when nothing is there any more.

use super::serving::Serving;
use super::top;
use crate::domain::{FsType, Publication, Published};
use crate::plan::{Dev, MountSeen, Step};

fn wanted(serving: &Serving) -> Vec<Publication> {
    let attachment = serving.spec.attachment.as_ref();
    attachment.map(|attachment| attachment.published.clone()).unwrap_or_default()
}

/// Takes the volume away from where it shall not be seen any more.
pub(super) fn withdraw(serving: &mut Serving) {
    let wanted = wanted(serving);
    let asked = |place: &&Published| wanted.iter().any(|publication| publication.path == place.path);
    let going = serving.status.published.iter().filter(|place| !asked(place));
    for path in going.map(|place| place.path.clone()).collect::<Vec<_>>() {
        if is_gone(serving, &path) {
            serving.next.published.retain(|place| place.path != path);
        } else {
            serving.step(Step::Unpublish { volume: serving.spec.name.clone(), path });
        }
    }
}

/// What it was shown over is not to be seen in the kernel: that it is gone only who took it away knows.
fn is_gone(serving: &Serving, path: &str) -> bool {
    let place = (serving.spec.name.clone(), path.to_owned());
    serving.input.memory.unpublished.contains(&place) && !is_there(serving, path)
}

/// Shows it where it shall be seen: a file system once that is mounted.
pub(super) fn show(serving: &mut Serving, dev: Dev) {
    let at = mounted_at(serving, dev);
    let is_ready = serving.spec.fs == FsType::Raw || at.is_some();
    for Publication { path, read_only } in wanted(serving) {
        if serving.status.published.iter().all(|place| place.path != path) {
            serving.next.published.push(Published { path, shown: false });
        } else if is_ready && !is_shown(serving, dev, &path) {
            let (volume, at) = (serving.spec.name.clone(), at.clone());
            serving.step(Step::Publish { volume, dev, at, path, read_only });
        }
    }
}

/// Where its file system is mounted by what is seen, and by us. A raw volume never is.
fn mounted_at(serving: &Serving, dev: Dev) -> Option<String> {
    let ours = serving.status.mount_path.as_ref()?;
    let is_ours = |mount: &&MountSeen| mount.dev == dev && mount.path == *ours;
    serving.input.seen.mounts.iter().find(is_ours).map(|mount| mount.path.clone())
}

fn is_shown(serving: &Serving, dev: Dev, path: &str) -> bool {
    let seen = serving.input.seen;
    let all = if serving.spec.fs == FsType::Raw { &seen.device_binds } else { &seen.mounts };
    all.iter().any(|mount| mount.dev == dev && mount.path == path)
}

/// Notes where it is seen: nowhere before the volume runs, whatever it was before this node was started again.
pub(super) fn report(serving: &mut Serving) {
    let mut published = std::mem::take(&mut serving.next.published);
    let dev = top::device(serving);
    for place in &mut published {
        place.shown = dev.is_some_and(|dev| is_shown(serving, dev, &place.path));
    }
    serving.next.published = published;
}

/// A place of the record where anything is still to be seen.
pub(super) fn left(serving: &Serving) -> Option<String> {
    let mut places = serving.status.published.iter().map(|place| &place.path);
    places.find(|path| is_there(serving, path)).cloned()
}

fn is_there(serving: &Serving, path: &str) -> bool {
    let seen = serving.input.seen;
    seen.mounts.iter().chain(&seen.device_binds).any(|mount| mount.path == path)
}
