//! The lab's command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::guest::{lives, reader, tcp, verify, writer};
use lab::kube::{Cluster, Kubectl};
use lab::lab::{Lab, is_running};
use lab::setup::Parts;
use lab::setup::cache::Cache;
use lab::supervisor::control::Power;
use lab::supervisor::{self, Life};
use lab::{chaos, console, demo, runner};

/// A command typed by a person may take as long as it likes.
const SHELL_DEADLINE: Duration = Duration::from_hours(24);

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
        /// With Kubernetes: a control plane, every node with a kubelet, and mdfabric from its chart. The first time it is built, which takes
        /// a quarter of an hour.
        #[arg(long)]
        kube: bool,
    },
    /// Build what labs are made of, and start none.
    Build {
        /// What a lab with Kubernetes is made of, too.
        #[arg(long)]
        kube: bool,
    },
    /// kubectl on a lab with Kubernetes.
    Kubectl {
        /// What kubectl is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
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
    /// Change the power of a node, of `etcd`, or of `apiserver`, `controller-manager`, `scheduler`.
    Power {
        /// Whose.
        party: String,
        /// What to do.
        action: Power,
    },
    /// Change the network between two parties: nodes, or `etcd`.
    #[command(subcommand)]
    Net(NetVerb),
    /// The main job, shown on three nodes.
    Demo,
    /// Random faults under load; every acknowledged write is checked.
    Chaos(chaos::Options),
    /// Everything that shows that the project does what it says.
    Test {
        /// A part of a name: a scenario, or `fmt`, `clippy`, `unit_tests`, `search`, `deny`, `helm_chart`, `vagrantfile`,
        /// `fuzz`.
        filter: Option<String>,
    },
    #[command(hide = true)]
    Writer(writer::Options),
    #[command(hide = true)]
    Verify(verify::Options),
    #[command(hide = true)]
    Reader(reader::Options),
    #[command(hide = true)]
    Lives(lives::Options),
    #[command(hide = true)]
    TcpSink {
        #[arg(long)]
        port: u16,
    },
    #[command(hide = true)]
    TcpSource {
        #[arg(long)]
        to: String,
        #[arg(long)]
        seconds: u64,
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

#[derive(Subcommand)]
enum NetVerb {
    /// Nothing passes between them any more.
    Cut {
        /// One party.
        one: String,
        /// The other.
        other: String,
        /// Only from the first to the second.
        #[arg(long)]
        one_way: bool,
    },
    /// Frames between them come late, and some not at all.
    Slow {
        /// One party.
        one: String,
        /// The other.
        other: String,
        /// Added delay in milliseconds, each way.
        delay: u64,
        /// Lost frames in percent.
        loss: f64,
    },
    /// All links are whole again.
    Heal,
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
        Verb::Up { nodes, kube } => up(&args.lab, nodes, kube)?,
        Verb::Build { kube } => parts(kube).map(drop)?,
        Verb::Kubectl { arguments } => return kubectl(&args.lab, &arguments),
        Verb::Status => status(&args.lab)?,
        Verb::Down => Lab::down(&Cache::open()?.run_dir(&args.lab))?,
        Verb::Shell { node, command } => return shell(&args.lab, &node, &command),
        Verb::Net(change) => net(&open(&args.lab)?, &change)?,
        Verb::Demo => demo::run(&Parts::prepare()?)?,
        Verb::Chaos(options) => chaos::run(&Parts::prepare()?, &options)?,
        Verb::Test { filter } => return Ok(exit(runner::run(filter.as_deref())?.is_green())),
        Verb::Writer(options) => {
            return print_json(&writer::run(&options)?, |summary| summary.error.is_none());
        }
        Verb::Reader(options) => reader::run(&options)?,
        Verb::Verify(options) => return print_json(&verify::run(&options)?, verify::Verdict::is_good),
        Verb::Lives(options) => lives::run(&options)?,
        Verb::TcpSink { port } => {
            let (bytes, per_second) = tcp::sink(port)?;
            println!("{:.1} MB/s, {bytes} bytes", per_second / 1e6);
        }
        Verb::TcpSource { to, seconds } => drop(tcp::source(&to, Duration::from_secs(seconds))?),
        Verb::Power { party, action } => open(&args.lab)?.power(&party, action)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_json<T: serde::Serialize>(value: &T, is_good: impl Fn(&T) -> bool) -> Result<ExitCode> {
    println!("{}", serde_json::to_string(value)?);
    Ok(exit(is_good(value)))
}

fn net(lab: &Lab, change: &NetVerb) -> Result<()> {
    match change {
        NetVerb::Cut { one, other, one_way: false } => lab.cut(one, other),
        NetVerb::Cut { one, other, one_way: true } => lab.cut_one_way(one, other),
        NetVerb::Slow { one, other, delay, loss } => {
            lab.slow(one, other, Duration::from_millis(*delay), *loss)
        }
        NetVerb::Heal => lab.heal(),
    }
}

fn open(name: &str) -> Result<Lab> {
    Lab::open(&Cache::open()?.run_dir(name))
}

fn parts(kube: bool) -> Result<Parts> {
    let parts = Parts::prepare()?;
    if kube { parts.with_kube() } else { Ok(parts) }
}

fn up(name: &str, nodes: u8, kube: bool) -> Result<()> {
    let parts = parts(kube)?;
    let start = Instant::now();
    let lab = Lab::detached(&parts, name, nodes)?;
    println!("{} nodes up in {:.1} s ({})", nodes, start.elapsed().as_secs_f64(), lab.accel().accel);
    if kube {
        Cluster::start(&parts, &lab)?;
        println!(
            "Kubernetes and mdfabric ready in {:.1} s: try lab kubectl get nodes",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

/// Input, output and exit status are kubectl's.
fn kubectl(name: &str, arguments: &[String]) -> Result<ExitCode> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let status = Kubectl::of(&open(name)?)?.command(&arguments).status()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(255)))
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
    for (program, is_on) in &status.plane {
        println!("{program:21} {}", if *is_on { "on" } else { "off" });
    }
    status.network.iter().for_each(|line| println!("network: {line}"));
    Ok(())
}

/// One argument is a script, as with ssh; several are a program and its arguments.
fn shell(name: &str, node: &str, command: &[String]) -> Result<ExitCode> {
    let node = open(name)?.node(node)?;
    let argv: Vec<&str> = match command {
        [] => return console::attach(&node),
        [script] => vec!["sh", "-c", script],
        several => several.iter().map(String::as_str).collect(),
    };
    let output = node.spawn_captured(&argv)?.wait_raw(SHELL_DEADLINE)?;
    std::io::stdout().write_all(&output.stdout)?;
    std::io::stderr().write_all(&output.stderr)?;
    Ok(ExitCode::from(u8::try_from(output.status).unwrap_or(255)))
}
