//! A replica's partition on its provider: zeroed, served, fenced.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kernel_abi::block::zero::{self, Thoroughness, Verified};
use kernel_abi::nvme::{Fabric, Nguid, Nqn, Nsid};
use kernel_abi::nvmet::{self, Model, NamespaceIdentity, PortAddress, Serial, Target};
use kernel_abi::{CallError, Root};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use uuid::Uuid;

use super::array::superblock;
use super::{Done, failure, retry};
use crate::domain::{Endpoint, Epoch, subsystem_nqn};
use crate::kernel::device;
use crate::plan::{Dev, FailureKind, StepFailure};

/// Zeroes what a new replica starts from: nothing that was a member of an array as this very replica.
pub(super) fn make(root: &Root, partition: Uuid, dev: Dev) -> Done {
    let path = device::node(root, dev).map_err(|error| retry(&error))?;
    is_no_member(&path, partition)?;
    zero_all(&path)
}

/// Whoever asks for a copy to be made that was made before has lost its records, not its data.
fn is_no_member(path: &Path, partition: Uuid) -> Done {
    match superblock(path)? {
        Some(superblock) if superblock.device_uuid == partition => {
            let message = format_args!(
                "{}: it is a member of array {} and is not zeroed; put its replica's status back, or give the copy up",
                path.display(),
                superblock.set_uuid
            );
            Err(failure(FailureKind::Retry, message))
        }
        _ => Ok(()),
    }
}

/// Zeroes all of a partition on its own drive and reads all of it back: what a new replica starts from, and what is left
/// of a dropped one. Nothing of one that an array or a mount has.
pub(super) fn zero(root: &Root, dev: Dev) -> Done {
    zero_all(&device::node(root, dev).map_err(|error| retry(&error))?)
}

fn zero_all(path: &Path) -> Done {
    let size = free_bytes(path).map_err(|error| retry(&error))?;
    zero_range(path, 0..size)
}

/// The size of a partition that nobody claims; EBUSY where somebody does. An export claims nothing.
fn free_bytes(path: &Path) -> Result<u64, CallError> {
    let open = File::options().read(true).custom_flags(OFlag::O_EXCL.bits()).open(path);
    let file = open.map_err(|error| CallError::new("open O_EXCL", path.display(), error))?;
    kernel_abi::block::device::size_bytes(&file, path)
}

/// Zeroes a range, bytes, and reads it back.
pub(super) fn zero_range(path: &Path, range: Range<u64>) -> Done {
    let all = zero::wipe(path, range, Thoroughness::Full, |_, _| ControlFlow::Continue(()));
    match all.map_err(|error| retry(&error))? {
        Verified::Zero | Verified::Stopped { .. } => Ok(()),
        Verified::NonZero { offset } => {
            let message = format_args!("{}: byte {offset} is not zero after zeroing", path.display());
            Err(failure(FailureKind::Retry, message))
        }
    }
}

pub(super) fn nqn(text: &str) -> Result<Nqn, StepFailure> {
    Nqn::new(text).map_err(|error| retry(&error))
}

/// The id in configfs of the port that listens on `address`: the one that is there, whoever made it, for no second one
/// could listen there; otherwise the number of the TCP port, which makes ours easy to find.
fn port_id(target: &Target, address: &PortAddress) -> Result<u16, StepFailure> {
    if let Some(port) = target.ports.iter().find(|port| port.address() == Some(*address)) {
        return Ok(port.id);
    }
    let id = address.svc;
    match target.port(id).filter(|port| !port.subsystems.is_empty()) {
        None => Ok(id),
        Some(taken) => Err(failure(
            FailureKind::Retry,
            format_args!(
                "nvmet's port {id} is to listen on {address}, but serves {} on {}:{}: set another data-port, or \
                 detach what is served there",
                taken.subsystems.join(", "),
                taken.traddr,
                taken.trsvcid
            ),
        )),
    }
}

/// Host, namespace and address first, the port last: who connects too early is told to come again, not to go away.
pub(super) fn export(
    root: &Root,
    partition: Uuid,
    epoch: Epoch,
    dev: Dev,
    host_nqn: &str,
    endpoint: &Endpoint,
) -> Done {
    let (subsystem, host) = (nqn(&subsystem_nqn(partition, epoch))?, nqn(host_nqn)?);
    let text = partition.simple().to_string();
    let serial = Serial::new(text.get(..20).unwrap_or(&text)).map_err(|error| retry(&error))?;
    let model = Model::new("mdfabric").map_err(|error| retry(&error))?;
    let device_path = device::node(root, dev).map_err(|error| retry(&error))?;
    let identity = NamespaceIdentity { device_path, uuid: partition, nguid: Nguid::from_uuid(partition) };
    let svc = endpoint.port;
    let addr =
        endpoint.address.parse().map_err(|error| failure(FailureKind::Retry, format_args!("{error}")))?;
    let address = PortAddress { transport: Fabric::Tcp, addr, svc };
    let port = port_id(&nvmet::observe(root).map_err(|error| retry(&error))?, &address)?;
    let all = || {
        nvmet::create_subsystem(root, &subsystem, &serial, &model)?;
        nvmet::create_namespace(root, &subsystem, Nsid::FIRST, &identity)?;
        nvmet::enable_namespace(root, &subsystem, Nsid::FIRST)?;
        nvmet::create_host(root, &host)?;
        nvmet::allow_host(root, &subsystem, &host)?;
        nvmet::create_port(root, port, &address)?;
        nvmet::link(root, port, &subsystem)
    };
    all().map(drop).map_err(|error| retry(&error))
}

/// The order of R4: nobody new may come, whoever is there is cut off, and what was under way has ended. Returns only then.
pub(super) fn fence(root: &Root, partition: Uuid, epoch: Epoch) -> Done {
    let subsystem = nqn(&subsystem_nqn(partition, epoch))?;
    let target = nvmet::observe(root).map_err(|error| retry(&error))?;
    let hosts =
        target.subsystem(subsystem.as_str()).map(|seen| seen.allowed_hosts.clone()).unwrap_or_default();
    let all = || {
        for host in hosts.iter().filter_map(|host| Nqn::new(host.as_str()).ok()) {
            nvmet::disallow_host(root, &subsystem, &host)?;
        }
        nvmet::remove_subsystem(root, &subsystem)?;
        for host in hosts.iter().filter_map(|host| Nqn::new(host.as_str()).ok()) {
            match nvmet::remove_host(root, &host) {
                Err(error) if !error.is(Errno::EBUSY) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    all().map_err(|error: CallError| retry(&error))
}
