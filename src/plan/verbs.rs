//! What users may ask for: each verb checks the request against the records and says what to write, or why not.

mod drive;
#[cfg(test)]
mod tests;
mod volume;

pub use drive::{Cordon, add_drive, cordon_drive, cordon_node, remove_drive};
pub use volume::{
    At, CreateVolume, EditVolume, ForceStart, NewSize, Publish, Scrub, attach, create, delete, detach,
    detach_at, edit, force_start, grow, mount, mount_on, move_replica, publish, scrub, unmount, unmount_at,
    unpublish,
};

pub use crate::domain::limits::{MAX_COLUMNS, MAX_REPLICAS, MAX_VOLUME, MIN_VOLUME};
use crate::domain::{
    InvalidName, InvalidSize, Key, NodeName, Record, Volume, VolumeName, VolumeStatus, World,
};
use crate::plan::Write;

/// The kind of a refusal, as gRPC has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request itself is wrong.
    InvalidArgument,
    /// It names something that is not there.
    NotFound,
    /// It names something new that is already there and different.
    AlreadyExists,
    /// The object is not in a state for it.
    FailedPrecondition,
    /// There is no room.
    ResourceExhausted,
}

/// Why a request is not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {next_step}")]
pub struct Refusal {
    /// Kind.
    pub kind: RefusalKind,
    /// The object, what was tried, why not.
    pub message: String,
    /// What the user can do.
    pub next_step: String,
}

impl Refusal {
    /// A refusal with its two sentences.
    pub fn new(
        kind: RefusalKind,
        message: impl std::fmt::Display,
        next_step: impl std::fmt::Display,
    ) -> Self {
        Self { kind, message: message.to_string(), next_step: next_step.to_string() }
    }
}

impl From<InvalidName> for Refusal {
    fn from(error: InvalidName) -> Self {
        let InvalidName { kind, name, rule } = &error;
        Self::new(RefusalKind::InvalidArgument, format_args!("{kind} name {name:?} is not allowed"), rule)
    }
}

impl From<InvalidSize> for Refusal {
    fn from(error: InvalidSize) -> Self {
        Self::new(
            RefusalKind::InvalidArgument,
            format_args!("{:?} is not a size", error.text),
            "use a whole number with MiB, GiB or TiB (512MiB, 10GiB)",
        )
    }
}

/// A request that can be carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What it is about, as `kind/name`.
    pub object: String,
    /// What to write; empty when it is already so.
    pub writes: Vec<Write>,
    /// What was chosen where the request left a choice, and why.
    pub chosen: Vec<String>,
}

impl Verdict {
    fn write(object: impl std::fmt::Display, name: impl std::fmt::Display, record: Record) -> Self {
        let write = Write { key: Key::new(record.kind(), name), record: Some(record) };
        Self { object: object.to_string(), writes: vec![write], chosen: Vec::new() }
    }

    fn already(object: impl std::fmt::Display) -> Self {
        Self { object: object.to_string(), writes: Vec::new(), chosen: Vec::new() }
    }
}

fn known_volume(world: &World, name: &VolumeName) -> Result<Volume, Refusal> {
    world.volume(name).ok_or_else(|| {
        Refusal::new(
            RefusalKind::NotFound,
            format_args!("there is no volume {name}"),
            "list them with `mdfabric volume ls`",
        )
    })
}

fn live_volume(world: &World, name: &VolumeName) -> Result<(Volume, VolumeStatus), Refusal> {
    let volume = known_volume(world, name)?;
    if volume.spec.deleting {
        return Err(Refusal::new(
            RefusalKind::FailedPrecondition,
            format_args!("volume {name} is being deleted"),
            "wait until it is gone, then create it again",
        ));
    }
    let status = volume.status.clone().ok_or_else(|| {
        Refusal::new(
            RefusalKind::FailedPrecondition,
            format_args!("volume {name} has not been placed yet"),
            format_args!("`mdfabric explain volume/{name}` says what it waits for"),
        )
    })?;
    Ok((volume, status))
}

fn known_node(world: &World, node: &NodeName) -> Result<(), Refusal> {
    let known: Vec<String> = world.nodes().map(|(name, _)| name.to_string()).collect();
    if known.iter().any(|name| name == node.as_str()) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::NotFound,
        format_args!("there is no node {node}"),
        format_args!("use one of {}", known.join(", ")),
    ))
}
