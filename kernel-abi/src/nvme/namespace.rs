//! NVMe namespaces as block devices: the heads `nvmeXnY` and the controllers that lead to each.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::controller::{self, Controller, Transport};
use super::ids::{ControllerName, HeadName, Nguid, Nsid, parse_uuid};
use crate::{CallError, DevNum, Root};

const BLOCK: &str = "sys/block";

/// Bytes per sector in sysfs' `size`, whatever the device's block size.
const SYSFS_SECTOR_BYTES: u64 = 512;

/// One namespace. With native multipath (the default) several controllers may lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceHead {
    /// The block device.
    pub name: HeadName,
    /// Its number.
    pub dev: DevNum,
    /// Namespace id in its subsystem.
    pub nsid: Option<Nsid>,
    /// The UUID that the target was told, or that the drive has.
    pub uuid: Option<Uuid>,
    /// The NGUID, unless it is all zero.
    pub nguid: Option<Nguid>,
    /// The kernel's best identifier: `uuid.…`, `eui.…` or `nvme.…`. Empty where there is none.
    pub wwid: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Logical block size in bytes.
    pub logical_block_size: u32,
    /// NQN of the subsystem it belongs to.
    pub subsysnqn: String,
    /// Controllers that lead to it, by number, whatever their state. Empty: the head outlived its last path.
    pub paths: Vec<ControllerName>,
    /// Serial number of its (first) controller.
    pub serial: String,
    /// Model of its (first) controller.
    pub model: String,
    /// Transport of its (first) controller: [`Transport::Pcie`] is a local drive. `None` without a path.
    pub transport: Option<Transport>,
}

/// All namespaces, by name. Hidden path devices (`nvmeXcNnY`) count as paths of their head. One that goes away while
/// it is read is left out.
pub fn namespaces(root: &Root) -> Result<Vec<NamespaceHead>, CallError> {
    let controllers = controller::controllers(root)?;
    let paths = paths(root, &controllers)?;
    let mut names: Vec<HeadName> = root.list(BLOCK)?.iter().filter_map(|name| name.parse().ok()).collect();
    names.sort();
    let mut heads = Vec::new();
    for name in names {
        let via = paths.get(&name).cloned().unwrap_or_default();
        if let Some(head) = read_head(root, name, via, &controllers)? {
            heads.push(head);
        }
    }
    Ok(heads)
}

/// The controllers' directories hold their namespaces: `nvmeXcNnY` with native multipath, else `nvmeXnY` itself.
fn paths(
    root: &Root,
    controllers: &[Controller],
) -> Result<BTreeMap<HeadName, Vec<ControllerName>>, CallError> {
    let mut paths: BTreeMap<HeadName, Vec<ControllerName>> = BTreeMap::new();
    for controller in controllers {
        for entry in root.list(controller::path(controller.name, ""))? {
            if let Some(head) = head_of(&entry) {
                paths.entry(head).or_default().push(controller.name);
            }
        }
    }
    Ok(paths)
}

fn head_of(entry: &str) -> Option<HeadName> {
    HeadName::of_path(entry).map(|(head, _)| head).or_else(|| entry.parse().ok())
}

fn read_head(
    root: &Root,
    name: HeadName,
    paths: Vec<ControllerName>,
    controllers: &[Controller],
) -> Result<Option<NamespaceHead>, CallError> {
    let text = |file: &str| {
        let text = root.read_if_there(format!("{BLOCK}/{name}/{file}"));
        text.map(|text| text.unwrap_or_default().trim().to_owned())
    };
    let (Ok(dev), Ok(sectors)) = (text("dev")?.parse::<DevNum>(), text("size")?.parse::<u64>()) else {
        return Ok(None);
    };
    let first = paths.first().and_then(|path| controllers.iter().find(|each| each.name == *path));
    Ok(Some(NamespaceHead {
        name,
        dev,
        nsid: text("nsid")?.parse().ok(),
        uuid: read_uuid(&text("uuid")?),
        nguid: read_uuid(&text("nguid")?).map(Nguid::from_uuid),
        wwid: text("wwid")?,
        size_bytes: sectors.saturating_mul(SYSFS_SECTOR_BYTES),
        logical_block_size: text("queue/logical_block_size")?.parse().unwrap_or(512),
        subsysnqn: subsysnqn(root, name, first)?,
        serial: first.map(|each| each.serial.clone()).unwrap_or_default(),
        model: first.map(|each| each.model.clone()).unwrap_or_default(),
        transport: first.map(|each| each.transport.clone()),
        paths,
    }))
}

/// All zero means "not set"; `uuid` shows the NGUID where there is no UUID (`uuid_show`).
fn read_uuid(text: &str) -> Option<Uuid> {
    parse_uuid("namespace id", text).ok().filter(|uuid| !uuid.is_nil())
}

/// A multipath head hangs from its subsystem object, a plain namespace from its controller.
fn subsysnqn(root: &Root, name: HeadName, first: Option<&Controller>) -> Result<String, CallError> {
    let parent = root.link_name(format!("{BLOCK}/{name}/device")).unwrap_or_default();
    let of_subsystem =
        if parent.starts_with("nvme-subsys") { controller::subsystem_nqn(root, &parent)? } else { None };
    let of_controller = || first.map(|each| each.subsysnqn.clone()).unwrap_or_default();
    Ok(of_subsystem.unwrap_or_else(of_controller))
}
