//! One guest, as scenarios see it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::agent::{Agent, Exit};
use crate::command::tail;
use crate::qmp;
use crate::spec::{NodeFiles, NodeSpec};
use crate::supervisor::control::{self, Power, Request};
use crate::wait::{Missed, wait_closely, wait_for};

/// How long a command may take where nothing else is said.
pub const COMMAND_DEADLINE: Duration = Duration::from_mins(2);

/// How long a guest may take to boot: emulated, all nodes at once, on a busy machine.
pub const BOOT_DEADLINE: Duration = Duration::from_mins(3);

/// How long the agent of a running guest may take to take a call.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// A command that ends this soon is awaited in one conversation with the agent; longer ones let others talk.
const SHORT: Duration = Duration::from_millis(800);

/// Pause between two looks at a short command.
const CLOSELY: Duration = Duration::from_millis(5);

/// What a kernel says at its end.
const PANIC: &str = "Kernel panic - not syncing";

/// A handle on one guest; cheap to clone, may be used from several threads.
#[derive(Debug, Clone)]
pub struct Node {
    spec: NodeSpec,
    lab_dir: PathBuf,
    files: NodeFiles,
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + N for a command that signal N ended.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The command, for messages.
    pub command: String,
}

impl Output {
    /// The output if the command succeeded, else an error with what it said.
    pub fn ok(self) -> Result<Self> {
        if self.status == 0 {
            return Ok(self);
        }
        let said = format!("{}{}", self.stdout, self.stderr);
        bail!("{}: exit status {}\n{}", self.command, self.status, tail(&said, 30))
    }

    /// Standard output without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }
}

/// A program that runs in the guest in the background.
#[derive(Debug, Clone)]
pub struct Spawned {
    node: Node,
    /// Its process id in the guest.
    pub pid: i64,
    command: String,
}

impl Node {
    /// The node `spec` of the lab in `lab_dir`.
    #[must_use]
    pub fn new(lab_dir: &Path, spec: NodeSpec) -> Self {
        let files = NodeFiles::of(lab_dir, &spec.name);
        Self { spec, lab_dir: lab_dir.to_path_buf(), files }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it consists of.
    #[must_use]
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Its files on the host.
    #[must_use]
    pub fn files(&self) -> &NodeFiles {
        &self.files
    }

    /// Its address in the lab network.
    #[must_use]
    pub fn address(&self) -> String {
        self.spec.address()
    }

    /// Runs a program to its end; `argv` is not seen by a shell. A failing program is no error: see [`Output::ok`].
    pub fn run(&self, argv: &[&str]) -> Result<Output> {
        self.run_for(COMMAND_DEADLINE, argv)
    }

    /// Runs a program that may take until `deadline`; one that takes longer is killed, and an error.
    pub fn run_for(&self, deadline: Duration, argv: &[&str]) -> Result<Output> {
        let mut agent = self.agent()?;
        let spawned = self.start(&mut agent, argv, true)?;
        let patience = SHORT.min(deadline);
        let soon = wait_closely(&spawned.command, patience, CLOSELY, || agent.exit_of(spawned.pid));
        drop(agent);
        match soon {
            Ok(exit) => Ok(spawned.output(&exit)),
            Err(err) if err.downcast_ref::<Missed>().is_some() => {
                spawned.wait(deadline.saturating_sub(patience))
            }
            Err(err) => Err(err.context(spawned.command)),
        }
    }

    /// Runs a script in the guest's shell.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.run(&["sh", "-c", script])
    }

    /// Starts a program in the background; its output goes nowhere.
    pub fn spawn(&self, argv: &[&str]) -> Result<Spawned> {
        self.start(&mut self.agent()?, argv, false)
    }

    /// Starts a program in the background, its output kept for [`Spawned::wait`].
    pub fn spawn_captured(&self, argv: &[&str]) -> Result<Spawned> {
        self.start(&mut self.agent()?, argv, true)
    }

    fn start(&self, agent: &mut Agent, argv: &[&str], capture: bool) -> Result<Spawned> {
        let pid = agent.start(argv, capture).with_context(|| format!("on {}", self.name()))?;
        Ok(Spawned { node: self.clone(), pid, command: format!("{}: {}", self.name(), argv.join(" ")) })
    }

    /// Writes a file in the guest.
    pub fn put_file(&self, path: &str, content: &[u8]) -> Result<()> {
        self.agent()?.put(path, content).with_context(|| format!("{}: {path}", self.name()))
    }

    /// Reads a file of the guest.
    pub fn get_file(&self, path: &str) -> Result<Vec<u8>> {
        self.agent()?.get(path).with_context(|| format!("{}: {path}", self.name()))
    }

