//! See and do: the machines' ports over the kernel of this node.

mod apply;
mod calls;
mod device;
mod events;
mod identity;
mod notes;
mod observe;
mod prepare;
mod registry;
mod tables;
mod udev;

use std::path::Path;
use std::sync::Arc;

use kernel_abi::Root;
use tokio::sync::mpsc;

use calls::Calls;
pub use events::watch as events;
pub use identity::report;
use notes::Notes;
pub use prepare::{Check, forbid_exec, preflight, prepare};
use tables::Tables;
pub use udev::put_udev_rule;

use crate::domain::Endpoint;
use crate::plan::{Lane, Observation, Outcome, Sample, Step, StepFailure};
use crate::ports::{InCalls, Kernel};

/// The kernel this daemon runs on.
#[derive(Debug, Clone)]
pub struct NodeKernel {
    root: Root,
    tables: Arc<Tables>,
    notes: Notes,
    calls: Arc<Calls>,
}

impl NodeKernel {
    /// The running kernel; what no store can be told is noted below `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        let notes = Notes::new(state_dir.join("alone"));
        Self { root: Root::live(), tables: Arc::default(), notes, calls: Arc::default() }
    }

    /// A drive that answers when nobody waits for it any more wakes whoever `wake` is for.
    fn tell_late_answers(&self, wake: mpsc::Sender<()>) {
        self.tables.wake(wake);
    }

    /// Forgets what was read from drives, so that the next look reads them again: something happened to a disk.
    pub fn forget_drives(&self) {
        self.tables.forget_all();
    }
}

impl Kernel for NodeKernel {
    fn observe(&self) -> Result<Observation, String> {
        let look = || observe::everything(&self.root, &self.tables, &self.notes);
        self.calls.of_look(look).map_err(|error| chain(&error))
    }

    fn sample(&self, seen: &Observation) -> Result<Sample, String> {
        observe::sample(&self.root, seen).map_err(|error| chain(&error))
    }

    fn unanswered(&self, target: &Endpoint) -> Result<u64, String> {
        observe::unanswered(target).map_err(|error| chain(&error))
    }

    fn in_calls(&self) -> InCalls {
        self.calls.now()
    }

    fn abandon(&self, lane: &Lane) {
        self.calls.abandon(lane);
    }

    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
        self.calls.of_lane(&step.lane(), |abandoned| {
            apply::step(&self.root, &self.tables, &self.notes, step, abandoned)
        })
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
