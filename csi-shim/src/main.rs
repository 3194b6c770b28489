//! `mdfabric-csi`: see the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mdfabric_csi::daemon::Daemon;
use mdfabric_csi::serve;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Serves the Container Storage Interface out of the mdfabric daemon of this node
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen
    #[arg(long, env = "CSI_ENDPOINT", value_name = "ENDPOINT", default_value = "unix:///csi/csi.sock",
          value_parser = serve::path_of)]
    endpoint: PathBuf,
    /// The daemon's socket
    #[arg(long, env = "MDFABRIC_SOCKET", value_name = "PATH", default_value = "/run/mdfabric/mdfabric.sock")]
    socket: PathBuf,
    /// What is logged: a level (info), or levels by module
    #[arg(long, env = "MDFABRIC_CSI_LOG", value_name = "FILTER", default_value = "info")]
    log_filter: EnvFilter,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    log.with_env_filter(arguments.log_filter.clone()).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mdfabric-csi: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let Arguments { endpoint, socket, .. } = arguments;
    let daemon = Daemon::at(&socket).map_err(|error| format!("{}: {error}", socket.display()))?;
    let incoming = serve::bind(&endpoint).map_err(|error| format!("{}: {error}", endpoint.display()))?;
    let mut end = signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM: {error}"))?;
    let stop = async move {
        end.recv().await;
    };
    tracing::info!(endpoint = %endpoint.display(), socket = %socket.display(), "serving");
    serve::serve(daemon, incoming, stop).await.map_err(|error| format!("{}: {error}", endpoint.display()))
}
