//! Legs: connect, map, let fail, take down.

use std::net::SocketAddr;

use kernel_abi::Root;
use kernel_abi::dm::{Control, MapKey, Multipath, Removal, Suspend, Target};
use kernel_abi::nvme::controller;
use kernel_abi::nvme::fabrics::{self, ConnectError, ConnectOptions};
use kernel_abi::nvme::{ControllerName, Fabric, Nqn, Timeout};
use kernel_abi::sock;
use nix::errno::Errno;
use uuid::Uuid;

use super::{Done, failure, retry};
use crate::domain::{Bytes, Endpoint, Epoch, leg_map_name, leg_map_uuid, subsystem_nqn};
use crate::kernel::{device, registry};
use crate::plan::{Dev, FailureKind, Step, StepFailure};

/// Keep-alive of a connection in seconds: a peer that dies without a word is noticed after about 2.6 times this.
const KEEP_ALIVE_SECONDS: u32 = 3;
/// Seconds between two attempts of the kernel to reconnect.
const RECONNECT_SECONDS: u32 = 1;

pub(super) fn apply(root: &Root, step: &Step) -> Done {
    match step {
        Step::Connect { partition, epoch, endpoint, host_nqn, host_id } => {
            connect(root, &subsystem_nqn(*partition, *epoch), endpoint, host_nqn, *host_id)
        }
        Step::Disconnect { controller, .. } => disconnect(root, controller),
        Step::MapLeg { partition, epoch, path, size } => map(root, *partition, *epoch, *path, *size),
        Step::ReloadLeg { partition, epoch, path, size } => {
            load(&open(root)?, &leg_map_uuid(*partition, *epoch), *path, *size)
        }
        Step::ReinstateLeg { partition, epoch, path } => reinstate(root, *partition, *epoch, *path),
        Step::HoldLeg { partition, epoch, path } => hold(root, *partition, *epoch, *path),
        Step::FailLeg { partition, epoch, path, cut: target } => {
            fail(root, *partition, *epoch, *path)?;
            target.as_ref().map_or(Ok(()), cut)
        }
        Step::UnmapLeg { partition, epoch } => unmap(root, *partition, *epoch),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on a leg: {other}"))),
    }
}

fn connect(root: &Root, nqn: &str, endpoint: &Endpoint, host_nqn: &str, host_id: Uuid) -> Done {
    match fabrics::connect(root, &options(nqn, endpoint, host_nqn, host_id)?) {
        Ok(_) | Err(ConnectError::AlreadyConnected(_)) => registry::settle(root),
        Err(error) => return Err(retry(&error)),
    }
    Ok(())
}

/// KERNEL2.md rule 1: the controller never gives up, and never holds I/O either; the map above does that. With `fast_io_fail_tmo` 0 whatever
/// waits below is sent on to the map as soon as the controller looks for its peer again, and what comes later with it
/// (`nvme_failfast_work`, drivers/nvme/host/core.c; `nvme_available_path`, multipath.c).
fn options(
    nqn: &str,
    endpoint: &Endpoint,
    host_nqn: &str,
    host_id: Uuid,
) -> Result<ConnectOptions, StepFailure> {
    let address =
        endpoint.address.parse().map_err(|error| failure(FailureKind::Retry, format_args!("{error}")))?;
    let name = |text: &str| Nqn::new(text).map_err(|error| retry(&error));
    let mut options =
        ConnectOptions::new(Fabric::Tcp, address, endpoint.port, name(nqn)?, name(host_nqn)?, host_id);
    options.keep_alive_tmo = Some(KEEP_ALIVE_SECONDS);
    options.reconnect_delay = Some(RECONNECT_SECONDS);
    options.ctrl_loss_tmo = Some(Timeout::Never);
    options.fast_io_fail_tmo = Some(Timeout::Seconds(0));
    Ok(options)
}

fn disconnect(root: &Root, name: &str) -> Done {
    let name: ControllerName =
        name.parse().map_err(|error| failure(FailureKind::Retry, format_args!("{error}")))?;
    match controller::delete(root, name) {
        Err(error) if !error.is(Errno::ENOENT) && !error.is(Errno::ENODEV) => return Err(retry(&error)),
        _ => registry::settle(root),
    }
    Ok(())
}

