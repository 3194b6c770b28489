//! Exports, connections and legs: only what carries our names.

use std::collections::{BTreeMap, BTreeSet};

use kernel_abi::dm::{self, Control, MapKey, MultipathStatus, MultipathTable, Striped};
use kernel_abi::nvme::{self, Controller, ControllerState, NamespaceHead, Nsid};
use kernel_abi::{CallError, Root, nvmet};
use uuid::Uuid;

use super::ObserveError;
use crate::domain::{
    Bytes, Epoch, VolumeUid, is_host_of_ours, is_map_of_ours, partition_of_map_uuid, subsystem_parts,
    volume_of_map_uuid,
};
use crate::kernel::device;
use crate::plan::placement::CHUNK;
use crate::plan::{ConnectionSeen, ConnectionState, Dev, ExportSeen, MapSeen, Stranger, Thing, TopSeen};

type Key = (Uuid, Epoch);

pub(super) fn exports(
    root: &Root,
    strangers: &mut BTreeSet<Stranger>,
) -> Result<BTreeMap<Key, ExportSeen>, CallError> {
    let mut ours = BTreeMap::new();
    if !nvmet::is_available(root) {
        return Ok(ours);
    }
    let target = nvmet::observe(root)?;
    for subsystem in &target.subsystems {
        if let Some(key) = subsystem_parts(&subsystem.nqn) {
            ours.insert(key, export(root, &target, subsystem));
        } else {
            let name = subsystem.nqn.clone();
            strangers.insert(Stranger { thing: Thing::Export, name, identity: String::new() });
        }
    }
    Ok(ours)
}

fn export(root: &Root, target: &nvmet::Target, subsystem: &nvmet::Subsystem) -> ExportSeen {
    let namespace = subsystem.namespace(Nsid::FIRST);
    let path = namespace.and_then(|namespace| namespace.device_path.as_ref());
    ExportSeen {
        hosts: subsystem.allowed_hosts.iter().cloned().collect(),
        linked: target.ports_of(&subsystem.nqn).next().is_some(),
        enabled: namespace.is_some_and(|namespace| namespace.enabled),
        dev: path.and_then(|path| number_of(root, path)),
    }
}

fn number_of(root: &Root, path: &std::path::Path) -> Option<Dev> {
    let name = path.file_name()?.to_str()?;
    let text = root.read(format!("sys/class/block/{name}/dev")).ok()?;
    text.parse().ok().map(device::dev)
}

pub(super) fn connections(
    root: &Root,
    namespaces: &[NamespaceHead],
    strangers: &mut BTreeSet<Stranger>,
) -> Result<BTreeMap<Key, ConnectionSeen>, CallError> {
    let mut ours = BTreeMap::new();
    for controller in nvme::controllers(root)?.iter().filter(|controller| !controller.transport.is_local()) {
        if let Some(key) = key_of(controller) {
            ours.insert(key, connection(controller, namespaces));
        } else {
            let (name, identity) = (controller.name.to_string(), controller.subsysnqn.clone());
            strangers.insert(Stranger { thing: Thing::Connection, name, identity });
        }
    }
    Ok(ours)
}

/// What a connection of ours leads to. It was made in an mdfabric's name: one that somebody else made to a subsystem of ours is not
/// ours.
pub(in crate::kernel) fn key_of(controller: &Controller) -> Option<Key> {
    let key = subsystem_parts(&controller.subsysnqn)?;
    controller.hostnqn.as_deref().is_none_or(is_host_of_ours).then_some(key)
}

fn connection(controller: &Controller, namespaces: &[NamespaceHead]) -> ConnectionSeen {
    let head = namespaces.iter().find(|head| head.paths.contains(&controller.name));
    ConnectionSeen {
        controller: controller.name.to_string(),
        state: state(&controller.state),
        dev: head.map(|head| device::dev(head.dev)),
        size: Bytes(head.map_or(0, |head| head.size_bytes)),
    }
}

/// The state of a controller now; `None` when it is gone.
pub(super) fn sample(root: &Root, connection: &ConnectionSeen) -> Result<Option<ConnectionState>, CallError> {
    let Ok(name) = connection.controller.parse() else { return Ok(None) };
    Ok(nvme::controller::state(root, name)?.as_ref().map(state))
}

fn state(state: &ControllerState) -> ConnectionState {
    match state {
        ControllerState::Live => ConnectionState::Live,
        ControllerState::New | ControllerState::Connecting => ConnectionState::Connecting,
        ControllerState::Resetting => ConnectionState::Resetting,
        ControllerState::Deleting | ControllerState::DeletingNoIo => ConnectionState::Deleting,
        ControllerState::Dead => ConnectionState::Other("dead".to_owned()),
        ControllerState::Unknown(word) => ConnectionState::Other(word.clone()),
    }
}

/// The device-mapper devices that carry our names.
#[derive(Debug, Default)]
pub(super) struct Maps {
    pub(super) legs: BTreeMap<Key, MapSeen>,
    pub(super) tops: BTreeMap<VolumeUid, TopSeen>,
}

pub(super) fn maps(root: &Root, strangers: &mut BTreeSet<Stranger>) -> Result<Maps, ObserveError> {
    let mut maps = Maps::default();
    if !root.exists("sys/class/misc/device-mapper") {
        return Ok(maps);
    }
    let control = Control::open(root)?;
    for entry in control.list()? {
        let Some(status) = control.status_of(MapKey::Device(entry.device))? else { continue };
        if let Some(key) = partition_of_map_uuid(&status.uuid) {
            maps.legs.insert(key, map(&control, &status)?);
        } else if let Some(volume) = volume_of_map_uuid(&status.uuid) {
            maps.tops.insert(volume, top(&control, &status)?);
        } else if !is_map_of_ours(&status.uuid) {
            strangers.insert(Stranger { thing: Thing::Map, name: status.name, identity: status.uuid });
        }
    }
    Ok(maps)
}

/// One without a live table, and one whose table is no stripes of ours, has no columns.
fn top(control: &Control, status: &dm::MapStatus) -> Result<TopSeen, ObserveError> {
    let row = control.table(MapKey::Device(status.device))?.into_iter().next();
    let stripes = row.as_ref().and_then(|row| Striped::try_from(row).ok());
    let ours = stripes.filter(|stripes| u64::from(stripes.chunk_sectors) == CHUNK.sectors());
    Ok(TopSeen {
        dev: device::dev(status.device),
        size: Bytes(ours.as_ref().map_or(0, |stripes| stripes.sectors.saturating_mul(512))),
        columns: ours.into_iter().flat_map(|stripes| stripes.devices).map(device::dev).collect(),
        suspended: status.suspended,
    })
}

fn map(control: &Control, status: &dm::MapStatus) -> Result<MapSeen, ObserveError> {
    let key = MapKey::Device(status.device);
    let row = control.table(key)?.into_iter().next();
    let table = row.as_ref().and_then(|row| row.parameters.parse::<MultipathTable>().ok());
    let state = control.status(key)?.into_iter().next();
    let state = state.and_then(|row| row.parameters.parse::<MultipathStatus>().ok());
    Ok(MapSeen {
        dev: device::dev(status.device),
        path: table.as_ref().and_then(|table| table.paths.first()).map(|path| device::dev(*path)),
        path_active: state.is_some_and(|state| state.has_active_path()) && !status.suspended,
        queueing: table.is_some_and(|table| table.queue_if_no_path),
        size: Bytes(row.map_or(0, |row| row.sectors.saturating_mul(512))),
    })
}
