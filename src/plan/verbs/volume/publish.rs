//! Where a volume is to be seen beside its mount.

use super::attach::{At, attached, checked_path, set};
use super::precondition;
use crate::domain::limits::MAX_PUBLISHED;
use crate::domain::{Attachment, FsType, NodeName, Publication, VolumeName, World};
use crate::plan::verbs::{Refusal, RefusalKind, Verdict, known_volume, live_volume};

/// A wish to see a volume somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub place: Publication,
    /// And nowhere else: refused where it is.
    pub alone: bool,
}

/// Shows what is mounted on `node`, or the device of a raw volume, at one more path. The same wish again is already so.
pub fn publish(
    world: &World,
    name: &VolumeName,
    node: &NodeName,
    wish: &Publish,
) -> Result<Verdict, Refusal> {
    let (volume, _) = live_volume(world, name)?;
    let mut attachment = attached(&volume.spec, Some(node), "published")?;
    checked_path(name, &wish.place.path, "publish")?;
    is_free(name, volume.spec.fs, &attachment, &wish.place)?;
    let (same, others): (Vec<_>, Vec<_>) =
        attachment.published.iter().partition(|there| there.path == wish.place.path);
    match (same.first(), others.first()) {
        (_, Some(other)) if wish.alone => Err(not_alone(name, &wish.place, other)),
        (Some(there), _) if **there == wish.place => Ok(Verdict::already(format!("volume/{name}"))),
        (Some(there), _) => Err(published_already(name, there)),
        (None, _) if attachment.published.len() >= usize::from(MAX_PUBLISHED) => Err(shown_enough(name)),
        (None, _) => {
            attachment.published.push(wish.place.clone());
            Ok(set(&volume.spec, Some(attachment)))
        }
    }
}

fn shown_enough(name: &VolumeName) -> Refusal {
    Refusal::new(
        RefusalKind::ResourceExhausted,
        format_args!("volume {name} is published at {MAX_PUBLISHED} places, and at no more"),
        "take it away from one of them first",
    )
}

fn not_alone(name: &VolumeName, place: &Publication, other: &Publication) -> Refusal {
    precondition(
        format_args!("volume {name} is published at {} and cannot be at {} alone", other.path, place.path),
        "take it away from there first",
    )
}

fn is_free(
    name: &VolumeName,
    fs: FsType,
    attachment: &Attachment,
    wish: &Publication,
) -> Result<(), Refusal> {
    match &attachment.mount {
        None if fs != FsType::Raw => Err(precondition(
            format_args!("volume {name} is not mounted and cannot be published"),
            format_args!("`mdfabric volume mount {name} PATH` first"),
        )),
        Some(mount) if mount.path == wish.path => Err(precondition(
            format_args!("volume {name} is mounted at {} and cannot be published there", mount.path),
            "use another path",
        )),
        Some(_) | None => Ok(()),
    }
}

fn published_already(name: &VolumeName, there: &Publication) -> Refusal {
    let access = if there.read_only { "read-only" } else { "for writing" };
    Refusal::new(
        RefusalKind::AlreadyExists,
        format_args!("volume {name} is published at {} in another way: {access}", there.path),
        "take it away from there first, or use another path",
    )
}

/// Shows it there no more. Never shown there is already so, and so is attached elsewhere.
pub fn unpublish(
    world: &World,
    name: &VolumeName,
    node: Option<NodeName>,
    path: &str,
) -> Result<Verdict, Refusal> {
    let volume = known_volume(world, name)?;
    let here = At::on(node);
    let there = |attachment: &&Attachment| {
        here.holds(attachment) && attachment.published.iter().any(|publication| publication.path == path)
    };
    let Some(attachment) = volume.spec.attachment.as_ref().filter(there) else {
        return Ok(Verdict::already(format!("volume/{name}")));
    };
    let mut left = attachment.clone();
    left.published.retain(|publication| publication.path != path);
    Ok(set(&volume.spec, Some(left)))
}
