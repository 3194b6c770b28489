//! `mdfabric node …`: the daemon itself, and verbs on nodes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::Changing;
use super::daemon::{self, DaemonArgs};
use super::drive::{answer, cordon_report};
use super::failure::Failure;
use super::goal::Goal;
use super::output::{self, Listed, Listing};
use super::rows;
use super::session::Session;
use super::volume::reach;
use crate::api::proto;
use crate::config;
use crate::domain::{NodeName, World};
use crate::kernel::{self, Check};
use crate::plan::questions;

/// `mdfabric node`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    #[command(subcommand)]
    command: Option<NodeCommand>,
}

/// Verbs on nodes.
#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List nodes
    Ls(Listing),
    /// Show one node
    Show {
        /// The node
        name: NodeName,
        #[command(flatten)]
        listing: Listing,
    },
    /// Print what this machine's kernel has and lacks; changes nothing, needs no daemon
    Preflight,
    /// Say whether the daemon of this machine works: exit status 1 if its loop has not turned for a minute
    Alive,
    /// Keep new copies off a node; volumes may be attached there all the same
    Cordon {
        /// The node
        name: NodeName,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Allow them again, and call a drain off
    Uncordon {
        /// The node
        name: NodeName,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Move all copies off a node while they are in use, and keep new ones off it; what finds no place is served on
    Drain {
        /// The node
        name: NodeName,
        #[command(flatten)]
        changing: Changing,
    },
    /// Say whether a node can be shut down for a while; exit status 1 if not, with every volume and reason
    SafeToReboot {
        /// The node
        name: NodeName,
    },
}

impl NodeArgs {
    /// What asks no daemon: being one, and looking whether one could be, or is.
    pub(super) fn run_here(&self, socket: Option<&PathBuf>) -> Option<Result<ExitCode, Failure>> {
        match &self.command {
            None => Some(daemon::run(&self.daemon, socket).map(|()| ExitCode::SUCCESS)),
            Some(NodeCommand::Preflight) => Some(preflight()),
            Some(NodeCommand::Alive) => Some(alive(socket)),
            Some(
                NodeCommand::Ls(_)
                | NodeCommand::Show { .. }
                | NodeCommand::Cordon { .. }
                | NodeCommand::Uncordon { .. }
                | NodeCommand::Drain { .. }
                | NodeCommand::SafeToReboot { .. },
            ) => None,
        }
    }

    /// Whether it is about this machine, now.
    pub(super) fn is_here(&self) -> bool {
        matches!(self.command, None | Some(NodeCommand::Preflight | NodeCommand::Alive))
    }

    /// Has the daemon do it.
    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        match self.command {
            Some(NodeCommand::Ls(listing)) => output::list(session, Listed::Nodes, None, listing).await,
            Some(NodeCommand::Show { name, listing }) => show(session, &name, listing).await,
            Some(NodeCommand::Cordon { name, dry_run }) => cordon(session, &name, true, dry_run).await,
            Some(NodeCommand::Uncordon { name, dry_run }) => cordon(session, &name, false, dry_run).await,
            Some(NodeCommand::Drain { name, changing }) => {
                let (node, dry_run) = (name.to_string(), changing.dry_run);
                let request = proto::CordonNodeRequest { name: node, cordoned: true, empty: true, dry_run };
                let change = session.client()?.cordon_node(request).await?.into_inner();
                reach(session, &change, &Goal::NodeDrained(name), changing).await
            }
            Some(NodeCommand::SafeToReboot { name }) => safe_to_reboot(session, &name).await,
            None | Some(NodeCommand::Preflight | NodeCommand::Alive) => Ok(()),
        }
    }
}

async fn show(session: &mut Session, name: &NodeName, listing: Listing) -> Result<(), Failure> {
    known(session, name).await?;
    output::list(session, Listed::Nodes, Some(name.as_str()), listing).await
}

async fn known(session: &mut Session, name: &NodeName) -> Result<World, Failure> {
    let world = session.world().await?;
    if world.nodes().any(|(known, _)| known == *name) {
        return Ok(world);
    }
    Err(Failure::new(format_args!("there is no node {name}"), "list them with `mdfabric node ls`"))
}

/// Which nodes answer is judged by their heartbeats' own times, as `node ls` does.
async fn safe_to_reboot(session: &mut Session, name: &NodeName) -> Result<(), Failure> {
    let world = known(session, name).await?;
    let now = session.now();
    let silent = world.nodes().filter(|(_, node)| rows::is_silent(now, node));
    let silent: Vec<NodeName> = silent.map(|(node, _)| node).collect();
    let in_the_way = questions::safe_to_reboot(&world, name, &|node| !silent.contains(node));
    answer(&format!("node/{name}"), "can be shut down: every volume is served without it", &in_the_way)
}

async fn cordon(
    session: &mut Session,
    name: &NodeName,
    cordoned: bool,
    dry_run: bool,
) -> Result<(), Failure> {
    let request = proto::CordonNodeRequest { name: name.to_string(), cordoned, empty: false, dry_run };
    let change = session.client()?.cordon_node(request).await?.into_inner();
    cordon_report(&change, cordoned, dry_run)
}

fn alive(socket: Option<&PathBuf>) -> Result<ExitCode, Failure> {
    let socket = socket.cloned().unwrap_or_else(config::socket);
    daemon::ask_whether_alive(&socket).map(|()| ExitCode::SUCCESS)
}

fn preflight() -> Result<ExitCode, Failure> {
    let checks = kernel::preflight();
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
    let line = |Check { name, ok, required, detail }: &Check| {
        let verdict = match (ok, required) {
            (true, _) => "has    ",
            (false, true) => "LACKS  ",
            (false, false) => "without",
        };
        format!("{verdict} {name:<width$}  {detail}\n")
    };
    output::put(&checks.iter().map(line).collect::<String>())?;
    let whole = checks.iter().all(|check| check.ok || !check.required);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
