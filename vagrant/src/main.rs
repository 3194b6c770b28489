//! The lab's command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::lab::{Lab, is_running};
use lab::setup::Parts;
use lab::setup::cache::Cache;
use lab::supervisor::control::Power;
use lab::supervisor::{self, Life};

/// A lab of real kernels for mdfabric.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Args {
    /// Name of the lab to play in; several can run side by side.
    #[arg(long, global = true, default_value = "default", env = "MDFABRIC_LAB")]
    lab: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a lab to play in.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
    },
    /// Show what runs.
    Status,
    /// End the lab and remove its files.
    Down,
    /// Run a command on a node; its output and exit status pass through.
    Shell {
        /// The node.
        node: String,
        /// The command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Change the power of a node, or of `etcd`.
    Power {
        /// The node, or `etcd`.
        party: String,
        /// What to do.
        action: Power,
    },
    #[command(hide = true)]
    Supervise {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        private: bool,
    },
    #[command(hide = true)]
    SuperviseInside {
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("lab: {err:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<ExitCode> {
    match args.verb {
        Verb::Supervise { dir, private } => {
            supervisor::run(&dir, if private { Life::Private } else { Life::Detached })?;
        }
        Verb::SuperviseInside { dir } => supervisor::run_inside(&dir)?,
        Verb::Up { nodes } => up(&args.lab, nodes)?,
        Verb::Status => status(&args.lab)?,
        Verb::Down => Lab::down(&Cache::open()?.run_dir(&args.lab))?,
        Verb::Shell { node, command } => return shell(&args.lab, &node, &command),
        Verb::Power { party, action } => open(&args.lab)?.power(&party, action)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(name: &str) -> Result<Lab> {
    Lab::open(&Cache::open()?.run_dir(name))
}

fn up(name: &str, nodes: u8) -> Result<()> {
    let parts = Parts::prepare()?;
    let start = Instant::now();
    let lab = Lab::detached(&parts, name, nodes)?;
    println!("{} nodes up in {:.1} s ({})", nodes, start.elapsed().as_secs_f64(), lab.accel().accel);
    Ok(())
}

fn status(name: &str) -> Result<()> {
    let dir = Cache::open()?.run_dir(name);
    if !is_running(&dir)? {
        println!("lab {name} is down");
        return Ok(());
    }
    let lab = Lab::open(&dir)?;
    let status = lab.status()?;
    for node in lab.nodes() {
        let on = status.nodes.iter().any(|(name, pid)| name == node.name() && pid.is_some());
        println!("{:8} {:12} {}", node.name(), node.address(), if on { "on" } else { "off" });
    }
    println!("{:8} {:12} {}", "etcd", lab.etcd_endpoint(), if status.etcd { "on" } else { "off" });
    status.network.iter().for_each(|line| println!("network: {line}"));
    Ok(())
}

fn shell(name: &str, node: &str, command: &[String]) -> Result<ExitCode> {
    let node = open(name)?.node(node)?;
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = node.run(&argv)?;
    print!("{}", output.stdout);
    eprint!("{}", output.stderr);
    Ok(ExitCode::from(u8::try_from(output.status).unwrap_or(255)))
}