fn open(root: &Root) -> Result<Control, StepFailure> {
    Control::open(root).map_err(|error| retry(&error))
}

fn map(root: &Root, partition: Uuid, epoch: Epoch, path: Dev, size: Bytes) -> Done {
    let (control, uuid) = (open(root)?, leg_map_uuid(partition, epoch));
    control.create(&leg_map_name(partition), &uuid).map_err(|error| retry(&error))?;
    load(&control, &uuid, path, size)
}

/// Loads the one-path table and makes it live without flushing: what the map holds goes to the new path.
fn load(control: &Control, uuid: &str, path: Dev, size: Bytes) -> Done {
    let leg = Multipath { sectors: size.sectors(), queue_if_no_path: true, path: device::number(path) };
    let key = MapKey::Uuid(uuid);
    let all = || {
        control.load(key, &[Target::from(leg)])?;
        control.resume(key, Suspend::HOLD)
    };
    all().map(drop).map_err(|error| retry(&error))
}

fn reinstate(root: &Root, partition: Uuid, epoch: Epoch, path: Dev) -> Done {
    let (control, uuid) = (open(root)?, leg_map_uuid(partition, epoch));
    let all = || {
        control.queue_if_no_path(MapKey::Uuid(&uuid))?;
        control.reinstate_path(MapKey::Uuid(&uuid), device::number(path))
    };
    all().map_err(|error| retry(&error))
}

/// `queue_if_no_path` is left as it is. The kernel brings a failed path back only when it is told to (`reinstate_path`,
/// drivers/md/dm-mpath.c).
fn hold(root: &Root, partition: Uuid, epoch: Epoch, path: Dev) -> Done {
    let uuid = leg_map_uuid(partition, epoch);
    let failed = open(root)?.fail_path(MapKey::Uuid(&uuid), device::number(path));
    failed.map_err(|error| retry(&error))
}

/// What the map holds fails now. The path is failed too, or new I/O would find it and wait in the driver below.
fn fail(root: &Root, partition: Uuid, epoch: Epoch, path: Option<Dev>) -> Done {
    let (control, uuid) = (open(root)?, leg_map_uuid(partition, epoch));
    control.fail_if_no_path(MapKey::Uuid(&uuid)).map_err(|error| retry(&error))?;
    match path.map(|path| control.fail_path(MapKey::Uuid(&uuid), device::number(path))) {
        Some(Err(error)) if !error.is(Errno::EINVAL) => Err(retry(&error)),
        _ => Ok(()),
    }
}

/// Aborts every connection to a target that is gone: a controller that is still live holds I/O in its driver until its
/// keep-alive runs out; without its sockets it goes to `connecting` in about 15 ms (KERNEL2.md 3).
fn cut(target: &Endpoint) -> Done {
    let address =
        target.address.parse().map_err(|error| failure(FailureKind::Retry, format_args!("{error}")))?;
    sock::destroy_tcp(SocketAddr::new(address, target.port)).map(drop).map_err(|error| retry(&error))
}

fn unmap(root: &Root, partition: Uuid, epoch: Epoch) -> Done {
    let control = open(root)?;
    let removed = control.remove(MapKey::Uuid(&leg_map_uuid(partition, epoch)), Removal::Now);
    removed.map(drop).map_err(|error| retry(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_never_gives_up_and_holds_nothing() {
        let endpoint = Endpoint { address: "10.0.0.2".to_owned(), port: 4420 };
        let nqn = subsystem_nqn(Uuid::from_u128(1), Epoch(3));
        let options = options(&nqn, &endpoint, "nqn.2026-11.io.mdfabric:host:a", Uuid::from_u128(2)).unwrap();
        assert_eq!(options.ctrl_loss_tmo, Some(Timeout::Never));
        assert_eq!(options.fast_io_fail_tmo, Some(Timeout::Seconds(0)));
    }
}
