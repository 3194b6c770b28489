//! What a lab consists of: nodes, drives, addresses. Written once into the lab's directory, read by everybody.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The most nodes a lab can have.
pub const MAX_NODES: u8 = 9;

/// The host's side of the lab network, where etcd listens.
pub const ETCD_ADDRESS: &str = "10.77.0.254";

/// etcd's client port.
pub const ETCD_PORT: u16 = 2379;

/// Where pods find the API server: the first address of [`SERVICES`], which is an address of the host's side too. No other Service can be
/// reached: there is no kube-proxy.
pub const API_SERVICE_ADDRESS: &str = "10.96.0.1";

/// The range of Services' addresses.
pub const SERVICES: &str = "10.96.0.0/16";

/// The image with a shell that pods of scenarios are made of: a name that no registry answers to.
pub const SHELL_IMAGE: &str = "localhost/shell:1";

/// The name under which the host's side takes part in the network.
pub const ETCD: &str = "etcd";

/// Link MTU in bytes. Large, because emulated guests pay per packet and not per byte.
pub const MTU: u32 = 65_000;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A whole lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// Name of the lab.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<NodeSpec>,
    /// How guests run on this host.
    pub accel: Accel,
    /// The stock kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The root disk all guests share.
    pub root: PathBuf,
    /// Directory whose content the guests see at `/opt/mdfabric`.
    pub payload: PathBuf,
    /// Link MTU in bytes.
    pub mtu: u32,
    /// What a lab with Kubernetes has more.
    pub kube: Option<KubeSpec>,
}

/// What makes a lab one with Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeSpec {
    /// Directory of the control plane's programs, and of kubectl.
    pub programs: PathBuf,
    /// etcd, of the version that the API server is made for.
    pub etcd: PathBuf,
    /// The disk with what its nodes need, never written: guests run on a throw-away overlay.
    pub disk: PathBuf,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Name and host name: `node-1`.
    pub name: String,
    /// Position in the network, from 1.
    pub index: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// Its `NVMe` drives.
    pub drives: Vec<DriveSpec>,
    /// Boot systemd instead of the small init.
    pub systemd: bool,
}

/// One `NVMe` drive, a sparse file on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveSpec {
    /// Serial number: `node-1-a`.
    pub serial: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Logical block size in bytes: 512 or 4096.
    pub block_size: u32,
}

/// How guests are executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accel {
    /// QEMU's `-accel` value.
    pub accel: String,
    /// QEMU's `-cpu` value.
    pub cpu: String,
}

impl Accel {
    /// Hardware virtualization.
    #[must_use]
    pub fn kvm() -> Self {
        Self { accel: "kvm".into(), cpu: "host".into() }
    }

    /// Emulation. A plain processor model: a richer one makes guests use instructions that are slow to emulate. Without `cmpxchg16b`:
    /// QEMU before 8.0 makes its flags of whatever it computed last (`helper_cmpxchg16b`, `target/i386/tcg/mem_helper.c`, reads a `cc_op`
    /// that `gen_lea_modrm` does not bring up to date), and an interrupt right behind it ends in a double fault. The kernel's allocator
    /// uses it all the time.
    ///
    /// 512 MiB of translated code: with 128 the whole of it is thrown away every few seconds of a busy guest.
    #[must_use]
    pub fn tcg() -> Self {
        Self { accel: "tcg,thread=multi,tb-size=512".into(), cpu: "Nehalem,-cx16".into() }
    }

    /// Whether guests run at the processor's own speed.
    #[must_use]
    pub fn is_kvm(&self) -> bool {
        self.accel.starts_with("kvm")
    }
}

impl NodeSpec {
    /// The usual node: one processor, 768 MiB, drives `a` and `b` of 4 GiB.
    #[must_use]
    pub fn usual(index: u8) -> Self {
        let name = node_name(index);
        let drives = ["a", "b"].map(|letter| DriveSpec::usual(&name, letter)).to_vec();
        Self { name, index, memory_mib: 768, cpus: 1, drives, systemd: false }
    }

    /// The usual node of Kubernetes: the kubelet, containerd and the chart's pods take about 400 MiB more.
    #[must_use]
    pub fn of_kubernetes(index: u8) -> Self {
        Self { memory_mib: 1152, ..Self::usual(index) }
    }

    /// Its address in the lab network.
    #[must_use]
    pub fn address(&self) -> String {
        node_address(self.index)
    }

    /// The range of its pods' addresses.
    #[must_use]
    pub fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.index)
    }
}

impl DriveSpec {
    /// A drive as every node has them.
    #[must_use]
    pub fn usual(node: &str, letter: &str) -> Self {
        Self { serial: format!("{node}-{letter}"), bytes: 4 * GIB, block_size: 512 }
    }
}

/// Size of a node's persistent state disk in bytes.
pub const STATE_BYTES: u64 = 512 * MIB;

/// `node-1` for 1.
#[must_use]
pub fn node_name(index: u8) -> String {
    format!("node-{index}")
}

/// `10.77.0.1` for 1.
#[must_use]
pub fn node_address(index: u8) -> String {
    format!("10.77.0.{index}")
}

impl LabSpec {
    /// Reads the spec of the lab in `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("lab.json");
        let text = fs::read_to_string(&path).with_context(|| format!("no lab in {}", dir.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the spec into the lab's directory.
    pub fn save(&self, dir: &Path) -> Result<()> {
        Ok(fs::write(dir.join("lab.json"), serde_json::to_vec_pretty(self)?)?)
    }

    /// The node called `name`.
    pub fn node(&self, name: &str) -> Result<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name).with_context(|| {
            let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            format!("no node {name} in lab {}: it has {}", self.name, names.join(", "))
        })
    }
}

/// The directory of a lab that has the disks of all nodes.
pub const DISKS: &str = "disks";

/// The files of one node.
#[derive(Debug, Clone)]
pub struct NodeFiles {
    dir: PathBuf,
    disks: PathBuf,
}

impl NodeFiles {
    /// The files of `node` in the lab at `lab_dir`.
    #[must_use]
    pub fn of(lab_dir: &Path, node: &str) -> Self {
        Self { dir: lab_dir.join(node), disks: lab_dir.join(DISKS).join(node) }
    }

    /// The node's own directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its disks are: seen by the lab's own processes only.
    #[must_use]
    pub fn disks(&self) -> &Path {
        &self.disks
    }

    /// The image of the drive `serial`.
    #[must_use]
    pub fn drive(&self, serial: &str) -> PathBuf {
        self.disks.join(format!("{serial}.img"))
    }

    /// The persistent state disk.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.disks.join("state.img")
    }

    /// The guest agent's socket.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.dir.join("agent.sock")
    }

    /// QEMU's own control socket.
    #[must_use]
    pub fn qmp(&self) -> PathBuf {
        self.dir.join("qmp.sock")
    }

    /// The console's socket.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.dir.join("console.sock")
    }

    /// What the console showed.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// What QEMU itself said.
    #[must_use]
    pub fn qemu_log(&self) -> PathBuf {
        self.dir.join("qemu.log")
    }

    /// What the guest wrote to this one of its log ports.
    #[must_use]
    pub fn ack_log(&self, port: usize) -> PathBuf {
        self.dir.join(format!("mdfabric-{port}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_node_has_two_drives_with_its_name() {
        let node = NodeSpec::usual(2);
        let serials: Vec<&str> = node.drives.iter().map(|drive| drive.serial.as_str()).collect();
        assert_eq!(serials, ["node-2-a", "node-2-b"]);
        assert_eq!(node.address(), "10.77.0.2");
    }
}