    /// Sends `signal` (`TERM`, `KILL`, …) to every process of this name; gives whether there was one.
    pub fn kill_process(&self, name: &str, signal: &str) -> Result<bool> {
        let output = self.run(&["pkill", &format!("-{signal}"), "-x", name])?;
        match output.status {
            0 => Ok(true),
            1 => Ok(false),
            _ => output.ok().map(|_| false),
        }
    }

    /// What the guest has written to its log port since its drives were made.
    pub fn ack_log(&self) -> Result<Vec<u8>> {
        self.ack_log_of(0)
    }

    /// As [`Node::ack_log`], for this one of its log ports.
    pub fn ack_log_of(&self, port: usize) -> Result<Vec<u8>> {
        Ok(std::fs::read(self.files.ack_log(port))?)
    }

    /// Kills the guest as a power loss would.
    pub fn power_cut(&self) -> Result<()> {
        self.power(Power::Cut)
    }

    /// Switches the guest on; [`Node::wait_up`] waits for it.
    pub fn power_on(&self) -> Result<()> {
        self.power(Power::On)
    }

    /// Kills the guest and gives it new drives and a new state disk. It stays off.
    pub fn blank(&self) -> Result<()> {
        self.power(Power::Blank)
    }

    /// Freezes the guest: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.qmp("stop", &json!({})).map(drop)
    }

    /// Lets a frozen guest go on.
    pub fn resume(&self) -> Result<()> {
        self.qmp("cont", &json!({})).map(drop)
    }

    /// Any of the above, by name.
    pub fn power(&self, action: Power) -> Result<()> {
        match action {
            Power::Pause => self.pause(),
            Power::Resume => self.resume(),
            _ => control::ask(&self.lab_dir, &Request::Power { party: self.name().to_owned(), action })
                .map(drop),
        }
    }

    /// Runs one command of QEMU's own protocol.
    pub fn qmp(&self, command: &str, arguments: &Value) -> Result<Value> {
        qmp::execute(&self.files.qmp(), command, arguments).with_context(|| self.name().to_owned())
    }

    /// Waits until the guest's agent answers.
    pub fn wait_up(&self) -> Result<()> {
        Agent::connect(&self.files.agent(), BOOT_DEADLINE).map(drop).with_context(|| {
            let console = std::fs::read_to_string(self.files.console_log()).unwrap_or_default();
            let qemu = std::fs::read_to_string(self.files.qemu_log()).unwrap_or_default();
            format!("{} does not come up\n{}\n{}", self.name(), tail(&qemu, 5), tail(&console, 15))
        })
    }

    fn agent(&self) -> Result<Agent> {
        Agent::connect(&self.files.agent(), CALL_DEADLINE).with_context(|| self.name().to_owned())
    }

    /// An error once its kernel has panicked since it was powered on.
    pub fn has_kernel(&self) -> Result<()> {
        let console = std::fs::read(self.files.console_log()).unwrap_or_default();
        ensure!(!String::from_utf8_lossy(&console).contains(PANIC), "{}: its kernel panicked", self.name());
        Ok(())
    }
}

impl Spawned {
    /// How it ended; nothing while it runs.
    pub fn poll(&self) -> Result<Option<Output>> {
        Ok(self.poll_raw()?.map(|exit| self.output(&exit)))
    }

    fn poll_raw(&self) -> Result<Option<Exit>> {
        self.node.agent()?.exit_of(self.pid).with_context(|| self.command.clone())
    }

    /// Waits for its end; when `deadline` passes it is killed.
    pub fn wait(&self, deadline: Duration) -> Result<Output> {
        self.wait_raw(deadline).map(|exit| self.output(&exit))
    }

    /// As [`Spawned::wait`], the output as bytes.
    pub fn wait_raw(&self, deadline: Duration) -> Result<Exit> {
        let start = Instant::now();
        let ended = wait_for(&self.command, deadline, || self.poll_raw());
        if ended.is_err() && start.elapsed() >= deadline {
            self.signal("KILL").ok();
        }
        ended
    }

    /// Sends it a signal (`TERM`, `KILL`, …).
    pub fn signal(&self, signal: &str) -> Result<()> {
        let mut agent = self.node.agent()?;
        agent.start(&["kill", &format!("-{signal}"), &self.pid.to_string()], false).map(drop)
    }

    fn output(&self, exit: &Exit) -> Output {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output {
            status: exit.status,
            stdout: text(&exit.stdout),
            stderr: text(&exit.stderr),
            command: self.command.clone(),
        }
    }
}
