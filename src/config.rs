//! The configuration of a node: file < environment < flags. Every value is checked where it comes in, and an error
//! names the place: the line of the file, the variable, the flag.

mod death;
mod environment;
mod file;
mod store;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::{Bytes, NodeName};
pub use death::Death;

/// Where the file is unless a flag or `MDFABRIC_CONFIG` says otherwise.
pub const DEFAULT_FILE: &str = "/etc/mdfabric/mdfabric.toml";
/// Where the daemon answers.
pub const DEFAULT_SOCKET: &str = "/run/mdfabric/mdfabric.sock";
/// Where the daemon keeps what has to survive it.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/mdfabric";
/// The TCP port of the NVMe-oF target.
pub const DEFAULT_DATA_PORT: u16 = 4420;
/// How much of the disk the flight recorder may take.
pub const DEFAULT_RECORDER_SIZE: Bytes = Bytes::mib(8);
/// Where in the state directory its files are.
const RECORDER: &str = "recorder";
/// The smallest and the largest flight recorder.
const RECORDER_SIZES: [Bytes; 2] = [Bytes::mib(1), Bytes::gib(1)];
/// The shortest and the longest silence of a node that may be borne, ms: below it a lost datagram or two would count, and above
/// it the store knows sooner.
const PEER_SILENCES: [u64; 2] = [300, 10_000];
/// What is logged.
pub const DEFAULT_LOG_FILTER: &str = "info";

/// Everything a node has to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Its name in the cluster.
    pub node: NodeName,
    /// The address its NVMe-oF target listens on.
    pub data_address: IpAddr,
    /// The port its NVMe-oF target listens on.
    pub data_port: u16,
    /// Milliseconds without a heartbeat after which another node counts as silent; as many as the machines are made for if not set.
    pub peer_silent_millis: Option<u64>,
    /// Where the daemon answers.
    pub socket: PathBuf,
    /// Where the daemon keeps what has to survive it.
    pub state_dir: PathBuf,
    /// Where records live.
    pub store: StoreConfig,
    /// Where the flight recorder's files are.
    pub recorder_dir: PathBuf,
    /// How large they may get together.
    pub recorder_size: Bytes,
    /// What is logged, in the language of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The process gives up the right to run programs before it does anything else.
    pub forbid_exec: bool,
    /// Tests only: where the daemon kills itself.
    pub death: Option<Death>,
}

/// Where records live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreConfig {
    /// In a file of this node; the cluster is this node alone.
    Local(PathBuf),
    /// In etcd.
    Etcd {
        /// `http://host:port` of each member.
        endpoints: Vec<String>,
        /// What every key begins with; empty for none.
        prefix: String,
    },
    /// As objects of Kubernetes.
    Kubernetes {
        /// Says where the API server is; `None`: the one of the cluster that the daemon is a pod of.
        kubeconfig: Option<PathBuf>,
        /// Where its leases are; `None`: where the daemon is a pod, or what the kubeconfig says.
        namespace: Option<String>,
    },
}

impl Config {
    /// For other eyes: as JSON, without the passwords that endpoints may carry.
    pub fn shown(&self) -> Result<String, serde_json::Error> {
        let mut shown = self.clone();
        if let StoreConfig::Etcd { endpoints, .. } = &mut shown.store {
            for url in endpoints {
                *url = without_password(url);
            }
        }
        serde_json::to_string_pretty(&shown)
    }
}

/// `http://user:password@host` without what stands before the host.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// To the journal when systemd reads our output, else as text.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
    /// To the journal, with fields.
    Journald,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journald" => Ok(Self::Journald),
            _ => Err(format!("{text:?} is not a log format: use auto, text, json or journald")),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file says something that is not allowed.
    #[error("configuration file {path}, line {line}: {key}{message}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with a colon after it; empty where the line is none.
        key: String,
        /// What is wrong there.
        message: String,
    },
    /// A variable says something that is not allowed.
    #[error("environment variable {variable}: {message}")]
    Environment {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
    /// The values do not go together, or one is missing.
    #[error("configuration key {key}: {message}")]
    Value {
        /// The key, as the file calls it.
        key: &'static str,
        /// What is wrong, and what to set.
        message: String,
    },
}

