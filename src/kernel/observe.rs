//! One look at everything the machines decide from.

mod arrays;
mod drives;
mod fabric;

use kernel_abi::{CallError, Root, fs};

use super::device;
use super::tables::Tables;
use crate::plan::{MountSeen, Observation};

/// Why the kernel could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObserveError {
    #[error("cannot read the kernel's state")]
    Call(#[from] CallError),
    #[error("cannot read device-mapper's state")]
    Map(#[from] kernel_abi::dm::DmError),
}

pub(super) fn everything(root: &Root, tables: &Tables) -> Result<Observation, ObserveError> {
    let mounts = fs::mountinfo(root)?;
    let namespaces = kernel_abi::nvme::namespaces(root)?;
    Ok(Observation {
        drives: drives::all(root, tables, &namespaces, &mounts)?,
        exports: fabric::exports(root)?,
        connections: fabric::connections(root, &namespaces)?,
        maps: fabric::maps(root)?,
        arrays: arrays::all(root)?,
        mounts: mounts.iter().map(mount).collect(),
    })
}

fn mount(mount: &fs::Mount) -> MountSeen {
    MountSeen {
        dev: device::dev(mount.dev),
        path: mount.mount_point.display().to_string(),
        read_only: mount.read_only,
    }
}
