//! The environment: `MDFABRIC_` and the key in capitals.

use std::str::FromStr;

use super::{ConfigError, Layer};

const PREFIX: &str = "MDFABRIC_";
/// Variables that Kubernetes sets for a Service called mdfabric.
const OF_KUBERNETES: [&str; 2] = ["SERVICE_", "PORT"];
/// Variables that are read elsewhere.
const ELSEWHERE: [&str; 2] = ["CONFIG", "OUTPUT"];

/// What the environment says. Variables of ours that nobody knows are errors: a misspelt one would be missed silently.
pub(super) fn layer(variables: impl IntoIterator<Item = (String, String)>) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (variable, value) in variables {
        if let Some(key) = variable.strip_prefix(PREFIX) {
            set(&mut layer, key, &value)
                .map_err(|message| ConfigError::Environment { variable: variable.clone(), message })?;
        }
    }
    Ok(layer)
}

fn set(layer: &mut Layer, key: &str, value: &str) -> Result<(), String> {
    match key {
        "NODE" => layer.node = Some(parsed(value)?),
        "DATA_ADDRESS" => layer.data_address = Some(parsed(value)?),
        "DATA_PORT" => layer.data_port = Some(parsed(value)?),
        "PEER_SILENT_MILLIS" => layer.peer_silent_millis = Some(parsed(value)?),
        "SOCKET" => layer.socket = Some(parsed(value)?),
        "STATE_DIR" => layer.state_dir = Some(parsed(value)?),
        "STORE_LOCAL" => layer.store_local = Some(parsed(value)?),
        "STORE_ETCD" => layer.store_etcd = Some(value.split(',').map(|url| url.trim().to_owned()).collect()),
        "STORE_PREFIX" => layer.store_prefix = Some(value.to_owned()),
        "STORE_KUBERNETES" => layer.store_kubernetes = Some(parsed(value)?),
        "STORE_NAMESPACE" => layer.store_namespace = Some(parsed(value)?),
        "RECORDER_DIR" => layer.recorder_dir = Some(parsed(value)?),
        "RECORDER_SIZE" => layer.recorder_size = Some(parsed(value)?),
        "LOG_FILTER" => layer.log_filter = Some(value.to_owned()),
        "LOG_FORMAT" => layer.log_format = Some(parsed(value)?),
        "FORBID_EXEC" => layer.forbid_exec = Some(parsed(value)?),
        "TEST_DIE" => layer.death = Some(parsed(value)?),
        other if ELSEWHERE.contains(&other) => {}
        other if OF_KUBERNETES.iter().any(|prefix| other.starts_with(prefix)) => {}
        _ => return Err("there is no such setting".to_owned()),
    }
    Ok(())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(value: &str) -> Result<T, String> {
    if value.is_empty() {
        return Err("is empty: give it a value or unset it".to_owned());
    }
    value.parse().map_err(|error| format!("{value:?}: {error}"))
}
