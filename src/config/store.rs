//! Where records live, checked.

use std::path::{Path, PathBuf};

use super::{ConfigError, StoreConfig, absolute, wrong};

pub(super) fn store(
    local: Option<PathBuf>,
    etcd: Option<Vec<String>>,
    prefix: Option<String>,
    state_dir: &Path,
) -> Result<StoreConfig, ConfigError> {
    match (local, etcd) {
        (Some(_), Some(_)) => Err(wrong("store", "both local and etcd are set: choose one")),
        (None, Some(endpoints)) => {
            check_endpoints(&endpoints)?;
            Ok(StoreConfig::Etcd { endpoints, prefix: prefix.unwrap_or_default() })
        }
        (local, None) => {
            let path = local.unwrap_or_else(|| state_dir.join("store.redb"));
            absolute("store.local", Some(path), "").map(StoreConfig::Local)
        }
    }
}

/// What `store.kubernetes` says for the cluster that the daemon is a pod of.
const IN_CLUSTER: &str = "in-cluster";

pub(super) fn kubernetes(place: &str, namespace: Option<String>) -> Result<StoreConfig, ConfigError> {
    let kubeconfig = match place {
        IN_CLUSTER => None,
        path if Path::new(path).is_absolute() => Some(PathBuf::from(path)),
        other => {
            let message = format_args!("{other:?}: use {IN_CLUSTER}, or the absolute path of a kubeconfig");
            return Err(wrong("store.kubernetes", message));
        }
    };
    match namespace {
        Some(name) if name.is_empty() || name.contains(['/', '.', ' ']) => {
            Err(wrong("store.namespace", format_args!("{name:?} is no name of a namespace")))
        }
        namespace => Ok(StoreConfig::Kubernetes { kubeconfig, namespace }),
    }
}

fn check_endpoints(endpoints: &[String]) -> Result<(), ConfigError> {
    let is_url = |text: &str| {
        text.strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    };
    if endpoints.is_empty() {
        return Err(wrong("store.etcd", "the list is empty: give at least one http://HOST:PORT"));
    }
    match endpoints.iter().find(|text| !is_url(text)) {
        Some(bad) => Err(wrong("store.etcd", format_args!("{bad:?} is not of the form http://HOST:PORT"))),
        None => Ok(()),
    }
}
