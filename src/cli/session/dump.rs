//! A dump in the place of a daemon: it answers what its daemon would have answered when it was made.

use std::path::{Path, PathBuf};

use crate::api::dump;
use crate::api::server::stale;
use crate::cli::failure::Failure;
use crate::domain::{NodeName, Timestamp, World};
use crate::plan::explain::{self, Facts};
use crate::telemetry::dump::{Archive, ArchiveError, Manifest, NodeFacts};

/// What was read of an archive.
pub(super) struct Dump {
    path: PathBuf,
    manifest: Manifest,
    me: NodeName,
    world: World,
    node: Option<NodeFacts>,
}

impl Dump {
    /// Reads an archive; says which of its records cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let Archive { manifest, records, node, .. } = Archive::open(path)?;
        let me = manifest.node.parse().map_err(|error: crate::domain::InvalidName| ArchiveError::Entry {
            path: path.to_owned(),
            entry: "dump.json".to_owned(),
            why: error.to_string(),
        })?;
        let (world, unreadable) = dump::unpack(&records);
        for line in unreadable {
            eprintln!("warning: {}: {line}", path.display());
        }
        Ok(Self { path: path.to_owned(), manifest, me, world, node })
    }

    /// When it was made.
    pub(super) fn taken_at(&self) -> Timestamp {
        self.manifest.taken_at
    }

    /// Its records.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Why its answers are less than a daemon's.
    pub(super) fn notice(&self) -> Option<String> {
        match &self.node {
            Some(node) => node.store_lost.as_deref().map(stale),
            None => Some("no daemon answered when the dump was made; what it knew is missing".to_owned()),
        }
    }

    /// Why an object was as it was.
    pub(super) fn explain(&self, object: &str) -> Result<Vec<String>, Failure> {
        let nothing = NodeFacts::default();
        let node = self.node.as_ref().unwrap_or(&nothing);
        let facts = Facts {
            me: &self.me,
            now: self.manifest.taken_at,
            running: &node.running,
            failing: &node.failing,
            reasons: &node.reasons,
            store_lost: node.store_lost.as_deref(),
            leads: node.leads,
            peers: &node.peers,
            foreign: &node.foreign,
        };
        let refused = |refusal: crate::plan::verbs::Refusal| Failure::new(refusal.message, refusal.next_step);
        explain::explain(&self.world, &facts, object).map_err(refused)
    }

    /// The answer to what only a daemon can do.
    pub(super) fn only_shows(&self, why: &str) -> Failure {
        let Self { path, manifest, .. } = self;
        Failure::new(
            format_args!("--root {}: a dump of {} only shows what was: {why}", path.display(), manifest.node),
            "leave --root out to ask the daemon",
        )
    }
}