/// What one place says; what it does not say comes from the place below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// `node`
    pub node: Option<NodeName>,
    /// `data-address`
    pub data_address: Option<IpAddr>,
    /// `data-port`
    pub data_port: Option<u16>,
    /// `peer-silent-millis`
    pub peer_silent_millis: Option<u64>,
    /// `socket`
    pub socket: Option<PathBuf>,
    /// `state-dir`
    pub state_dir: Option<PathBuf>,
    /// `store.local`
    pub store_local: Option<PathBuf>,
    /// `store.etcd`
    pub store_etcd: Option<Vec<String>>,
    /// `store.prefix`
    pub store_prefix: Option<String>,
    /// `store.kubernetes`
    pub store_kubernetes: Option<String>,
    /// `store.namespace`
    pub store_namespace: Option<String>,
    /// `recorder.dir`
    pub recorder_dir: Option<PathBuf>,
    /// `recorder.size`
    pub recorder_size: Option<Bytes>,
    /// `log.filter`
    pub log_filter: Option<String>,
    /// `log.format`
    pub log_format: Option<LogFormat>,
    /// `forbid-exec`
    pub forbid_exec: Option<bool>,
    /// `MDFABRIC_TEST_DIE`; no other place says it
    pub death: Option<Death>,
}

impl Layer {
    /// This layer where it says something, `below` elsewhere. A store named here hides one named below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let hides =
            self.store_local.is_some() || self.store_etcd.is_some() || self.store_kubernetes.is_some();
        let (local, etcd, kubernetes) = if hides {
            (None, None, None)
        } else {
            (below.store_local, below.store_etcd, below.store_kubernetes)
        };
        Self {
            node: self.node.or(below.node),
            data_address: self.data_address.or(below.data_address),
            data_port: self.data_port.or(below.data_port),
            peer_silent_millis: self.peer_silent_millis.or(below.peer_silent_millis),
            socket: self.socket.or(below.socket),
            state_dir: self.state_dir.or(below.state_dir),
            store_local: self.store_local.or(local),
            store_etcd: self.store_etcd.or(etcd),
            store_prefix: self.store_prefix.or(below.store_prefix),
            store_kubernetes: self.store_kubernetes.or(kubernetes),
            store_namespace: self.store_namespace.or(below.store_namespace),
            recorder_dir: self.recorder_dir.or(below.recorder_dir),
            recorder_size: self.recorder_size.or(below.recorder_size),
            log_filter: self.log_filter.or(below.log_filter),
            log_format: self.log_format.or(below.log_format),
            forbid_exec: self.forbid_exec.or(below.forbid_exec),
            death: self.death.or(below.death),
        }
    }

    /// The whole configuration. `hostname` stands in for the node's name.
    pub fn finish(self, hostname: &str) -> Result<Config, ConfigError> {
        let state_dir = absolute("state-dir", self.state_dir, DEFAULT_STATE_DIR)?;
        let store = match self.store_kubernetes {
            Some(_) if self.store_local.is_some() || self.store_etcd.is_some() => {
                return Err(wrong("store", "kubernetes and another one are set: choose one"));
            }
            Some(place) => store::kubernetes(&place, self.store_namespace)?,
            None => store::store(self.store_local, self.store_etcd, self.store_prefix, &state_dir)?,
        };
        Ok(Config {
            node: node(self.node, hostname)?,
            data_address: data_address(self.data_address, &store)?,
            data_port: data_port(self.data_port)?,
            peer_silent_millis: peer_silent_millis(self.peer_silent_millis)?,
            socket: absolute("socket", self.socket, DEFAULT_SOCKET)?,
            recorder_dir: recorder_dir(self.recorder_dir, &state_dir)?,
            recorder_size: recorder_size(self.recorder_size)?,
            state_dir,
            store,
            log_filter: self.log_filter.unwrap_or_else(|| DEFAULT_LOG_FILTER.to_owned()),
            log_format: self.log_format.unwrap_or_default(),
            forbid_exec: self.forbid_exec.unwrap_or(true),
            death: self.death,
        })
    }
}

