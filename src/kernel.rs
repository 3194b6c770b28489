//! See and do: the machines' ports over the kernel of this node.

mod apply;
mod device;
mod events;
mod identity;
mod observe;
mod prepare;
mod registry;
mod tables;

use std::sync::Arc;

use kernel_abi::Root;

pub use events::watch as events;
pub use identity::report;
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
}

impl NodeKernel {
    /// The running kernel.
    #[must_use]
    pub fn new() -> Self {
        Self { root: Root::live(), tables: Arc::default() }
    }

    /// Forgets what was read from drives, so that the next look reads them again: something happened to a disk.
    pub fn forget_drives(&self) {
        self.tables.forget_all();
    }
}

impl Default for NodeKernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel for NodeKernel {
    fn observe(&self) -> Result<Observation, String> {
        observe::everything(&self.root, &self.tables).map_err(|error| chain(&error))
    }

    fn sample(&self, seen: &Observation) -> Result<Sample, String> {
        observe::sample(&self.root, seen).map_err(|error| chain(&error))
    }

    fn unanswered(&self, target: &Endpoint) -> Result<u64, String> {
        observe::unanswered(target).map_err(|error| chain(&error))
    }

    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
        apply::step(&self.root, &self.tables, step)
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
