//! Subsystems, the namespaces they export, and the hosts they allow.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::configfs::{self, Changed};
use super::{DIRECTORY, Model, Serial, host, port};
use crate::nvme::{Nguid, Nqn, Nsid};
use crate::{CallError, Root};

/// What a namespace is made of and how hosts recognise it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceIdentity {
    /// The block device or file, as the kernel is to open it.
    pub device_path: PathBuf,
    /// Hosts show it as `uuid`.
    pub uuid: Uuid,
    /// Hosts show it as `nguid`.
    pub nguid: Nguid,
}

pub(super) fn directory(nqn: &Nqn) -> String {
    format!("{DIRECTORY}/subsystems/{nqn}")
}

fn namespace(nqn: &Nqn, nsid: Nsid) -> String {
    format!("{}/namespaces/{nsid}", directory(nqn))
}

fn allowed(nqn: &Nqn, host: &Nqn) -> String {
    format!("{}/allowed_hosts/{host}", directory(nqn))
}

/// Makes a subsystem that allows no host but those named. Serial and model can be set until the first host has seen
/// them (EINVAL afterwards).
pub fn create_subsystem(
    root: &Root,
    nqn: &Nqn,
    serial: &Serial,
    model: &Model,
) -> Result<Changed, CallError> {
    let directory = directory(nqn);
    let attributes =
        [("attr_allow_any_host", "0"), ("attr_serial", serial.as_str()), ("attr_model", model.as_str())];
    let mut changed = configfs::make(root, &directory)?;
    for (file, value) in attributes {
        changed = changed.or(configfs::set_text(root, &format!("{directory}/{file}"), value)?);
    }
    Ok(changed)
}

/// Removes a subsystem in the order that the kernel asks for: hidden from every port, no host allowed, every namespace
/// drained and removed.
pub fn remove_subsystem(root: &Root, nqn: &Nqn) -> Result<Changed, CallError> {
    let mut changed = port::unlink_everywhere(root, nqn)?;
    let directory = directory(nqn);
    for host in root.list(format!("{directory}/allowed_hosts"))? {
        changed = changed.or(configfs::part(root, &format!("{directory}/allowed_hosts/{host}"))?);
    }
    for nsid in root.list(format!("{directory}/namespaces"))? {
        changed = changed.or(drain_and_remove(root, &format!("{directory}/namespaces/{nsid}"))?);
    }
    Ok(changed.or(configfs::remove(root, &directory)?))
}

/// Describes a namespace; hosts see it from [`enable_namespace`] on. EBUSY when it is enabled with another identity.
pub fn create_namespace(
    root: &Root,
    nqn: &Nqn,
    nsid: Nsid,
    identity: &NamespaceIdentity,
) -> Result<Changed, CallError> {
    let directory = namespace(nqn, nsid);
    let made = configfs::make(root, &directory)?;
    let path = set_device_path(root, &directory, &identity.device_path)?;
    let uuid = identity.uuid.hyphenated().to_string();
    let uuid = configfs::set(root, &format!("{directory}/device_uuid"), &uuid, |read| {
        read.parse() == Ok(identity.uuid)
    })?;
    let nguid = identity.nguid.to_string();
    let nguid = configfs::set(root, &format!("{directory}/device_nguid"), &nguid, |read| {
        read.parse() == Ok(identity.nguid)
    })?;
    Ok(made.or(path).or(uuid).or(nguid))
}

fn set_device_path(root: &Root, directory: &str, path: &Path) -> Result<Changed, CallError> {
    let attribute = format!("{directory}/device_path");
    match path.to_str() {
        Some(path) if path.starts_with('/') && !path.contains('\n') => {
            configfs::set_text(root, &attribute, path)
        }
        _ => Err(CallError::new("write", attribute, nix::errno::Errno::EINVAL).with_value(path.display())),
    }
}

/// Opens the backing device and shows the namespace. ENOENT, ENOTBLK and the like: the device cannot be opened.
pub fn enable_namespace(root: &Root, nqn: &Nqn, nsid: Nsid) -> Result<Changed, CallError> {
    configfs::set_text(root, &format!("{}/enable", namespace(nqn, nsid)), "1")
}

/// Fails the namespace's I/O at once, hides it, and returns when all I/O in flight to the backing device has ended:
/// 20 ms when idle, as long as the device takes otherwise. A namespace that does not exist is disabled.
pub fn disable_namespace(root: &Root, nqn: &Nqn, nsid: Nsid) -> Result<Changed, CallError> {
    disable(root, &namespace(nqn, nsid))
}

/// Disables the namespace, which drains it, and removes it.
pub fn remove_namespace(root: &Root, nqn: &Nqn, nsid: Nsid) -> Result<Changed, CallError> {
    drain_and_remove(root, &namespace(nqn, nsid))
}

fn drain_and_remove(root: &Root, directory: &str) -> Result<Changed, CallError> {
    Ok(disable(root, directory)?.or(configfs::remove(root, directory)?))
}

fn disable(root: &Root, directory: &str) -> Result<Changed, CallError> {
    let attribute = format!("{directory}/enable");
    match root.read_if_there(&attribute)?.as_deref() {
        None | Some("0") => Ok(Changed::AlreadySo),
        Some(_) => root.write(&attribute, "0").map(|()| Changed::Done),
    }
}

/// Tells hosts the backing device's size anew; they see it within milliseconds, without connecting again. EINVAL while
/// the namespace is disabled.
pub fn revalidate_size(root: &Root, nqn: &Nqn, nsid: Nsid) -> Result<(), CallError> {
    root.write(format!("{}/revalidate_size", namespace(nqn, nsid)), "1")
}

/// Lets a host that was created connect from now on.
pub fn allow_host(root: &Root, nqn: &Nqn, host: &Nqn) -> Result<Changed, CallError> {
    configfs::join(root, &allowed(nqn, host), &host::directory(host))
}

/// Refuses the host's next connection.
///
/// Caveat: a standing connection keeps working, writes included; [`super::unlink`] cuts it.
pub fn disallow_host(root: &Root, nqn: &Nqn, host: &Nqn) -> Result<Changed, CallError> {
    configfs::part(root, &allowed(nqn, host))
}
