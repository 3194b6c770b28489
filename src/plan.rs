//! Decide: pure functions of (records, observation, now). No I/O, no clock, no kernel.
//!
//! Each machine looks at what is and says what to record and what to do next; nothing is remembered between two calls
//! but what stands in the records, in the kernel and in [`Memory`] (what this daemon tried and saw since it started).
//! Steps are decided from records as they are stored, never from those the same plan is about to write: what a step
//! depends on has always been recorded before.

mod alone;
mod candidate;
pub mod capacity;
pub mod controller;
mod evacuate;
mod event;
pub mod explain;
pub mod heal;
pub mod held;
mod holders;
pub mod ledger;
pub mod leg;
mod liveness;
mod memory;
mod observation;
pub mod owner;
pub mod peers;
pub mod placement;
pub mod provider;
pub mod questions;
pub mod safety;
pub mod scale;
mod step;
pub mod stuck;
pub mod timing;
pub mod verbs;
mod width;
pub(crate) mod windows;

pub use alone::{Alone, StoreSilence};
pub use holders::{Held, Holder, Process, Through, Who};
pub use liveness::{Liveness, is_silent};
pub use memory::{Attempt, Compared, Memory, Scrubbed, Used};
pub use observation::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, DriveSeen, ExportSeen, MapSeen, MemberFlag,
    MemberSeen, MountSeen, Observation, PartitionSeen, Sample, Stranger, SyncAction, SyncSeen, TableSeen,
    Thing, TopSeen,
};
pub use peers::{Beat, Peers, Standing};
pub use step::{FailureKind, Join, Lane, NewMember, Outcome, Step, StepFailure, Usage};
pub use stuck::Waiting;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Key, Kind, NodeName, Reason, Record, ReplicaId, Timestamp, World};

/// What a machine looks at.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The node this daemon runs on.
    pub me: &'a NodeName,
    /// All records.
    pub world: &'a World,
    /// What the kernel of this node shows.
    pub seen: &'a Observation,
    /// What was tried and seen before.
    pub memory: &'a Memory,
    /// Now.
    pub now: Timestamp,
}

/// Everything a node does as such: for its drives and replicas, for volumes it owns or still holds, and about what is left
/// over from others.
#[must_use]
pub fn node(input: &Input) -> Plan {
    let mut plan = provider::plan(input);
    plan.merge(owner::plan(input));
    plan.merge(ledger::plan(input));
    plan
}

/// A record to be written if it still has the revision it had in the plan's [`World`]; `None` removes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which.
    pub key: Key,
    /// What it becomes.
    pub record: Option<Record>,
}

impl Write {
    /// The record that has to be as it was when this one was decided. A copy's spec goes by its volume's status: whoever knew an older one
    /// would undo what the owner asked for, or ask for a copy that is none any more, which nobody would take back.
    #[must_use]
    pub fn basis(&self, world: &World) -> Option<Key> {
        let volume = match (self.key.kind, &self.record) {
            (Kind::VolumeStatus, _) => return Some(self.key.clone()),
            (Kind::ReplicaSpec, Some(Record::ReplicaSpec(spec))) => spec.volume.clone(),
            (Kind::ReplicaSpec, _) => world.replica_spec(&self.key.name.parse().ok()?)?.volume.clone(),
            _ => return None,
        };
        Some(Key::new(Kind::VolumeStatus, volume))
    }
}

/// What to do next about one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Records to write. All of them before any step of a later plan.
    pub writes: Vec<Write>,
    /// Steps that may be done now, in parallel where their lanes differ.
    pub steps: Vec<Step>,
    /// What is waited for or refused.
    pub reasons: Vec<Reason>,
    /// When to look again even if nothing happens.
    pub wake_at: Option<Timestamp>,
    /// Lanes whose step is to give way: only one that can be done again from the start, and looks for this.
    pub abandon: BTreeSet<Lane>,
    /// Copies this node sees missing and looks after, with what is recorded of that: see [`heal`].
    pub missing: BTreeMap<ReplicaId, u64>,
    /// New copies this node builds and whose providers say that they cannot make them.
    pub objected: BTreeSet<ReplicaId>,
}

impl Plan {
    /// Adds another plan to this one.
    pub fn merge(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.steps.extend(other.steps);
        for reason in other.reasons {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        self.abandon.extend(other.abandon);
        self.missing.extend(other.missing);
        self.objected.extend(other.objected);
        if let Some(at) = other.wake_at {
            self.wake(at);
        }
    }

    /// Look again at `at` or earlier.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn put(&mut self, name: impl std::fmt::Display, record: Record) {
        self.writes.push(Write { key: Key::new(record.kind(), name), record: Some(record) });
    }

    fn remove(&mut self, key: Key) {
        self.writes.push(Write { key, record: None });
    }
}