/// Reads the configuration. `file` is the one a flag or variable named; the default one need not be there.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: Layer,
    hostname: &str,
) -> Result<Config, ConfigError> {
    let below = match file {
        Some(path) => file::read(path)?,
        None => file::read_if_there(Path::new(DEFAULT_FILE))?,
    };
    flags.over(environment::layer(variables)?).over(below).finish(hostname)
}

/// Where the daemon of this machine answers, as far as its configuration file can be read.
#[must_use]
pub fn socket() -> PathBuf {
    let file = file::read_if_there(Path::new(DEFAULT_FILE)).unwrap_or_default();
    file.socket.unwrap_or_else(|| DEFAULT_SOCKET.into())
}

/// Where the flight recorder of this machine is, as far as its configuration file can be read.
#[must_use]
pub fn recorder() -> PathBuf {
    let file = file::read_if_there(Path::new(DEFAULT_FILE)).unwrap_or_default();
    let state_dir = file.state_dir.unwrap_or_else(|| DEFAULT_STATE_DIR.into());
    file.recorder_dir.unwrap_or_else(|| state_dir.join(RECORDER))
}

fn wrong(key: &'static str, message: impl std::fmt::Display) -> ConfigError {
    ConfigError::Value { key, message: message.to_string() }
}

fn node(given: Option<NodeName>, hostname: &str) -> Result<NodeName, ConfigError> {
    let from_host = || {
        hostname
            .parse()
            .map_err(|error| wrong("node", format_args!("not set, and the host's name will not do: {error}")))
    };
    given.map_or_else(from_host, Ok)
}

fn absolute(key: &'static str, given: Option<PathBuf>, default: &str) -> Result<PathBuf, ConfigError> {
    let path = given.unwrap_or_else(|| default.into());
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(wrong(key, format_args!("{:?} is not an absolute path", path.display().to_string())))
    }
}

fn recorder_dir(given: Option<PathBuf>, state_dir: &Path) -> Result<PathBuf, ConfigError> {
    absolute("recorder.dir", Some(given.unwrap_or_else(|| state_dir.join(RECORDER))), "")
}

fn recorder_size(given: Option<Bytes>) -> Result<Bytes, ConfigError> {
    let size = given.unwrap_or(DEFAULT_RECORDER_SIZE);
    let [smallest, largest] = RECORDER_SIZES;
    if (smallest..=largest).contains(&size) {
        Ok(size)
    } else {
        Err(wrong("recorder.size", format_args!("{size} is not between {smallest} and {largest}")))
    }
}

fn data_port(given: Option<u16>) -> Result<u16, ConfigError> {
    match given.unwrap_or(DEFAULT_DATA_PORT) {
        0 => Err(wrong("data-port", "0 is no port others could connect to: use 1 to 65535")),
        port => Ok(port),
    }
}

fn peer_silent_millis(given: Option<u64>) -> Result<Option<u64>, ConfigError> {
    let [shortest, longest] = PEER_SILENCES;
    match given {
        Some(millis) if !(shortest..=longest).contains(&millis) => {
            Err(wrong("peer-silent-millis", format_args!("{millis} is not between {shortest} and {longest}")))
        }
        allowed => Ok(allowed),
    }
}

/// Other nodes connect to this address: a cluster cannot do without, a single node uses the loopback.
fn data_address(given: Option<IpAddr>, store: &StoreConfig) -> Result<IpAddr, ConfigError> {
    match (given, store) {
        (Some(address), _) if address.is_unspecified() || address.is_multicast() => {
            Err(wrong("data-address", format_args!("{address} is not the address of one host")))
        }
        (Some(address), _) => Ok(address),
        (None, StoreConfig::Local(_)) => Ok(Ipv4Addr::LOCALHOST.into()),
        (None, StoreConfig::Etcd { .. } | StoreConfig::Kubernetes { .. }) => {
            Err(wrong("data-address", "not set: give the IP address other nodes reach this one at"))
        }
    }
}
