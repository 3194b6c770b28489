//! What a lab can be asked to do while it runs: one JSON line there, one back, on `control.sock`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::socket;

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// What runs.
    Status,
    /// Change a party's power.
    Power {
        /// A node, `etcd`, or a program of the control plane.
        party: String,
        /// What to do.
        action: Power,
    },
    /// Change the network.
    Net(Net),
}

/// What can be done to a party's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Power {
    /// Kill it at once, as a power loss would.
    Cut,
    /// Start it. Already running is fine.
    On,
    /// Freeze it: it keeps its connections and answers nothing.
    Pause,
    /// Let a frozen one go on.
    Resume,
    /// Kill it and throw away everything it ever wrote.
    Blank,
    /// Let etcd refuse every write, as it does when its space is used up.
    Fill,
    /// Let etcd take writes again.
    Free,
}

/// A change of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Net {
    /// Nothing from `from` reaches `to` any more.
    Cut {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Frames from `from` to `to` come late or not at all.
    Slow {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// Added delay in milliseconds.
        delay_ms: u64,
        /// Lost frames in percent.
        loss_percent: f64,
    },
    /// The link from `from` to `to` is whole again.
    Mend {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// All links are whole again.
    Heal,
}

/// What runs in a lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Every node with the host process id of its QEMU as seen inside the lab; none when it is off.
    pub nodes: Vec<(String, Option<u32>)>,
    /// Whether etcd answers.
    pub etcd: bool,
    /// The programs of a control plane, and whether each runs.
    pub plane: Vec<(String, bool)>,
    /// The rules of the network, one line each.
    pub network: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// To [`Request::Status`].
    Status(Status),
    /// It failed, and why.
    Failed(String),
}

/// The control socket of the lab in `dir`.
#[must_use]
pub fn socket_path(dir: &Path) -> PathBuf {
    dir.join("control.sock")
}

/// Asks the lab in `dir`.
pub fn ask(dir: &Path, request: &Request) -> Result<Reply> {
    let mut stream = socket::connect(&socket_path(dir)).context("the lab does not run")?;
    serde_json::to_writer(&mut stream, request)?;
    stream.write_all(b"\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    match serde_json::from_str(&line).context("the lab ended")? {
        Reply::Failed(why) => Err(anyhow!(why)),
        reply => Ok(reply),
    }
}

/// Asks for what runs.
pub fn status(dir: &Path) -> Result<Status> {
    match ask(dir, &Request::Status)? {
        Reply::Status(status) => Ok(status),
        other => Err(anyhow!("the lab answered {other:?}")),
    }
}
