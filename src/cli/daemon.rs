//! `mdfabric node`: puts the daemon together and runs it until it is told to stop.

mod alive;
mod compose;
mod only;
mod systemd;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;
use crate::api::server::{self, Api, Preflight};
use crate::config::{self, Config, ConfigError, Layer, LogFormat};
use crate::daemon::{self, PeerNetwork};
use crate::domain::{Bytes, NodeName};
use crate::kernel;
use crate::ports::Heartbeats as _;
use crate::sim;
use crate::telemetry::dump::Place;
use crate::telemetry::log::{self, Sink};
use crate::telemetry::recorder::Recorder;
use alive::Pulse;
pub(super) use alive::ask as ask_whether_alive;
use compose::Parts;

/// The flags of the daemon; each hides what the environment and the file say.
#[allow(clippy::doc_markdown, reason = "these texts are what --help prints")]
#[derive(Debug, Clone, clap::Args)]
pub struct DaemonArgs {
    /// The configuration file [default: /etc/mdfabric/mdfabric.toml, which need not be there]
    #[arg(long, env = "MDFABRIC_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// This node's name in the cluster [default: the host's name] [env: MDFABRIC_NODE]
    #[arg(long, value_name = "NAME")]
    name: Option<NodeName>,
    /// The IP address other nodes reach this one's data at [env: MDFABRIC_DATA_ADDRESS]
    #[arg(long, value_name = "IP")]
    data_address: Option<IpAddr>,
    /// The port of the NVMe-oF target [default: 4420] [env: MDFABRIC_DATA_PORT]
    #[arg(long, value_name = "PORT")]
    data_port: Option<u16>,
    /// How long another node may be silent on the data network before its kernel is asked [default: 400]
    /// [env: MDFABRIC_PEER_SILENT_MILLIS]
    #[arg(long, value_name = "MILLIS")]
    peer_silent_millis: Option<u64>,
    /// Where to keep what has to survive [default: /var/lib/mdfabric] [env: MDFABRIC_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Keep records in this file; the cluster is this node alone [env: MDFABRIC_STORE_LOCAL]
    #[arg(long, value_name = "FILE", conflicts_with = "store_etcd")]
    store_local: Option<PathBuf>,
    /// Keep records in etcd: http://HOST:PORT, separated by commas [env: MDFABRIC_STORE_ETCD]
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    store_etcd: Option<Vec<String>>,
    /// What every key in etcd begins with [env: MDFABRIC_STORE_PREFIX]
    #[arg(long, value_name = "TEXT")]
    store_prefix: Option<String>,
    /// Keep records in Kubernetes: in-cluster, or the path of a kubeconfig [env: MDFABRIC_STORE_KUBERNETES]
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["store_etcd", "store_local"])]
    store_kubernetes: Option<String>,
    /// The namespace of the leases in Kubernetes [default: the daemon's own] [env: MDFABRIC_STORE_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    store_namespace: Option<String>,
    /// Where to keep the flight recorder's files [default: recorder in the state directory] [env: MDFABRIC_RECORDER_DIR]
    #[arg(long, value_name = "DIR")]
    recorder_dir: Option<PathBuf>,
    /// How large they may get together [default: 8MiB] [env: MDFABRIC_RECORDER_SIZE]
    #[arg(long, value_name = "SIZE")]
    recorder_size: Option<Bytes>,
    /// What to log: info, or info,mdfabric::store=debug [env: MDFABRIC_LOG_FILTER]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// How to log: auto, text, json, journald [env: MDFABRIC_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Give up the right to run programs before anything else: true or false [default: true] [env: MDFABRIC_FORBID_EXEC]
    #[arg(long, value_name = "BOOL")]
    forbid_exec: Option<bool>,
    /// Put the rule that keeps udev away from members of our arrays into this directory; where that fails the log says so, and
    /// `mdfabric node preflight`
    #[arg(long, value_name = "DIR")]
    udev_rules: Option<PathBuf>,
}

impl DaemonArgs {
    fn layer(&self, socket: Option<&PathBuf>) -> Layer {
        let own = self.clone();
        Layer {
            node: own.name,
            data_address: own.data_address,
            data_port: own.data_port,
            peer_silent_millis: own.peer_silent_millis,
            socket: socket.cloned(),
            state_dir: own.state_dir,
            store_local: own.store_local,
            store_etcd: own.store_etcd,
            store_prefix: own.store_prefix,
            store_kubernetes: own.store_kubernetes,
            store_namespace: own.store_namespace,
            recorder_dir: own.recorder_dir,
            recorder_size: own.recorder_size,
            log_filter: own.log_filter,
            log_format: own.log_format,
            forbid_exec: own.forbid_exec,
            death: None,
        }
    }
}

