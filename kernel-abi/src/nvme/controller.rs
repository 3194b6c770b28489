//! `/sys/class/nvme`: the controllers of this host, local and connected (`drivers/nvme/host/sysfs.c`).

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use super::ids::{ControllerName, Timeout, parse_uuid};
use crate::{CallError, Root};

const CLASS: &str = "sys/class/nvme";
const SUBSYSTEM_CLASS: &str = "sys/class/nvme-subsystem";

/// One controller. Text fields are empty where the kernel has none; whatever comes from the device is only text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// `nvmeN`.
    pub name: ControllerName,
    /// The kernel's subsystem object, `nvme-subsysX`, that it is a path to. `None` for discovery controllers and
    /// while the controller connects for the first time.
    pub subsystem: Option<String>,
    /// NQN of the subsystem.
    pub subsysnqn: String,
    /// Where it is in its life.
    pub state: ControllerState,
    /// What it travels on.
    pub transport: Transport,
    /// Where its other end is.
    pub address: Address,
    /// The host NQN it was connected with; fabrics only.
    pub hostnqn: Option<String>,
    /// The host id it was connected with; fabrics only.
    pub hostid: Option<Uuid>,
    /// Serial number, trailing spaces removed.
    pub serial: String,
    /// Model, trailing spaces removed.
    pub model: String,
    /// Firmware revision, trailing spaces removed.
    pub firmware: String,
    /// The number that the target gave it.
    pub cntlid: Option<u16>,
}

/// Where a controller is in its life (`nvme_sysfs_show_state`). Not notified: sample it.
///
/// ```text
/// new ──> live <──> resetting ──> connecting ──> live
///           └───────────┴────────────┴──> deleting ──> deleting (no IO) ──> gone, or dead
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControllerState {
    /// Being set up for the first time.
    New,
    /// In use.
    Live,
    /// Being torn down to be connected again.
    Resetting,
    /// Lost; tries to connect again. I/O is held or failed as `fast_io_fail_tmo` says.
    Connecting,
    /// Being removed.
    Deleting,
    /// Being removed and past the last I/O.
    DeletingNoIo,
    /// Given up.
    Dead,
    /// A word that this crate does not know.
    Unknown(String),
}

impl ControllerState {
    fn parse(text: &str) -> Self {
        match text {
            "new" => Self::New,
            "live" => Self::Live,
            "resetting" => Self::Resetting,
            "connecting" => Self::Connecting,
            "deleting" => Self::Deleting,
            "deleting (no IO)" => Self::DeletingNoIo,
            "dead" => Self::Dead,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for ControllerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Live => "live",
            Self::Resetting => "resetting",
            Self::Connecting => "connecting",
            Self::Deleting => "deleting",
            Self::DeletingNoIo => "deleting (no IO)",
            Self::Dead => "dead",
            Self::Unknown(word) => word,
        })
    }
}

/// What a controller travels on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A local drive.
    Pcie,
    /// nvme-tcp.
    Tcp,
    /// nvme-rdma.
    Rdma,
    /// Fibre channel.
    Fc,
    /// nvme-loop: a target on the same host.
    Loop,
    /// Any other (`apple-nvme`).
    Other(String),
}

impl Transport {
    fn parse(text: &str) -> Self {
        match text {
            "pcie" => Self::Pcie,
            "tcp" => Self::Tcp,
            "rdma" => Self::Rdma,
            "fc" => Self::Fc,
            "loop" => Self::Loop,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether it leads to a drive in this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        *self == Self::Pcie
    }
}

/// The `address` attribute: a bus address, or fields such as `traddr=10.0.0.2,trsvcid=4420,src_addr=10.0.0.1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The attribute as it stands.
    pub text: String,
    /// Target address, as it was written on connect.
    pub traddr: Option<String>,
    /// Target port.
    pub trsvcid: Option<String>,
}

impl Address {
    fn parse(text: &str) -> Self {
        let field = |key: &str| {
            let mut fields = text.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
        };
        Self { text: text.to_owned(), traddr: field("traddr"), trsvcid: field("trsvcid") }
    }

    /// Target address and port where both are plain numbers (no IPv6 scope).
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.traddr.as_deref()?.parse().ok()?;
        Some(SocketAddr::new(ip, self.trsvcid.as_deref()?.parse().ok()?))
    }
}

