//! Ports: where the target listens, and which subsystems it shows there.

use super::configfs::{self, Changed};
use super::{DIRECTORY, PortAddress, subsystem};
use crate::nvme::Nqn;
use crate::{CallError, Root};

fn directory(port: u16) -> String {
    format!("{DIRECTORY}/ports/{port}")
}

fn shown(port: u16, nqn: &Nqn) -> String {
    format!("{}/subsystems/{nqn}", directory(port))
}

/// Describes a port. It listens from its first [`link`] to its last [`unlink`]; in between its address cannot be
/// changed (EACCES).
pub fn create_port(root: &Root, port: u16, address: &PortAddress) -> Result<Changed, CallError> {
    let directory = directory(port);
    let attributes = [
        ("addr_trtype", address.transport.to_string()),
        ("addr_adrfam", address.family().to_owned()),
        ("addr_traddr", address.addr.to_string()),
        ("addr_trsvcid", address.svc.to_string()),
    ];
    let mut changed = configfs::make(root, &directory)?;
    for (file, value) in attributes {
        changed = changed.or(configfs::set_text(root, &format!("{directory}/{file}"), &value)?);
    }
    Ok(changed)
}

/// Removes a port. ENOTEMPTY while it shows a subsystem.
pub fn remove_port(root: &Root, port: u16) -> Result<Changed, CallError> {
    configfs::remove(root, &directory(port))
}

/// Shows a subsystem on a port. The first link opens the listener, with the errors of `bind(2)`. Create namespaces and
/// allow hosts before: a host that is refused gives up for good.
pub fn link(root: &Root, port: u16, nqn: &Nqn) -> Result<Changed, CallError> {
    configfs::join(root, &shown(port, nqn), &subsystem::directory(nqn))
}

/// Hides a subsystem from a port and cuts the connections through it, in 1 to 4 ms; the last one closes the listener.
///
/// Caveat: returns before I/O in flight to the backing device has ended; [`super::disable_namespace`] waits for that.
pub fn unlink(root: &Root, port: u16, nqn: &Nqn) -> Result<Changed, CallError> {
    configfs::part(root, &shown(port, nqn))
}

/// Hides a subsystem from every port.
pub(super) fn unlink_everywhere(root: &Root, nqn: &Nqn) -> Result<Changed, CallError> {
    let mut changed = Changed::AlreadySo;
    for port in root.list(format!("{DIRECTORY}/ports"))? {
        let path = format!("{DIRECTORY}/ports/{port}/subsystems/{nqn}");
        changed = changed.or(configfs::part(root, &path)?);
    }
    Ok(changed)
}
