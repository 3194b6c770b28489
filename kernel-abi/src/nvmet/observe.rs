//! The target as it stands.

use std::path::PathBuf;

use uuid::Uuid;

use super::{DIRECTORY, PortAddress};
use crate::nvme::{Nguid, Nsid};
use crate::{CallError, Root};

/// Everything that the target of this machine exports, each list in a fixed order. Names are text as found: not
/// everything here need be ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// By id.
    pub ports: Vec<Port>,
    /// By NQN.
    pub subsystems: Vec<Subsystem>,
    /// NQNs of the hosts that are known, allowed or not.
    pub hosts: Vec<String>,
}

impl Target {
    /// The port with this id.
    #[must_use]
    pub fn port(&self, id: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.id == id)
    }

    /// The subsystem with this NQN.
    #[must_use]
    pub fn subsystem(&self, nqn: &str) -> Option<&Subsystem> {
        self.subsystems.iter().find(|subsystem| subsystem.nqn == nqn)
    }

    /// The ports that show this subsystem.
    pub fn ports_of<'a>(&'a self, nqn: &'a str) -> impl Iterator<Item = &'a Port> {
        self.ports.iter().filter(move |port| port.subsystems.iter().any(|linked| linked == nqn))
    }
}

/// Where the target listens. Attributes are text as the kernel shows them, empty where not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub id: u16,
    /// `tcp`, `rdma`, `fc`, `loop`, `pci`.
    pub trtype: String,
    /// `ipv4`, `ipv6`, …
    pub adrfam: String,
    /// Address.
    pub traddr: String,
    /// Port number.
    pub trsvcid: String,
    /// NQNs of the subsystems shown here. None: it does not listen.
    pub subsystems: Vec<String>,
}

impl Port {
    /// Its address, where it is one that [`super::create_port`] could have written.
    #[must_use]
    pub fn address(&self) -> Option<PortAddress> {
        let address = PortAddress {
            transport: self.trtype.parse().ok()?,
            addr: self.traddr.parse().ok()?,
            svc: self.trsvcid.parse().ok()?,
        };
        (address.family() == self.adrfam).then_some(address)
    }
}

/// What hosts connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// Its name.
    pub nqn: String,
    /// Serial number, padding removed.
    pub serial: String,
    /// Model, padding removed.
    pub model: String,
    /// Whether every host may connect.
    pub allow_any_host: bool,
    /// NQNs of the hosts that may connect.
    pub allowed_hosts: Vec<String>,
    /// By namespace id.
    pub namespaces: Vec<ExportedNamespace>,
}

impl Subsystem {
    /// The namespace with this id.
    #[must_use]
    pub fn namespace(&self, nsid: Nsid) -> Option<&ExportedNamespace> {
        self.namespaces.iter().find(|namespace| namespace.nsid == nsid)
    }
}

/// A block device that hosts may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedNamespace {
    /// Its number in the subsystem.
    pub nsid: Nsid,
    /// The backing device. `None`: not set.
    pub device_path: Option<PathBuf>,
    /// As told to hosts. The kernel makes one up where none is set.
    pub uuid: Option<Uuid>,
    /// As told to hosts. `None`: all zero.
    pub nguid: Option<Nguid>,
    /// Whether hosts see it.
    pub enabled: bool,
}

/// Whether the target is there: configfs mounted and `nvmet` loaded.
#[must_use]
pub fn is_available(root: &Root) -> bool {
    root.exists(format!("{DIRECTORY}/subsystems"))
}

/// Reads the whole configuration. What goes away while it is read is left out; without a target there is nothing.
pub fn observe(root: &Root) -> Result<Target, CallError> {
    let mut ports = each(root, &format!("{DIRECTORY}/ports"), read_port)?;
    ports.sort_by_key(|port| port.id);
    let subsystems = each(root, &format!("{DIRECTORY}/subsystems"), read_subsystem)?;
    Ok(Target { ports, subsystems, hosts: root.list(format!("{DIRECTORY}/hosts"))? })
}

/// `read` over the items of `directory`, those that are gone left out.
fn each<T>(
    root: &Root,
    directory: &str,
    read: impl Fn(&Item<'_>, &str) -> Result<Option<T>, CallError>,
) -> Result<Vec<T>, CallError> {
    let mut found = Vec::new();
    for name in root.list(directory)? {
        let item = Item { root, path: format!("{directory}/{name}") };
        found.extend(read(&item, &name)?);
    }
    Ok(found)
}

/// One configfs directory.
struct Item<'a> {
    root: &'a Root,
    path: String,
}

impl Item<'_> {
    /// An attribute, spaces at its ends removed; `None` when it is gone.
    fn text(&self, file: &str) -> Result<Option<String>, CallError> {
        let text = self.root.read_if_there(format!("{}/{file}", self.path))?;
        Ok(text.map(|text| text.trim().to_owned()))
    }

    fn or_empty(&self, file: &str) -> Result<String, CallError> {
        self.text(file).map(Option::unwrap_or_default)
    }

    fn links(&self, group: &str) -> Result<Vec<String>, CallError> {
        self.root.list(format!("{}/{group}", self.path))
    }
}

fn read_port(item: &Item<'_>, name: &str) -> Result<Option<Port>, CallError> {
    let (Ok(id), Some(trtype)) = (name.parse(), item.text("addr_trtype")?) else { return Ok(None) };
    Ok(Some(Port {
        id,
        trtype,
        adrfam: item.or_empty("addr_adrfam")?,
        traddr: item.or_empty("addr_traddr")?,
        trsvcid: item.or_empty("addr_trsvcid")?,
        subsystems: item.links("subsystems")?,
    }))
}

fn read_subsystem(item: &Item<'_>, name: &str) -> Result<Option<Subsystem>, CallError> {
    let Some(any) = item.text("attr_allow_any_host")? else { return Ok(None) };
    let mut namespaces = each(item.root, &format!("{}/namespaces", item.path), read_namespace)?;
    namespaces.sort_by_key(|namespace| namespace.nsid);
    Ok(Some(Subsystem {
        nqn: name.to_owned(),
        serial: item.or_empty("attr_serial")?,
        model: item.or_empty("attr_model")?,
        allow_any_host: any == "1",
        allowed_hosts: item.links("allowed_hosts")?,
        namespaces,
    }))
}

fn read_namespace(item: &Item<'_>, name: &str) -> Result<Option<ExportedNamespace>, CallError> {
    let (Ok(nsid), Some(enabled)) = (name.parse(), item.text("enable")?) else { return Ok(None) };
    // `sprintf("%s")` of a null pointer.
    let path = item.or_empty("device_path")?;
    let path = (!path.is_empty() && path != "(null)").then(|| PathBuf::from(path));
    Ok(Some(ExportedNamespace {
        nsid,
        device_path: path,
        uuid: item.or_empty("device_uuid")?.parse().ok(),
        nguid: item.or_empty("device_nguid")?.parse().ok().filter(|nguid| *nguid != Nguid([0; 16])),
        enabled: enabled == "1",
    }))
}
