//! The debug dump: everything that is needed to find out what happened on a node, as one tar archive.
//!
//! ```text
//! dump.json                    what it is: format, node, version, when it was made
//! records/<kind>/<name>        every record, as `Snapshot` sends it (`Entry` of mdfabric.proto)
//! node.json                    what the daemon does, fails at and waits for; absent if none answered
//! observation.txt              what the daemon last saw of the kernel
//! config.json                  the configuration; nothing in it is secret
//! recorder/<file>              the flight recorder
//! proc/… sys/…                 the kernel's state: what is below unpacks to a root that kernel-abi's readers read
//! extracts/…                   of local drives: partition tables, superblocks and heads of bitmaps, as they lie there
//! problems.txt                 what could not be read; always the last entry, so an archive without it is truncated
//! ```
//!
//! The order is that of use: what comes from a kernel that may hang comes last. Keys of NVMe authentication are left out.

mod archive;
mod extracts;
mod pack;
mod system;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use archive::{Archive, ArchiveError};
pub use pack::closing;

use super::recorder;
use crate::domain::{NodeName, Reason, Timestamp};
use pack::Pack;

/// The format of the archives that this version writes, and the highest it reads.
const FORMAT: u32 = 1;
const MANIFEST: &str = "dump.json";
const NODE: &str = "node.json";
const RECORDS: &str = "records/";
const RECORDER: &str = "recorder/";
const PROBLEMS: &str = "problems.txt";

/// What an archive is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Raised only when older readers would misread the archive.
    pub format: u32,
    /// The node it is from.
    pub node: String,
    /// The version that made it.
    pub version: String,
    /// When.
    pub taken_at: Timestamp,
}

impl Manifest {
    /// Of an archive that this version makes now.
    #[must_use]
    pub fn new(node: impl std::fmt::Display, taken_at: Timestamp) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: FORMAT, node: node.to_string(), version, taken_at }
    }
}

/// What a node's daemon knows beyond the records. Every field that a reader does not find is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFacts {
    /// Steps under way with the moment they began.
    pub running: Vec<(String, Timestamp)>,
    /// Steps that failed last time: text, failures in a row, what the kernel said.
    pub failing: Vec<(String, u32, String)>,
    /// What is waited for or refused here.
    pub reasons: Vec<Reason>,
    /// Why the store does not answer, if it does not.
    pub store_lost: Option<String>,
    /// Whether this node leads the cluster.
    pub leads: bool,
    /// How the nodes stand that this one listens to.
    pub peers: Vec<(NodeName, String)>,
    /// What is in its kernel and not ours.
    pub foreign: Vec<String>,
}

/// What a process knows of itself, to be written into an archive.
#[derive(Debug)]
pub struct Knowledge {
    /// See there.
    pub manifest: Manifest,
    /// Records: `<kind>/<name>`, and their bytes.
    pub records: Vec<(String, Vec<u8>)>,
    /// See there; `None` where no daemon is.
    pub node: Option<NodeFacts>,
    /// What was last seen of the kernel, as text for people.
    pub observation: Option<String>,
    /// What could not be found out, one line each.
    pub problems: Vec<String>,
}

/// Where the rest is found.
#[derive(Debug, Clone)]
pub struct Place {
    /// What stands for `/`.
    pub root: PathBuf,
    /// The flight recorder's directory.
    pub recorder: PathBuf,
    /// The configuration as JSON.
    pub config: String,
}

/// Writes an archive. Blocks as long as the kernel does; after each entry `out` is flushed, so whatever came before a call
/// that hangs is out.
pub fn write(out: impl Write, place: &Place, known: &Knowledge) -> io::Result<()> {
    let mut pack = Pack::new(out, known.manifest.taken_at);
    pack.file(MANIFEST, &json(&known.manifest)?)?;
    for (name, bytes) in &known.records {
        pack.file(&format!("{RECORDS}{name}"), bytes)?;
    }
    if let Some(node) = &known.node {
        pack.file(NODE, &json(node)?)?;
    }
    if let Some(observation) = &known.observation {
        pack.file("observation.txt", observation.as_bytes())?;
    }
    pack.file("config.json", place.config.as_bytes())?;
    known.problems.iter().for_each(|problem| pack.problem(problem));
    write_recorder(&mut pack, &place.recorder)?;
    system::write(&mut pack, &place.root)?;
    extracts::write(&mut pack, &place.root)?;
    pack.close()
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(io::Error::other)
}

fn write_recorder<W: Write>(pack: &mut Pack<W>, dir: &Path) -> io::Result<()> {
    match recorder::files(dir) {
        Ok(files) => {
            files.iter().try_for_each(|(name, bytes)| pack.file(&format!("{RECORDER}{name}"), bytes))
        }
        Err(error) => {
            pack.problem(format_args!("flight recorder {}: {error}", dir.display()));
            Ok(())
        }
    }
}
