//! The one place where ports meet what is behind them.

use std::sync::Arc;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::api::server::Check;
use crate::cli::failure::Failure;
use crate::config::{Config, StoreConfig};
use crate::daemon::Identity;
use crate::domain::{Endpoint, NodeName, NodeStatus, Timestamp, host_nqn};
use crate::plan::{FailureKind, Observation, Outcome, Step, StepFailure};
use crate::ports::{Kernel, Store};
use crate::store::LocalStore;

/// Everything the daemon is started with.
pub(super) struct Parts {
    pub(super) identity: Identity,
    pub(super) store: Arc<dyn Store>,
    pub(super) kernel: Arc<dyn Kernel>,
    pub(super) events: mpsc::Receiver<()>,
}

/// Opens the store and the kernel, and says who this node is.
pub(super) async fn compose(config: &Config) -> Result<Parts, Failure> {
    let store = store(&config.store).await?;
    let (kernel, events) = kernel(config);
    let missing = preflight().into_iter().filter(|check| !check.ok).map(|check| check.name).collect();
    Ok(Parts { identity: identity(config, missing), store, kernel, events })
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
        StoreConfig::Etcd { endpoints, prefix: _ } => Err(Failure::new(
            format_args!("store etcd at {} is not part of this build", endpoints.join(", ")),
            "use [store] local",
        )),
    }
}

fn identity(config: &Config, missing: Vec<String>) -> Identity {
    let nqn = host_nqn(&config.node);
    let status = NodeStatus {
        endpoint: Endpoint { address: config.data_address.to_string(), port: config.data_port },
        host_id: host_id(&config.node),
        host_nqn: nqn,
        kernel: proc_text("sys/kernel/osrelease"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: proc_text("sys/kernel/random/boot_id"),
        missing,
        heartbeat_at: Timestamp(0),
    };
    Identity { name: config.node.clone(), status }
}

/// The host id that goes with a node's host NQN: the kernel wants them to be one to one.
fn host_id(node: &NodeName) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, host_nqn(node).as_bytes())
}

fn proc_text(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/{path}")).unwrap_or_default().trim().to_owned()
}

/// Sees nothing and does nothing.
struct NoKernel;

impl Kernel for NoKernel {
    fn observe(&self) -> Result<Observation, String> {
        Ok(Observation::default())
    }

    fn apply(&self, _: &Step) -> Result<Outcome, StepFailure> {
        Err(StepFailure { kind: FailureKind::Retry, message: "this build drives no kernel".to_owned() })
    }
}

fn kernel(_: &Config) -> (Arc<dyn Kernel>, mpsc::Receiver<()>) {
    let (_, events) = mpsc::channel(1);
    (Arc::new(NoKernel), events)
}

/// What this machine's kernel has and lacks.
pub(super) fn preflight() -> Vec<Check> {
    Vec::new()
}
