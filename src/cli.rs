//! The command line.

mod daemon;
mod drive;
mod dump;
mod failure;
mod goal;
mod node;
mod output;
mod recorder;
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

use crate::api::proto;
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
    /// Show what this archive of `mdfabric dump` has, instead of asking a daemon
    #[arg(long, global = true, value_name = "DUMP.tar", help_heading = "Daemon")]
    root: Option<PathBuf>,
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
    /// Write everything needed to find out what happened on this node into one archive
    Dump(dump::DumpArgs),
    /// Print what the flight recorder has: what this node did, saw and recorded
    Recorder(recorder::RecorderArgs),
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
    if let Command::Recorder(args) = &cli.command {
        return args.print(cli.root.as_deref()).map(|()| ExitCode::SUCCESS);
    }
    refuse_on_dump(&cli)?;
    if let Command::Node(node) = &cli.command
        && let Some(result) = node.run_here(cli.socket.as_ref())
    {
        return result;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(cli)).map(|()| ExitCode::SUCCESS)
}

/// What is about this machine has nothing to do with an archive.
fn refuse_on_dump(cli: &Cli) -> Result<(), Failure> {
    let here = match &cli.command {
        Command::Node(node) => node.is_here(),
        Command::Dump(_) => true,
        _ => false,
    };
    match &cli.root {
        Some(root) if here => Err(Failure::new(
            format_args!("--root {}: this is about the machine it runs on, not about a dump", root.display()),
            "leave --root out",
        )),
        _ => Ok(()),
    }
}

/// Everything that a running daemon answers, or a dump of one.
async fn ask(cli: Cli) -> Result<(), Failure> {
    let socket = cli.socket.unwrap_or_else(config::socket);
    if let Command::Dump(args) = &cli.command {
        return args.make(&socket).await;
    }
    let mut session = match &cli.root {
        Some(root) => Session::of_dump(root)?,
        None => Session::open(&socket).await?,
    };
    match cli.command {
        Command::Node(node) => node.ask(&mut session).await,
        Command::Volume(command) => command.ask(&mut session).await,
        Command::Replica(ReplicaCommand::Ls(listing)) => {
            output::list(&mut session, Listed::Replicas, None, listing).await
        }
        Command::Drive(command) => command.ask(&mut session).await,
        Command::Explain { object } => {
            let lines = session.explain(object).await?;
            output::put(&(lines.join("\n") + "\n"))
        }
        Command::Dump(_) | Command::Recorder(_) | Command::Completions { .. } => Ok(()),
    }
}

/// What a change came to before anything is waited for. `true` when there is something to wait for.
fn report(change: &proto::Change, changing: Changing) -> Result<bool, Failure> {
    let chosen: String = change.chosen.iter().flat_map(|line| [line, "\n"]).collect();
    output::put(&chosen)?;
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

    /// Its lists are each in one line.
    #[test]
    fn what_the_chart_has_the_daemon_do_is_understood() {
        let daemonset = include_str!("../deploy/chart/templates/node/daemonset.yaml");
        let listed = |begin| daemonset.split(begin).skip(1).filter_map(|rest| rest.split_once(']'));
        let commands = listed("[/usr/bin/mdfabric, ").map(|(words, _)| words.to_owned());
        let flags = listed("args: [").map(|(words, _)| format!("node, {words}"));
        let all: Vec<String> = commands.chain(flags).collect();
        for line in &all {
            let words = std::iter::once("mdfabric").chain(line.split(", "));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for wanted in ["node", "node, alive", "node, --udev-rules"] {
            assert!(all.iter().any(|line| line.starts_with(wanted)), "{wanted}: {all:?}");
        }
    }
}
