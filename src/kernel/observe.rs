//! One look at everything the machines decide from.

mod arrays;
mod drives;
mod fabric;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kernel_abi::sock::{self, DiagError, TcpSocket, TcpState};
use kernel_abi::{CallError, Root, fs};

pub(super) use fabric::key_of;

use super::device;
use super::notes::{NoteError, Notes};
use super::tables::Tables;
use crate::domain::Endpoint;
use crate::plan::{MountSeen, Observation, Sample};

/// Why the kernel could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObserveError {
    #[error("cannot read the kernel's state")]
    Call(#[from] CallError),
    #[error("cannot read device-mapper's state")]
    Map(#[from] kernel_abi::dm::DmError),
    #[error("cannot read the state of TCP connections")]
    Sockets(#[from] DiagError),
    #[error("cannot read the notes of what was done without the store")]
    Notes(#[from] NoteError),
}

pub(super) fn everything(
    root: &Root,
    tables: &Arc<Tables>,
    notes: &Notes,
) -> Result<Observation, ObserveError> {
    let mounts = fs::mountinfo(root)?;
    let namespaces = kernel_abi::nvme::namespaces(root)?;
    let mut strangers = BTreeSet::new();
    let fabric::Maps { legs, tops } = fabric::maps(root, &mut strangers)?;
    Ok(Observation {
        drives: drives::all(root, tables, &namespaces, &mounts)?,
        exports: fabric::exports(root, &mut strangers)?,
        connections: fabric::connections(root, &namespaces, &mut strangers)?,
        maps: legs,
        arrays: arrays::all(root, &mut strangers)?,
        tops,
        mounts: mounts.iter().map(mount).collect(),
        alone: notes.all()?,
        strangers,
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

/// See [`crate::ports::Kernel::unanswered`].
pub(super) fn unanswered(target: &Endpoint) -> Result<u64, ObserveError> {
    let Ok(address) = target.address.parse::<IpAddr>() else { return Ok(0) };
    let sockets = sock::tcp_to(SocketAddr::new(address, target.port))?;
    Ok(sockets.iter().filter_map(silence).max().unwrap_or(0))
}

/// How long a connection has waited for an acknowledgement. That the other end said nothing while nobody spoke to it counts only
/// once a segment has been sent again in vain.
fn silence(socket: &TcpSocket) -> Option<u64> {
    let sending = socket.sending.filter(|_| socket.state == TcpState::Established)?;
    (sending.unacknowledged > 0 && sending.timeouts > 0).then(|| u64::from(sending.silent_millis))
}

fn mount(mount: &fs::Mount) -> MountSeen {
    MountSeen {
        dev: device::dev(mount.dev),
        path: mount.mount_point.display().to_string(),
        read_only: mount.read_only,
    }
}
