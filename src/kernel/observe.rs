//! One look at everything the machines decide from.

mod arrays;
mod drives;
mod fabric;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kernel_abi::sock::{self, DiagError, TcpSocket, TcpState};
use kernel_abi::{CallError, DevNum, Root, fs};

pub(super) use fabric::key_of;

use super::device;
use super::notes::{NoteError, Notes};
use super::tables::Tables;
use crate::domain::Endpoint;
use crate::plan::{Dev, MountSeen, Observation, Sample};

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
        mounts: mounts.iter().map(|it| mount(it, it.dev)).collect(),
        device_binds: mounts.iter().filter_map(|it| Some(mount(it, number_below(root, it)?))).collect(),
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

fn mount(mount: &fs::Mount, dev: DevNum) -> MountSeen {
    MountSeen {
        dev: device::dev(dev),
        path: mount.mount_point.display().to_string(),
        read_only: mount.read_only,
    }
}

/// The block device whose node is what is mounted: devtmpfs calls it by the kernel's name.
pub(super) fn bound_device(root: &Root, mount: &fs::Mount) -> Option<Dev> {
    number_below(root, mount).map(device::dev)
}

fn number_below(root: &Root, mount: &fs::Mount) -> Option<DevNum> {
    let node = mount.root.strip_prefix("/").ok().filter(|_| mount.fstype == "devtmpfs")?;
    let name = node.to_str().filter(|name| !name.is_empty())?.replace('/', "!");
    root.read(format!("sys/class/block/{name}/dev")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of a bind mount of `/dev/md_5`, of another directory of that file system, and of the whole of it.
    const MOUNTS: &str = "40 30 0:6 /md_5 /pods/raw rw,nosuid shared:2 - devtmpfs udev rw,size=1k\n\
        41 30 0:6 /mapper /pods/other rw shared:2 - devtmpfs udev rw\n\
        42 30 0:6 / /dev rw shared:2 - devtmpfs udev rw\n\
        43 30 0:7 /md_5 /pods/file rw - tmpfs tmpfs rw\n";

    #[test]
    fn a_device_that_is_shown_elsewhere_is_known_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("sys/class/block/md_5");
        std::fs::create_dir_all(&class).unwrap();
        std::fs::write(class.join("dev"), "9:127\n").unwrap();
        let root = Root::at(dir.path());
        let mounts = fs::parse_mountinfo(MOUNTS).unwrap();
        let found: Vec<_> = mounts.iter().map(|mount| bound_device(&root, mount)).collect();
        assert_eq!(found, [Some(Dev { major: 9, minor: 127 }), None, None, None]);
    }
}