/// All controllers, by number. One that goes away while it is read is left out.
pub fn controllers(root: &Root) -> Result<Vec<Controller>, CallError> {
    let subsystems = subsystem_links(root)?;
    let mut found = Vec::new();
    for name in names(root)? {
        let subsystem = subsystems.iter().find(|(_, controller)| *controller == name);
        if let Some(controller) = read_controller(root, name, subsystem.map(|(name, _)| name.clone()))? {
            found.push(controller);
        }
    }
    Ok(found)
}

/// The controllers' names, by number. Other entries of the class are passed over.
pub(super) fn names(root: &Root) -> Result<Vec<ControllerName>, CallError> {
    let mut names: Vec<_> = root.list(CLASS)?.iter().filter_map(|name| name.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// Which subsystem object has a link to which controller (`nvme_init_subsystem` makes it).
fn subsystem_links(root: &Root) -> Result<Vec<(String, ControllerName)>, CallError> {
    let mut links = Vec::new();
    for subsystem in root.list(SUBSYSTEM_CLASS)? {
        let entries = root.list(format!("{SUBSYSTEM_CLASS}/{subsystem}"))?;
        let controllers = entries.iter().filter_map(|entry| entry.parse().ok());
        links.extend(controllers.map(|controller| (subsystem.clone(), controller)));
    }
    Ok(links)
}

fn read_controller(
    root: &Root,
    name: ControllerName,
    subsystem: Option<String>,
) -> Result<Option<Controller>, CallError> {
    // `state` is there for the whole life of the directory; it decides whether the controller still is.
    let Some(state) = attribute(root, name, "state")? else { return Ok(None) };
    let text = |file| attribute(root, name, file).map(Option::unwrap_or_default);
    Ok(Some(Controller {
        name,
        subsystem,
        subsysnqn: text("subsysnqn")?,
        state: ControllerState::parse(&state),
        transport: Transport::parse(&text("transport")?),
        address: Address::parse(&text("address")?),
        hostnqn: attribute(root, name, "hostnqn")?,
        hostid: attribute(root, name, "hostid")?.and_then(|text| parse_uuid("host id", &text).ok()),
        serial: text("serial")?,
        model: text("model")?,
        firmware: text("firmware_rev")?,
        cntlid: text("cntlid")?.parse().ok(),
    }))
}

fn attribute(root: &Root, name: ControllerName, file: &str) -> Result<Option<String>, CallError> {
    Ok(root.read_if_there(path(name, file))?.map(|text| text.trim().to_owned()))
}

pub(super) fn path(name: ControllerName, file: &str) -> String {
    format!("{CLASS}/{name}/{file}")
}

/// The NQN of the subsystem object `nvme-subsysX`, `None` when there is no such object.
pub(super) fn subsystem_nqn(root: &Root, subsystem: &str) -> Result<Option<String>, CallError> {
    let text = root.read_if_there(format!("{SUBSYSTEM_CLASS}/{subsystem}/subsysnqn"))?;
    Ok(text.map(|text| text.trim().to_owned()))
}

/// The state alone, for sampling; `None` when there is no such controller (any more).
pub fn state(root: &Root, name: ControllerName) -> Result<Option<ControllerState>, CallError> {
    Ok(attribute(root, name, "state")?.map(|text| ControllerState::parse(&text)))
}

/// Removes the controller; its I/O fails upwards. ENOENT: it is gone already.
///
/// Caveat: on a `live` controller whose peer is dead this blocks and holds I/O for 32 to 62 s. Bring it to
/// `connecting` first ([`crate::sock::destroy_tcp`]); then, and with a peer that answers, it takes 70 to 340 ms.
#[doc(alias = "delete_controller")]
pub fn delete(root: &Root, name: ControllerName) -> Result<(), CallError> {
    root.write(path(name, "delete_controller"), "1")
}

/// How long I/O is held while `connecting` before it fails upwards. Takes effect at the next loss.
pub fn set_fast_io_fail_tmo(root: &Root, name: ControllerName, limit: Timeout) -> Result<(), CallError> {
    root.write(path(name, "fast_io_fail_tmo"), &limit.to_string())
}

/// How long the kernel tries to connect again before it removes the controller.
pub fn set_ctrl_loss_tmo(root: &Root, name: ControllerName, limit: Timeout) -> Result<(), CallError> {
    root.write(path(name, "ctrl_loss_tmo"), &limit.to_string())
}

/// Seconds between two attempts to connect again.
pub fn set_reconnect_delay(root: &Root, name: ControllerName, seconds: u32) -> Result<(), CallError> {
    root.write(path(name, "reconnect_delay"), &seconds.to_string())
}
