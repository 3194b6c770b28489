//! The command line.

mod daemon;
mod drive;
mod failure;
mod goal;
mod node;
mod output;
pub mod rows;
mod session;
mod table;
mod volume;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use daemon::DaemonArgs;
pub use failure::Failure;

use crate::api::{client, proto};
use crate::config;
use output::{Listed, Listing};
use session::Session;

/// Replicated block volumes that move between nodes while applications write.
#[derive(Debug, Parser)]
#[command(name = "mdfabric", version, arg_required_else_help = true)]
pub struct Cli {
    /// Where the daemon answers [default: as the configuration file says, /run/mdfabric/mdfabric.sock]
    #[arg(long, global = true, env = "MDFABRIC_SOCKET", value_name = "PATH", help_heading = "Daemon")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run this node's daemon; with a verb, look at nodes
    Node(Box<node::NodeArgs>),
    /// Volumes
    #[command(subcommand)]
    Volume(Box<volume::VolumeCommand>),
    /// Copies of volumes
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Drives
    #[command(subcommand)]
    Drive(drive::DriveCommand),
    /// Say why an object is as it is
    Explain {
        /// volume/NAME, replica/ID, drive/SERIAL, node/NAME, or a name that only one object has
        object: String,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ReplicaCommand {
    /// List copies: where they are and how far
    Ls(Listing),
}

/// What every verb that changes something takes.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Changing {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waiting: wait::Waiting,
}

/// Parses the command line and does what it says. Exit codes: 0 done, 1 refused or failed, 2 not understood.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.text());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "mdfabric", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Node(node) = &cli.command
        && let Some(result) = node.run_here(cli.socket.as_ref())
    {
        return result;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(cli)).map(|()| ExitCode::SUCCESS)
}

/// Everything that a running daemon answers.
async fn ask(cli: Cli) -> Result<(), Failure> {
    let socket = cli.socket.unwrap_or_else(config::socket);
    let mut session = Session::open(&socket).await?;
    match cli.command {
        Command::Node(node) => node.ask(&mut session).await,
        Command::Volume(command) => command.ask(&mut session).await,
        Command::Replica(ReplicaCommand::Ls(listing)) => {
            output::list(&mut session, Listed::Replicas, None, listing).await
        }
        Command::Drive(command) => command.ask(&mut session).await,
        Command::Explain { object } => explain(&mut session, object).await,
        Command::Completions { .. } => Ok(()),
    }
}

async fn explain(session: &mut Session, object: String) -> Result<(), Failure> {
    let response = session.client.explain(proto::ExplainRequest { object }).await?;
    session.warn(client::notice(&response));
    output::put(&(response.into_inner().lines.join("\n") + "\n"))
}

/// What a change came to before anything is waited for. `true` when there is something to wait for.
fn report(change: &proto::Change, changing: Changing) -> Result<bool, Failure> {
    if changing.dry_run {
        let what = if change.already_so { "nothing to do: it is so already" } else { "would be done:" };
        let steps: String = change.steps.iter().flat_map(|step| ["  ", step, "\n"]).collect();
        output::put(&format!("{}: {what}\n{steps}", change.object))?;
        return Ok(false);
    }
    if changing.waiting.no_wait {
        let what = if change.already_so { "is so already" } else { "is asked for" };
        output::put(&format!("{} {what}\n", change.object))?;
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
