//! The configuration file: TOML, and nothing in it that is not known.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{ConfigError, Layer, LogFormat};
use crate::domain::{Bytes, NodeName};

/// The file's keys.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    node: Option<NodeName>,
    data_address: Option<IpAddr>,
    data_port: Option<u16>,
    peer_silent_millis: Option<u64>,
    socket: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    forbid_exec: Option<bool>,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    recorder: Recorder,
    #[serde(default)]
    log: Log,
}

/// `[store]`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Store {
    local: Option<PathBuf>,
    etcd: Option<Vec<String>>,
    prefix: Option<String>,
    kubernetes: Option<String>,
    namespace: Option<String>,
}

/// `[recorder]`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Recorder {
    dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "size")]
    size: Option<Bytes>,
}

/// `"8MiB"`: with a unit, as on the command line.
fn size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Bytes>, D::Error> {
    String::deserialize(value)?.parse().map(Some).map_err(serde::de::Error::custom)
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Log {
    filter: Option<String>,
    format: Option<LogFormat>,
}

/// A file that has to be there.
pub(super) fn read(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// A file that need not be there.
pub(super) fn read_if_there(path: &Path) -> Result<Layer, ConfigError> {
    match read(path) {
        Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Layer::default()),
        read => read,
    }
}

/// What a file's text says.
pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| located(path, text, &error))?;
    Ok(Layer {
        node: file.node,
        data_address: file.data_address,
        data_port: file.data_port,
        peer_silent_millis: file.peer_silent_millis,
        socket: file.socket,
        state_dir: file.state_dir,
        store_local: file.store.local,
        store_etcd: file.store.etcd,
        store_prefix: file.store.prefix,
        store_kubernetes: file.store.kubernetes,
        store_namespace: file.store.namespace,
        recorder_dir: file.recorder.dir,
        recorder_size: file.recorder.size,
        log_filter: file.log.filter,
        log_format: file.log.format,
        forbid_exec: file.forbid_exec,
        death: None,
    })
}

fn located(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().unwrap_or(Range { start: 0, end: 0 }).start;
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let message = error.message().trim().replace('\n', ", ");
    ConfigError::File { path: path.to_owned(), line, key: key_on(text, line), message }
}

/// The key that a line sets.
fn key_on(text: &str, line: usize) -> String {
    let key = text.lines().nth(line.saturating_sub(1)).and_then(|line| line.split_once('='));
    key.map(|(key, _)| format!("{}: ", key.trim())).unwrap_or_default()
}
