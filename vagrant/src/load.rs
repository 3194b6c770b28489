//! Load on a volume, and its proof: the writer and the verifier as a scenario drives them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use crate::guest::ack::{self, Ack};
use crate::guest::verify::Verdict;
use crate::guest::writer::Summary;
use crate::node::{Node, Output, Spawned};
use crate::qemu::LOG_PORTS;

/// How long a writer may take to notice that it shall stop: its write may be held by the storage.
const STOP_DEADLINE: Duration = Duration::from_mins(1);

/// How long a writer rests after each write: emulated processors have other work, too, and no stall that matters is as short.
pub const BRISK: Duration = Duration::from_millis(10);

/// Where nobody asks how long a write waited.
pub const CALM: Duration = Duration::from_millis(30);

/// A log can be long and a guest slow.
const VERIFY_DEADLINE: Duration = Duration::from_mins(5);

/// What a writer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// File or block device in the guest.
    pub path: String,
    /// Bytes of it to use, a multiple of 4096.
    pub size: u64,
    /// Seed of content and places.
    pub seed: u64,
    /// How long it rests after each write.
    pub rest: Duration,
}

/// A writer at work in a guest, its acknowledged writes logged on the host.
#[derive(Debug, Clone)]
pub struct Writer {
    node: Node,
    spawned: Spawned,
}

impl Work {
    /// Starts the writer on `node`. `first_version` is 1, or for a writer that goes on after another one
    /// [`next_version`] of the logs so far.
    pub fn start(&self, node: &Node, first_version: u64) -> Result<Writer> {
        self.start_logged(node, first_version, 0)
    }

    /// As [`Work::start`], its writes logged on this one of the node's log ports.
    pub fn start_logged(&self, node: &Node, first_version: u64, port: usize) -> Result<Writer> {
        let log = LOG_PORTS.get(port).with_context(|| format!("no log port {port}"))?;
        let argv = self.writer(&first_version.to_string(), log);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Ok(Writer { node: node.clone(), spawned: node.spawn_captured(&argv)? })
    }

    /// The writer's command line.
    #[must_use]
    pub fn writer(&self, first_version: &str, log: &str) -> Vec<String> {
        let (size, seed) = (self.size.to_string(), self.seed.to_string());
        let rest = self.rest.as_micros().to_string();
        let mut argv = vec!["lab", "writer", "--path", &self.path, "--size", &size, "--seed", &seed];
        argv.extend(["--first-version", first_version, "--log", log, "--pause-us", &rest]);
        argv.into_iter().map(str::to_owned).collect()
    }

    /// Checks on `node` that the storage holds every write of `logs`, given in the order in which their writers ran.
    pub fn verify(&self, node: &Node, logs: &[Vec<u8>]) -> Result<Verdict> {
        let seed = self.seed.to_string();
        let mut argv = vec!["lab", "verify", "--path", &self.path, "--seed", &seed];
        let names: Vec<String> = (0..logs.len()).map(|index| format!("/tmp/acks-{index}")).collect();
        for (name, log) in names.iter().zip(logs) {
            node.put_file(name, log)?;
            argv.extend(["--log", name]);
        }
        parse(&node.run_for(VERIFY_DEADLINE, &argv)?)
    }
}

impl Writer {
    /// Where it writes.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The summary of a writer that ended by itself; nothing while it works.
    pub fn poll(&self) -> Result<Option<Summary>> {
        self.spawned.poll()?.map(|output| parse(&output)).transpose()
    }

    /// Lets it finish its write and gives what it did.
    pub fn stop(&self) -> Result<Summary> {
        self.spawned.signal("TERM")?;
        parse(&self.spawned.wait(STOP_DEADLINE)?)
    }

    /// What it has had acknowledged so far, as the host has it.
    pub fn acks(&self) -> Result<Vec<Ack>> {
        acks(&self.node)
    }
}

/// The acknowledged writes of all writers that ran on `node` since its drives were made.
pub fn acks(node: &Node) -> Result<Vec<Ack>> {
    ack::parse(&node.ack_log()?).with_context(|| format!("the log of {} is damaged", node.name()))
}

/// The first version for a writer that goes on after those of `logs`: well above everything they may have issued.
#[must_use]
pub fn next_version(logs: &[Vec<Ack>]) -> u64 {
    logs.iter().flatten().map(|ack| ack.version).max().map_or(1, |last| last + 1000)
}

fn parse<T: DeserializeOwned>(output: &Output) -> Result<T> {
    let said =
        || format!("{}: exit status {}\n{}{}", output.command, output.status, output.stdout, output.stderr);
    serde_json::from_str(output.text()).with_context(said)
}
