//! The one place where ports meet what is behind them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::api::proto;
use crate::cli::failure::Failure;
use crate::config::{Config, StoreConfig};
use crate::daemon::{Identity, MortalKernel};
use crate::domain::Endpoint;
use crate::kernel::{self, NodeKernel};
use crate::plan::Peers;
use crate::ports::{Kernel, Store};
use crate::store::{EtcdStore, KubeStore, LocalStore};

/// How long getting the kernel ready may take: a dozen modules.
const PREPARE: Duration = Duration::from_mins(1);

/// Everything the daemon is started with.
pub(super) struct Parts {
    pub(super) identity: Identity,
    pub(super) store: Arc<dyn Store>,
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) peers: Peers,
    pub(super) events: mpsc::Receiver<()>,
}

/// Opens the store and the kernel, and says who this node is. What the kernel lacks is said before anything is tried.
pub(super) async fn compose(config: &Config) -> Result<Parts, Failure> {
    let store = store(config).await?;
    let kernel = NodeKernel::new(&config.state_dir);
    let events = kernel::events(&kernel).map_err(|error| {
        Failure::caused("the kernel's events cannot be followed", "the daemon has to run as root", error)
    })?;
    let kernel = mortal(Arc::new(kernel), config);
    let peers = config.peer_silent_millis.map_or_else(Peers::default, Peers::patient);
    Ok(Parts { identity: identity(config).await?, store, kernel, peers, events })
}

/// What a daemon under test dies at; any other gets its kernel as it is.
fn mortal(kernel: Arc<dyn Kernel>, config: &Config) -> Arc<dyn Kernel> {
    match config.death.clone() {
        Some(death) => Arc::new(MortalKernel::new(kernel, death)),
        None => kernel,
    }
}

/// `execve` fails from here on, in this process and for ever.
pub(super) fn forbid_exec() -> Result<(), Failure> {
    kernel::forbid_exec().map_err(|error| {
        let message = "the right to run programs could not be given up";
        Failure::caused(
            message,
            "a kernel with CONFIG_SECCOMP_FILTER is needed; forbid-exec = false does without",
            error,
        )
    })
}

async fn store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    match &config.store {
        StoreConfig::Local(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || LocalStore::open(&path)).await;
            Ok(Arc::new(
                opened.map_err(|error| Failure::caused("the store could not be opened", "", error))??,
            ))
        }
        StoreConfig::Kubernetes { kubeconfig, namespace } => {
            let (kubeconfig, namespace) = (kubeconfig.as_deref(), namespace.as_deref());
            Ok(Arc::new(KubeStore::connect(kubeconfig, namespace, &config.node).await?))
        }
        StoreConfig::Etcd { endpoints, prefix } => Ok(Arc::new(EtcdStore::connect(endpoints, prefix).await?)),
    }
}

async fn identity(config: &Config) -> Result<Identity, Failure> {
    let name = config.node.clone();
    let endpoint = Endpoint { address: config.data_address.to_string(), port: config.data_port };
    let checks = prepared().await.map_err(|error| {
        Failure::caused("the kernel could not be looked at", "report this as a bug", error)
    })?;
    for check in checks.iter().filter(|check| !check.ok) {
        tracing::warn!(
            name = check.name,
            required = check.required,
            detail = check.detail,
            "the kernel lacks"
        );
    }
    let status = kernel::report(&name, endpoint, &checks);
    Ok(Identity { name, status })
}

/// Loads modules. One whose start waits for a device that does not answer is not waited for: the daemon goes on with what
/// the kernel has.
async fn prepared() -> Result<Vec<kernel::Check>, JoinError> {
    let preparing = tokio::task::spawn_blocking(kernel::prepare);
    if let Ok(checks) = tokio::time::timeout(PREPARE, preparing).await {
        return checks;
    }
    tracing::warn!("getting the kernel ready has not come back for {PREPARE:?} and is not waited for");
    tokio::task::spawn_blocking(kernel::preflight).await
}

/// What this machine's kernel has and lacks, for the API.
pub(super) fn preflight() -> Vec<proto::Check> {
    let wire = |kernel::Check { name, ok, required, detail }: kernel::Check| {
        let detail = if ok || required { detail } else { format!("not needed for the main job; {detail}") };
        proto::Check { name, ok: ok || !required, detail }
    };
    kernel::preflight().into_iter().map(wire).collect()
}
