//! See and do: the machines' ports over the kernel of this node.

mod apply;
mod device;
mod events;
mod identity;
mod notes;
mod observe;
mod prepare;
mod registry;
mod tables;

use std::path::Path;
use std::sync::Arc;

use kernel_abi::Root;

pub use events::watch as events;
pub use identity::report;
use notes::Notes;
pub use prepare::{Check, forbid_exec, preflight, prepare};
use tables::Tables;

use crate::domain::Endpoint;
use crate::plan::{Observation, Outcome, Sample, Step, StepFailure};
use crate::ports::Kernel;

/// The kernel this daemon runs on.
#[derive(Debug, Clone)]
pub struct NodeKernel {
    root: Root,
    tables: Arc<Tables>,
    notes: Notes,
}

impl NodeKernel {
    /// The running kernel; what no store can be told is noted below `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self { root: Root::live(), tables: Arc::default(), notes: Notes::new(state_dir.join("alone")) }
    }

    /// Forgets what was read from drives, so that the next look reads them again: something happened to a disk.
    pub fn forget_drives(&self) {
        self.tables.forget_all();
    }
}

impl Kernel for NodeKernel {
    fn observe(&self) -> Result<Observation, String> {
        observe::everything(&self.root, &self.tables, &self.notes).map_err(|error| chain(&error))
    }

    fn sample(&self, seen: &Observation) -> Result<Sample, String> {
        observe::sample(&self.root, seen).map_err(|error| chain(&error))
    }

    fn unanswered(&self, target: &Endpoint) -> Result<u64, String> {
        observe::unanswered(target).map_err(|error| chain(&error))
    }

    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
        apply::step(&self.root, &self.tables, &self.notes, step)
    }
}

/// An error with everything behind it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
