//! What the daemon tells the recorder, in the daemon's own terms.

use std::collections::BTreeMap;

use super::entry::{Entry, What, clip};
use super::writer::Recorder;
use super::{digest, summary};
use crate::domain::{Key, NodeName, Revision, Timestamp, World};
use crate::plan::{Observation, Outcome, Step, StepFailure, Write};

/// A daemon's own notes: what it noted last tells what is new.
#[derive(Debug)]
pub struct Notes {
    recorder: Recorder,
    seen: BTreeMap<String, String>,
    store_lost: bool,
}

impl Notes {
    /// The notes of a daemon that begins now.
    #[must_use]
    pub fn begin(recorder: Recorder, at: Timestamp, node: &NodeName) -> Self {
        let notes = Self { recorder, seen: BTreeMap::new(), store_lost: false };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        notes.note(at, What::Started { version, node: node.to_string() });
        notes
    }

    fn note(&self, at: Timestamp, what: What) {
        self.recorder.note(Entry { at, what });
    }

    /// A step was given to its lane. Routine is told only when it fails.
    pub fn begun(&self, at: Timestamp, step: &Step) {
        if step.is_routine() {
            return;
        }
        self.note(at, What::StepBegun { step: clip(step), lane: clip(summary::lane(&step.lane())) });
    }

    /// A step has ended.
    pub fn finished(&self, at: Timestamp, step: &Step, result: &Result<Outcome, StepFailure>) {
        let what = match result {
            Ok(_) if step.is_routine() => return,
            Ok(outcome) => What::StepDone { step: clip(step), outcome: summary::outcome(outcome) },
            Err(failure) => What::StepFailed {
                step: clip(step),
                kind: format!("{:?}", failure.kind),
                message: clip(&failure.message),
            },
        };
        self.note(at, what);
    }

    /// This daemon wrote or removed a record of `before`. Signs of life are not told.
    pub fn written(&self, at: Timestamp, before: &World, write: &Write, revision: Revision) {
        let (before, after) = (before.record(&write.key), write.record.as_ref());
        let Some(summary) = summary::of_change(before, after) else { return };
        let key = clip(&write.key);
        self.note(at, What::RecordWritten { key, revision: revision.0, summary: clip(summary) });
        for event in summary::new_events(before, after) {
            let (reason, message) = (clip(&event.reason), clip(&event.message));
            self.note(at, What::Event { volume: clip(&write.key.name), reason, message });
        }
    }

    /// Somebody else wrote or removed these records, which are in `world` now.
    pub fn seen(&self, at: Timestamp, world: &World, changed: &[Key]) {
        for key in changed {
            let record = world.record(key);
            if let Some(summary) = summary::of_change(record, record) {
                let revision = world.revision(key).0;
                self.note(at, What::RecordSeen { key: clip(key), revision, summary: clip(summary) });
            }
        }
    }

    /// The store did not take a record.
    pub fn refused(&self, at: Timestamp, key: &Key, why: impl std::fmt::Display) {
        self.note(at, What::RecordRefused { key: clip(key), why: clip(why) });
    }

    /// The store does not answer.
    pub fn store_lost(&mut self, at: Timestamp, why: &str) {
        if !std::mem::replace(&mut self.store_lost, true) {
            self.note(at, What::StoreLost { why: clip(why) });
        }
    }

    /// The store answered.
    pub fn store_answers(&mut self, at: Timestamp) {
        if std::mem::replace(&mut self.store_lost, false) {
            self.note(at, What::StoreBack);
        }
    }

    /// The kernel was looked at: notes what is new, different or gone.
    pub fn observed(&mut self, at: Timestamp, seen: &Observation) {
        let now = digest::of(seen);
        for (object, state) in digest::changes(&self.seen, &now) {
            self.note(at, What::Observed { object: clip(object), state: clip(state) });
        }
        self.seen = now;
    }
}
