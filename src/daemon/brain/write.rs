//! Recording what a plan wants recorded.
//!
//! Guarantees: a lease is written first and alone, so that who lost it records nothing by it; the writes that concern one volume
//! are made one after the other in the plan's order, and none of them after one that was not taken. Writes of different volumes,
//! drives and nodes wait for nobody: the store is asked for all of them at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Brain, Written};
use crate::daemon::clock;
use crate::domain::{Key, Kind, Record, Revision, Versioned, World};
use crate::plan::Write;
use crate::ports::{Change, Store, StoreError};

/// Writes that keep their order.
type Chain = Vec<(Write, Revision)>;
/// What the store said to each, up to the first that it did not take.
type Said = Vec<(Write, Result<Revision, StoreError>)>;

impl Brain {
    /// Writes what a plan wants recorded.
    pub(super) async fn write_all(&mut self, writes: &[Write]) -> Written {
        let (leases, rest): (Vec<_>, Vec<_>) =
            writes.iter().cloned().partition(|write| write.key.kind == Kind::Lease);
        let written = self.write_side_by_side(leases).await;
        if matches!(written, Written::Overtaken | Written::Unavailable) {
            return written;
        }
        written.max(self.write_side_by_side(rest).await)
    }

    /// A store that did not answer is not asked again at once: its time-out would hold everything up.
    async fn write_side_by_side(&mut self, writes: Vec<Write>) -> Written {
        let chains = chains(self.records.world(), writes);
        if chains.is_empty() {
            return Written::Nothing;
        }
        if clock::now() < self.store_retry_at {
            return Written::Unavailable;
        }
        let mut under_way = put_all(&self.ports.store, chains);
        let mut written = Written::Nothing;
        while let Some(said) = under_way.join_next().await {
            for (write, answer) in
                said.inspect_err(|error| tracing::error!(%error, "a writer died")).unwrap_or_default()
            {
                written = written.max(self.take_answer(&write, answer).await);
            }
        }
        written
    }

    async fn take_answer(&mut self, write: &Write, answer: Result<Revision, StoreError>) -> Written {
        match answer {
            Ok(revision) => {
                self.find_store();
                self.notes.written(clock::now(), self.records.world(), write, revision);
                let value = write.record.clone().map(|value| Versioned { revision, value });
                let changed = self.records.take_change(Change { key: write.key.clone(), value, revision });
                self.memory.liveness.heard(changed, clock::now());
                Written::Some
            }
            Err(StoreError::Conflict { key, .. }) => {
                self.notes.refused(clock::now(), &key, "somebody else wrote it first");
                self.refresh(&key).await;
                Written::Overtaken
            }
            Err(error) => {
                tracing::warn!(key = %write.key, %error, "could not record");
                self.notes.refused(clock::now(), &write.key, &error);
                self.lose_store(error.to_string());
                Written::Unavailable
            }
        }
    }

    /// Somebody else wrote the record: read it, and plan with what it says. That it is gone the watch will tell.
    async fn refresh(&mut self, key: &Key) {
        match self.ports.store.get(key).await {
            Ok(Some(value)) => {
                let change = Change { key: key.clone(), revision: value.revision, value: Some(value) };
                let changed = self.records.take_change(change);
                self.memory.liveness.heard(changed, clock::now());
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%key, %error, "could not read"),
        }
    }
}

/// Which writes keep their order, each with the revision it expects. What is not there is not removed again.
fn chains(world: &World, writes: Vec<Write>) -> Vec<Chain> {
    let mut chains: BTreeMap<Key, Chain> = BTreeMap::new();
    for write in writes {
        let expected = world.revision(&write.key);
        if write.record.is_some() || expected != Revision(0) {
            chains.entry(concerns(world, &write)).or_default().push((write, expected));
        }
    }
    chains.into_values().collect()
}

/// What a write concerns: a volume, with everything of its copies, else what is written.
fn concerns(world: &World, write: &Write) -> Key {
    let volume = match (&write.record, write.key.kind) {
        (_, Kind::VolumeSpec | Kind::VolumeStatus) => Some(write.key.name.clone()),
        (Some(Record::ReplicaSpec(spec)), _) => Some(spec.volume.to_string()),
        (_, Kind::ReplicaSpec | Kind::ReplicaStatus) => {
            let id = write.key.name.parse().ok();
            id.and_then(|id| world.replica(&id)).map(|replica| replica.spec.volume.to_string())
        }
        (_, Kind::DriveSpec | Kind::DriveStatus | Kind::NodeSpec | Kind::NodeStatus | Kind::Lease) => None,
    };
    volume.map_or_else(|| write.key.clone(), |name| Key::new(Kind::VolumeSpec, name))
}

fn put_all(store: &Arc<dyn Store>, chains: Vec<Chain>) -> JoinSet<Said> {
    chains.into_iter().map(|chain| put(Arc::clone(store), chain)).collect()
}

/// Makes the writes of a chain. One that comes twice expects what it was made the first time.
async fn put(store: Arc<dyn Store>, chain: Chain) -> Said {
    let mut said = Said::new();
    let mut made: BTreeMap<Key, Revision> = BTreeMap::new();
    for (write, expected) in chain {
        let expected = made.get(&write.key).copied().unwrap_or(expected);
        let answer = store.put(&write.key, write.record.as_ref(), expected).await;
        let taken = answer.as_ref().ok().copied();
        made.extend(taken.map(|revision| (write.key.clone(), revision)));
        said.push((write, answer));
        if taken.is_none() {
            break;
        }
    }
    said
}

#[cfg(test)]
mod tests;
