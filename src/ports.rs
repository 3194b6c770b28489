//! What the machines need of the world.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::domain::{Endpoint, Key, NodeName, Reason, Record, Revision, Versioned};
use crate::plan::{Lane, Observation, Outcome, Peers, Sample, Step, StepFailure, Waiting};

pub use crate::plan::timing::Pace;

/// A future a port returns.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record has another revision than expected: somebody else wrote it. Read again and decide anew.
    #[error("{key} is at revision {found}, not at {expected}", found = found.0, expected = expected.0)]
    Conflict {
        /// The record.
        key: Key,
        /// What the writer had seen.
        expected: Revision,
        /// What is there; 0 where nothing is.
        found: Revision,
    },
    /// The store does not answer, or cannot take a write now.
    #[error("store {store}: {call}: {why}")]
    Unavailable {
        /// Path or endpoints.
        store: String,
        /// What was tried.
        call: &'static str,
        /// What it said.
        why: String,
    },
    /// The store does not take the record, now or later: its rules, its rights, or its form of records are against it.
    #[error("{key} is refused by the store: {why}")]
    Refused {
        /// The record.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// The record is there and cannot be read. It is left alone.
    #[error("{key} cannot be read: {why}")]
    Corrupt {
        /// The record.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
    /// Changes were missed; list everything again.
    #[error("changes were missed, everything has to be listed again")]
    Lagged,
}

/// All records at one revision.
#[derive(Debug, Default)]
pub struct Listing {
    /// The records. One that cannot be read is in `corrupt` instead and hides no other.
    pub records: Vec<(Key, Versioned<Record>)>,
    /// Records that cannot be read, and why.
    pub corrupt: Vec<(Key, String)>,
    /// The store's revision at that moment: watch from here.
    pub revision: Revision,
}

/// One change, in the order the store made them.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The record.
    pub key: Key,
    /// What it is now; `None` when it is gone.
    pub value: Option<Versioned<Record>>,
    /// The store's revision of this change.
    pub revision: Revision,
}

impl Change {
    /// What a record is now, for somebody who knows it as of `expected`. One that is gone went some time after that. Errors: those of
    /// [`Store::get`].
    pub async fn read(store: &dyn Store, key: &Key, expected: Revision) -> Result<Self, StoreError> {
        let value = store.get(key).await?;
        let gone = Revision(expected.0.saturating_add(1));
        let revision = value.as_ref().map_or(gone, |value| value.revision);
        Ok(Self { key: key.clone(), value, revision })
    }
}

/// The changes after a revision. Ends only with an error.
pub trait Watch: Send {
    /// The next batch of changes, at least one. [`StoreError::Lagged`] when some were missed.
    fn next(&mut self) -> PortFuture<'_, Result<Vec<Change>, StoreError>>;
}

/// Where records live. Guarantees: writes are durable when they return; [`Store::put`] is atomic and compares the
/// record's revision; a watch misses nothing or says so.
pub trait Store: Send + Sync {
    /// One record.
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>>;

    /// All records.
    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>>;

    /// The changes after `from`.
    fn watch(&self, from: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>>;

    /// Writes (`Some`) or removes (`None`) a record if its revision still is `expected` (0: if there is none).
    /// Returns the new revision.
    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>>;

    /// What to call it in messages.
    fn name(&self) -> String;

    /// How often a node may write that it lives.
    fn pace(&self) -> Pace {
        Pace::FREQUENT
    }

    /// Records that somebody took away by other means than this port, and that stay until what they stand for is gone.
    fn held(&self) -> Vec<Key> {
        Vec::new()
    }

    /// Tells those who ask the store itself why such a record stays. Nobody waits for it, and what was told is not told again.
    fn tell(&self, _key: &Key, _reason: &Reason) {}
}

/// What calls into one node's kernel are in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InCalls {
    /// Steps, by lane.
    pub steps: BTreeMap<Lane, Waiting>,
    /// The look at everything.
    pub look: Option<Waiting>,
}

/// One node's kernel. All calls block as long as the kernel does; the caller gives each lane its own thread.
pub trait Kernel: Send + Sync {
    /// What is there now. An error hides nothing that was seen before: the caller keeps its last observation.
    fn observe(&self) -> Result<Observation, String>;

    /// What changes without an event of what was seen: a few small files instead of everything.
    fn sample(&self, seen: &Observation) -> Result<Sample, String>;

    /// For how many milliseconds the kernel at `target` has acknowledged nothing of what this one has sent to it, the longest
    /// of their connections; 0 where nothing waits for an answer.
    fn unanswered(&self, target: &Endpoint) -> Result<u64, String>;

    /// What it is in now, and for how long.
    fn in_calls(&self) -> InCalls;

    /// Tells the running step of a lane to give way. One that looks for this ends soon, as abandoned; any other goes on.
    fn abandon(&self, lane: &Lane);

    /// Does one step. Idempotent: a step that was done before, wholly or half, can be done again.
    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure>;
}

/// The daemons of other nodes, as they are heard over the data network.
pub trait Heartbeats: Send + Sync {
    /// Where all other nodes are, and which of them this one wants to hear.
    fn follow(&self, nodes: BTreeMap<NodeName, (Endpoint, bool)>);

    /// What is heard of them now.
    fn heard(&self) -> Peers;

    /// From now on every beat says that this machine goes down; the first of them at once.
    fn say_goodbye(&self);
}
