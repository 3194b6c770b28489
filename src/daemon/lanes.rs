//! Steps run on threads of their own, one per lane at a time. A call that never returns keeps its lane and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use crate::domain::Timestamp;
use crate::plan::{FailureKind, Lane, Outcome, Step, StepFailure};
use crate::ports::Kernel;

/// A finished step.
pub(super) struct Finished {
    pub(super) step: Step,
    pub(super) result: Result<Outcome, StepFailure>,
}

/// The lanes of one node.
pub(super) struct Lanes {
    kernel: Arc<dyn Kernel>,
    done: mpsc::UnboundedSender<Finished>,
    running: BTreeMap<Lane, (Step, Timestamp)>,
}

impl Lanes {
    pub(super) fn new(kernel: Arc<dyn Kernel>) -> (Self, mpsc::UnboundedReceiver<Finished>) {
        let (done, finished) = mpsc::unbounded_channel();
        (Self { kernel, done, running: BTreeMap::new() }, finished)
    }

    pub(super) fn is_free(&self, lane: &Lane) -> bool {
        !self.running.contains_key(lane)
    }

    /// Starts a step on its own thread.
    pub(super) fn start(&mut self, step: Step, now: Timestamp) {
        if step.is_routine() {
            tracing::debug!(%step, "begin");
        } else {
            tracing::info!(%step, "begin");
        }
        self.running.insert(step.lane(), (step.clone(), now));
        let (kernel, done, own) = (Arc::clone(&self.kernel), self.done.clone(), step.clone());
        let spawned = thread::Builder::new().name("mdfabric-lane".to_owned()).spawn(move || {
            let result = kernel.apply(&own);
            drop(done.send(Finished { step: own, result }));
        });
        if let Err(error) = spawned {
            let failure =
                StepFailure { kind: FailureKind::Retry, message: format!("no thread for it: {error}") };
            drop(self.done.send(Finished { step, result: Err(failure) }));
        }
    }

    /// Frees a step's lane.
    pub(super) fn finish(&mut self, step: &Step) {
        self.running.remove(&step.lane());
    }

    /// What is under way, and since when.
    pub(super) fn running(&self) -> impl Iterator<Item = (&Step, Timestamp)> {
        self.running.values().map(|(step, since)| (step, *since))
    }
}
