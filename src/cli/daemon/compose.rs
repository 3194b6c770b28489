//! The one place where ports meet what is behind them.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::api::server::Check;
use crate::cli::failure::Failure;
use crate::config::{Config, StoreConfig};
use crate::daemon::Identity;
use crate::domain::Endpoint;
use crate::kernel::{self, NodeKernel};
use crate::ports::{Kernel, Store};
use crate::store::LocalStore;
use crate::store::etcd::EtcdStore;

/// Everything the daemon is started with.
pub(super) struct Parts {
    pub(super) identity: Identity,
    pub(super) store: Arc<dyn Store>,
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) events: mpsc::Receiver<()>,
}

/// Opens the store, gets the kernel ready, and says who this node is.
pub(super) async fn compose(config: &Config) -> Result<Parts, Failure> {
    let store = store(&config.store).await?;
    let checks = kernel::load_modules();
    complain(&checks);
    let kernel = NodeKernel::new();
    let events = kernel::events(&kernel).map_err(|error| {
        Failure::caused("the kernel's events cannot be watched", "run the daemon as root", error)
    })?;
    let endpoint = Endpoint { address: config.data_address.to_string(), port: config.data_port };
    let status = kernel::report(&config.node, endpoint, &checks);
    let identity = Identity { name: config.node.clone(), status };
    Ok(Parts { identity, store, kernel: Arc::new(kernel), events })
}

/// What is missing is said by name before anything else is tried.
fn complain(checks: &[kernel::Check]) {
    for check in checks.iter().filter(|check| !check.ok && check.required) {
        tracing::error!(what = check.name, why = check.detail, "this node lacks something it needs");
    }
}

/// `execve` fails from here on, in this process and for ever.
pub(super) fn forbid_exec() -> Result<(), Failure> {
    kernel_abi::seccomp::forbid_exec().map_err(|error| {
        let message = "the right to run programs could not be given up";
        Failure::caused(
            message,
            "a kernel with CONFIG_SECCOMP_FILTER is needed; forbid-exec = false does without",
            error,
        )
    })
}

async fn store(config: &StoreConfig) -> Result<Arc<dyn Store>, Failure> {
    match config {
        StoreConfig::Local(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path)).await;
            Ok(Arc::new(
                opened.map_err(|error| Failure::caused("the store could not be opened", "", error))??,
            ))
        }
        StoreConfig::Etcd { endpoints, prefix } => Ok(Arc::new(EtcdStore::connect(endpoints, prefix).await?)),
    }
}

/// What this machine's kernel has and lacks.
pub(super) fn preflight() -> Vec<Check> {
    let check = |check: kernel::Check| Check {
        name: check.name,
        ok: check.ok || !check.required,
        detail: check.detail,
    };
    kernel::preflight().into_iter().map(check).collect()
}
