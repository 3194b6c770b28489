//! One look at everything the machines decide from.

mod arrays;
mod drives;
mod fabric;

use kernel_abi::{CallError, Root, fs};

use super::device;
use super::tables::Tables;
use crate::plan::{MountSeen, Observation, Sample};

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

/// The state of what was seen and changes without an event.
pub(super) fn sample(root: &Root, seen: &Observation) -> Result<Sample, ObserveError> {
    let mut sample = Sample::default();
    for (key, connection) in &seen.connections {
        sample.connections.extend(fabric::sample(root, connection)?.map(|state| (*key, state)));
    }
    for (uuid, array) in &seen.arrays {
        sample.arrays.extend(arrays::sample(root, array)?.map(|sync| (*uuid, sync)));
    }
    Ok(sample)
}

fn mount(mount: &fs::Mount) -> MountSeen {
    MountSeen {
        dev: device::dev(mount.dev),
        path: mount.mount_point.display().to_string(),
        read_only: mount.read_only,
    }
}
