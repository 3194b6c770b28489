//! Who owns a volume, and where it is mounted there.

use super::{invalid, precondition};
use crate::domain::limits::MAX_PATH;
use crate::domain::{Attachment, FsType, MountRequest, NodeName, Record, VolumeName, VolumeSpec, World};
use crate::plan::verbs::{Refusal, RefusalKind, Verdict, known_node, known_volume, live_volume};

/// What a verb that takes something away is bound to: it does nothing where the volume is by now somewhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At {
    /// The node it is attached on.
    pub node: Option<NodeName>,
    /// The path it is mounted at.
    pub path: Option<String>,
}

impl At {
    /// Wherever it is on this node.
    #[must_use]
    pub const fn on(node: Option<NodeName>) -> Self {
        Self { node, path: None }
    }

    pub(super) fn holds(&self, attachment: &Attachment) -> bool {
        let mount = attachment.mount.as_ref().map(|mount| &mount.path);
        self.node.as_ref().is_none_or(|node| *node == attachment.node)
            && (mount.is_none() || self.path.is_none() || self.path.as_ref() == mount)
    }
}

/// `volume attach`.
pub fn attach(world: &World, name: &VolumeName, node: &NodeName) -> Result<Verdict, Refusal> {
    let (volume, _) = live_volume(world, name)?;
    known_node(world, node)?;
    match &volume.spec.attachment {
        Some(attachment) if attachment.node == *node => Ok(Verdict::already(format!("volume/{name}"))),
        Some(attachment) => Err(precondition(
            format_args!(
                "volume {name} is attached on {} and cannot be attached on {node} too",
                attachment.node
            ),
            format_args!("`mdfabric volume detach {name}` first"),
        )),
        None => Ok(set(&volume.spec, Some(Attachment::to(node.clone())))),
    }
}

pub(super) fn set(spec: &VolumeSpec, attachment: Option<Attachment>) -> Verdict {
    let next = VolumeSpec { attachment, ..spec.clone() };
    Verdict::write(format_args!("volume/{}", spec.name), &spec.name, Record::VolumeSpec(next))
}

/// `volume detach`, wherever it is.
pub fn detach(world: &World, name: &VolumeName) -> Result<Verdict, Refusal> {
    detach_at(world, name, &At::default())
}

/// `volume detach`. Attached elsewhere is already so.
pub fn detach_at(world: &World, name: &VolumeName, at: &At) -> Result<Verdict, Refusal> {
    let volume = known_volume(world, name)?;
    match &volume.spec.attachment {
        Some(attachment) if at.holds(attachment) => Ok(set(&volume.spec, None)),
        _ => Ok(Verdict::already(format!("volume/{name}"))),
    }
}

/// The attachment of a volume that is on `node`, or anywhere if that is not said.
pub(super) fn attached(
    spec: &VolumeSpec,
    node: Option<&NodeName>,
    verb: &str,
) -> Result<Attachment, Refusal> {
    let name = &spec.name;
    let there = spec.attachment.as_ref();
    let on = |attachment: &&Attachment| node.is_none_or(|node| *node == attachment.node);
    there.filter(on).cloned().ok_or_else(|| {
        let where_to = node.map_or("NODE", NodeName::as_str);
        let on = node.map(|node| format!(" on {node}")).unwrap_or_default();
        precondition(
            format_args!("volume {name} is not attached{on} and cannot be {verb}"),
            format_args!("`mdfabric volume attach {name} --node {where_to}` first"),
        )
    })
}

/// A path on which something is put, written as the kernel tells of it later.
pub(super) fn checked_path(name: &VolumeName, path: &str, verb: &str) -> Result<(), Refusal> {
    let is_plain = |below: &str| below.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let fits = path.len() <= usize::from(MAX_PATH);
    if fits && path.strip_prefix('/').is_some_and(is_plain) && !path.contains('\0') {
        return Ok(());
    }
    Err(invalid(
        format_args!("{path:?} is no place to {verb} volume {name}"),
        format_args!(
            "use an absolute path of at most {MAX_PATH} bytes other than /, without `.`, `..` and a slash too many"
        ),
    ))
}

/// `volume mount`: where it is attached.
pub fn mount(world: &World, name: &VolumeName, wish: MountRequest) -> Result<Verdict, Refusal> {
    mount_on(world, name, None, wish)
}

/// `volume mount`: where it is attached, and nowhere else than on `node` if that is said.
pub fn mount_on(
    world: &World,
    name: &VolumeName,
    node: Option<&NodeName>,
    wish: MountRequest,
) -> Result<Verdict, Refusal> {
    let (volume, _) = live_volume(world, name)?;
    let attachment = attached(&volume.spec, node, "mounted")?;
    if volume.spec.fs == FsType::Raw {
        return Err(precondition(
            format_args!("volume {name} is raw and cannot be mounted"),
            "use its device",
        ));
    }
    checked_path(name, &wish.path, "mount")?;
    match &attachment.mount {
        Some(mount) if *mount == wish => Ok(Verdict::already(format!("volume/{name}"))),
        Some(mount) => Err(mounted_already(name, mount, &wish)),
        None => Ok(set(&volume.spec, Some(Attachment { mount: Some(wish), ..attachment }))),
    }
}

fn mounted_already(name: &VolumeName, mount: &MountRequest, wish: &MountRequest) -> Refusal {
    let next_step = format!("`mdfabric volume unmount {name}` first");
    if mount.path != wish.path {
        let (there, here) = (&mount.path, &wish.path);
        return precondition(
            format_args!("volume {name} is mounted at {there} and cannot be mounted at {here} too"),
            next_step,
        );
    }
    Refusal::new(
        RefusalKind::AlreadyExists,
        format_args!("volume {name} is mounted at {} in another way: {}", mount.path, how(mount)),
        next_step,
    )
}

fn how(mount: &MountRequest) -> String {
    let access = if mount.read_only { "read-only" } else { "for writing" };
    let group = mount.group.map(|group| format!(", group {group}"));
    let options = mount.options.iter().map(|option| format!(", {option}"));
    std::iter::once(access.to_owned()).chain(group).chain(options).collect()
}

/// `volume unmount`, wherever it is.
pub fn unmount(world: &World, name: &VolumeName) -> Result<Verdict, Refusal> {
    unmount_at(world, name, &At::default())
}

/// `volume unmount`: it is published nowhere then, either. Mounted elsewhere is already so.
pub fn unmount_at(world: &World, name: &VolumeName, at: &At) -> Result<Verdict, Refusal> {
    let volume = known_volume(world, name)?;
    let used = |attachment: &&Attachment| attachment.mount.is_some() || !attachment.published.is_empty();
    match volume.spec.attachment.as_ref().filter(used) {
        Some(attachment) if at.holds(attachment) => {
            Ok(set(&volume.spec, Some(Attachment::to(attachment.node.clone()))))
        }
        _ => Ok(Verdict::already(format!("volume/{name}"))),
    }
}