/// Runs this node's daemon until SIGTERM or SIGINT. What it set up in the kernel stays up.
pub(super) fn run(args: &DaemonArgs, socket: Option<&PathBuf>) -> Result<(), Failure> {
    let config = config::load(args.config.as_deref(), variables(), args.layer(socket), &hostname())?;
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    log::start(&config.log_filter, sink(config.log_format, journal)).map_err(|error| {
        Failure::caused("logging cannot be started", "see [log] in the configuration", error)
    })?;
    if config.forbid_exec {
        compose::forbid_exec()?;
    }
    if let Some(folder) = &args.udev_rules {
        kernel::put_udev_rule(folder);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(serve(&config));
    // A kernel call that never returns does not keep the process.
    runtime.shutdown_background();
    result
}

/// `journal`: our output goes to the journal already.
fn sink(format: LogFormat, journal: bool) -> Sink {
    match format {
        LogFormat::Auto if journal => Sink::Journal,
        LogFormat::Journald => Sink::Journal,
        LogFormat::Auto | LogFormat::Text => Sink::Text,
        LogFormat::Json => Sink::Json,
    }
}

fn variables() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(text)
}

pub(super) fn hostname() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim().to_owned()
}

/// The configuration of this machine's daemon as the environment and `file` have it.
pub(super) fn configured(file: Option<&Path>) -> Result<Config, ConfigError> {
    config::load(file, variables(), Layer::default(), &hostname())
}

/// What a dump of this machine is made of.
pub(super) fn place(config: &Config) -> Result<Place, Failure> {
    let shown = config.shown().map_err(|error| {
        Failure::caused("the configuration cannot be printed", "report this as a bug", error)
    })?;
    Ok(Place { root: "/".into(), recorder: config.recorder_dir.clone(), config: shown })
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let _only = only::lock(Path::new(only::PLACE))?;
    let socket = server::bind(&config.socket)?;
    let pulse = Pulse::begin(&config.socket);
    make_state_dir(&config.state_dir)?;
    let Parts { identity, store, kernel, peers, events } = compose::compose(config).await?;
    tracing::info!(node = %identity.name, store = store.name(), socket = %config.socket.display(), "starting");
    let recorder = Recorder::start(&config.recorder_dir, config.recorder_size);
    let mut running = daemon::start(identity, Arc::clone(&store), kernel, peers, events, recorder);
    let preflight: Preflight = Arc::new(compose::preflight);
    let (view, place) = (running.view.clone(), place(config)?);
    let api = Api::new(store, view, preflight, place, daemon::now).rehearsed_by(sim::rehearse);
    let ready = systemd::ready(running.view.clone(), pulse);
    let goodbye = tokio::spawn(say_goodbye(running.peers.clone()));
    let ended = tokio::select! {
        result = server::serve(api, &socket) => Some(result.err().map_or_else(
            || Failure::new("the socket was closed", ""),
            Failure::from,
        )),
        _ = &mut running.brain => Some(Failure::new("the daemon's brain stopped", "the log says why; systemd starts it again")),
        () = told_to_stop() => None,
    };
    systemd::stopping();
    ready.abort();
    goodbye.abort();
    if let Some(failure) = ended {
        return Err(failure);
    }
    tracing::info!("stopping; volumes stay up in the kernel");
    running.stop().await;
    Ok(())
}

fn make_state_dir(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        let message = format!("state directory {} cannot be made", path.display());
        Failure::caused(message, "set state-dir in the configuration", error)
    })
}

/// SIGPWR: this machine goes down. The daemon alone cannot know: it is stopped in the same way when only it is restarted.
async fn say_goodbye(peers: PeerNetwork) {
    let Ok(mut power) = signal(SignalKind::from_raw(nix::libc::SIGPWR)) else { return };
    while power.recv().await.is_some() {
        tracing::info!("this machine goes down; saying so to the nodes it has volumes in common with");
        peers.say_goodbye();
    }
}

async fn told_to_stop() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
