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
use crate::domain::{Attachment, FsType, Publication, Published};
use crate::plan::{Dev, MountSeen, Step};

/// What shall be seen where. A file system that shall not be mounted is to be seen nowhere.
fn wanted(serving: &Serving) -> Vec<Publication> {
    let can_be_shown =
        |attachment: &&Attachment| serving.spec.fs == FsType::Raw || attachment.mount.is_some();
    let attachment = serving.spec.attachment.as_ref().filter(can_be_shown);
    attachment.map(|attachment| attachment.published.clone()).unwrap_or_default()
}

/// Takes the volume away from where it shall not be seen any more, or shall be seen in another way.
pub(super) fn withdraw(serving: &mut Serving) {
    let wanted = wanted(serving);
    for place in serving.status.published.clone() {
        let asked = wanted.iter().find(|publication| publication.path == place.path);
        if asked.is_some_and(|publication| !is_otherwise(serving, publication)) {
            continue;
        }
        if asked.is_none() && is_gone(serving, &place.path) {
            serving.next.published.retain(|known| known.path != place.path);
        } else {
            serving.step(Step::Unpublish { volume: serving.spec.name.clone(), path: place.path });
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
    let at = mounted(serving, dev).map(|mount| mount.path.clone());
    let is_ready = serving.spec.fs == FsType::Raw || at.is_some();
    for Publication { path, read_only } in wanted(serving) {
        if serving.status.published.iter().all(|place| place.path != path) {
            serving.next.published.push(Published { path, shown: false });
        } else if is_ready && seen(serving, dev, &path).is_none() {
            let (volume, at) = (serving.spec.name.clone(), at.clone());
            serving.step(Step::Publish { volume, dev, at, path, read_only });
        }
    }
}

/// The mount by what is seen, if it is ours. A raw volume never has one.
fn mounted<'a>(serving: &Serving<'a>, dev: Dev) -> Option<&'a MountSeen> {
    let ours = serving.status.mount_path.as_ref()?;
    serving.input.seen.mounts.iter().find(|mount| mount.dev == dev && mount.path == *ours)
}

fn seen<'a>(serving: &Serving<'a>, dev: Dev, path: &str) -> Option<&'a MountSeen> {
    let seen = serving.input.seen;
    let all = if serving.spec.fs == FsType::Raw { &seen.device_binds } else { &seen.mounts };
    all.iter().find(|mount| mount.dev == dev && mount.path == path)
}

/// Whether it is seen there for writing and shall not be, or the other way round: the wish is another one than what was done there.
/// Where the mount itself is read-only, everything shown of it is.
fn is_otherwise(serving: &Serving, wish: &Publication) -> bool {
    let Some(dev) = top::device(serving) else { return false };
    let Some(shown) = seen(serving, dev, &wish.path) else { return false };
    let below = match serving.spec.fs {
        FsType::Raw => Some(false),
        FsType::Xfs | FsType::Ext4 => mounted(serving, dev).map(|mount| mount.read_only),
    };
    below.is_some_and(|below| shown.read_only != (below || wish.read_only))
}

/// Notes where it is seen as it shall be: nowhere before the volume runs, whatever it was before this node was started again.
pub(super) fn report(serving: &mut Serving) {
    let mut published = std::mem::take(&mut serving.next.published);
    let (dev, wanted) = (top::device(serving), wanted(serving));
    for place in &mut published {
        let is_seen = dev.is_some_and(|dev| seen(serving, dev, &place.path).is_some());
        let wish = wanted.iter().find(|wish| wish.path == place.path);
        place.shown = is_seen && wish.is_none_or(|wish| !is_otherwise(serving, wish));
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
