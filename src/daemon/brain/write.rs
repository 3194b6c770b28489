//! Recording what a plan wants recorded.
//!
//! Guarantees: a lease is written first and alone, so that who lost it records nothing by it; the writes that concern one volume
//! are made one after the other in the plan's order, and none of them after one that was not taken. Writes of different volumes,
//! drives and nodes wait for nobody: the store is asked for all of them at once. The node's heartbeat does not wait for them either.
//! A write that the store refuses, a lease's too, holds up only what it is in one chain with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Brain, Written};
use crate::daemon::clock;
use crate::domain::{Key, Kind, Record, Revision, Versioned, VolumeName, World};
use crate::plan::{Write, timing};
use crate::ports::{Change, Store, StoreError};

/// Writes that keep their order, each with the revision it expects.
struct Chain {
    /// What has to be as it was when they were decided ([`Write::basis`]), where none of them says that itself.
    basis: Option<(Key, Revision)>,
    writes: Vec<(Write, Revision)>,
}

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
        let (chains, held_back) = self.offered(chains(self.records.world(), writes));
        if chains.is_empty() {
            return held_back;
        }
        if clock::now() < self.store_retry_at {
            return Written::Unavailable;
        }
        if clock::now() < self.overtaken_until {
            self.offer_at = self.offer_at.min(self.overtaken_until);
            return Written::Overtaken;
        }
        let mut under_way = put_all(&self.ports.store, chains);
        let mut written = held_back;
        while let Some(said) = self.next_of(&mut under_way).await {
            for (write, answer) in said {
                written = written.max(self.take_answer(&write, answer).await);
            }
        }
        written
    }

    /// The chains without what was refused a moment ago, and what stands behind that: it is planned again once it may be offered.
    fn offered(&mut self, chains: Vec<Chain>) -> (Vec<Chain>, Written) {
        let now = clock::now();
        let mut held_back = Written::Nothing;
        let offered = chains.into_iter().map(|mut chain| {
            let hold = |(at, (write, _)): (usize, &(Write, Revision))| {
                self.refusals.hold(write, now).map(|until| (at, until))
            };
            if let Some((at, until)) = chain.writes.iter().enumerate().find_map(hold) {
                chain.writes.truncate(at);
                held_back = Written::Refused;
                self.offer_at = self.offer_at.min(until);
            }
            chain
        });
        let offered: Vec<Chain> = offered.filter(|chain| !chain.writes.is_empty()).collect();
        (offered, held_back)
    }

    /// What the store said to the next chain; `None` after the last. Meanwhile the heart beats.
    async fn next_of(&mut self, under_way: &mut JoinSet<Said>) -> Option<Said> {
        loop {
            let due = Duration::from_millis(self.beats.due().since(clock::now()));
            tokio::select! {
                said = under_way.join_next() => {
                    let said = said?.inspect_err(|error| tracing::error!(%error, "a writer died"));
                    return Some(said.unwrap_or_default());
                }
                said = self.beats.said() => self.take_beat(said).await,
                () = tokio::time::sleep(due) => self.beat(),
            }
        }
    }

    pub(super) async fn take_answer(
        &mut self,
        write: &Write,
        answer: Result<Revision, StoreError>,
    ) -> Written {
        match answer {
            Ok(revision) => {
                self.find_store();
                self.refusals.forget(&write.key);
                self.notes.written(clock::now(), self.records.world(), write, revision);
                let value = write.record.clone().map(|value| Versioned { revision, value });
                let changed = self.records.take_change(Change { key: write.key.clone(), value, revision });
                self.memory.liveness.heard(changed, clock::now());
                Written::Some
            }
            Err(StoreError::Conflict { key, expected, .. }) => {
                self.notes.refused(clock::now(), &key, "somebody else wrote it first");
                self.refresh(write, &key, expected).await
            }
            Err(error @ (StoreError::Refused { .. } | StoreError::Corrupt { .. })) => {
                self.refuse(write, &error);
                Written::Refused
            }
            Err(error) => {
                tracing::warn!(key = %write.key, %error, "could not record");
                self.notes.refused(clock::now(), &write.key, &error);
                self.lose_store(error.to_string());
                Written::Unavailable
            }
        }
    }

    /// A write that the store does not take as it is. The store answers, and somebody has to know.
    fn refuse(&mut self, write: &Write, error: &StoreError) {
        let now = clock::now();
        tracing::warn!(key = %write.key, %error, "refused");
        self.find_store();
        self.notes.refused(now, &write.key, error);
        let volume = volume_of(self.records.world(), write);
        self.refusals.note(write, volume, &error.to_string(), now);
    }

    /// Somebody else wrote a record, this one or one that it was decided by: read it, and plan with what it says. One that cannot be
    /// read is in nobody's way, once it is planned with that: a step may hang on what is not known any more.
    async fn refresh(&mut self, write: &Write, key: &Key, expected: Revision) -> Written {
        let known = self.records.world().revision(key);
        match self.learn(key, expected).await {
            // A store that was restored from a backup has what is older than what is known, until everything is listed again.
            Ok(()) if self.records.world().revision(key) == known => self.wait_for_news(),
            Ok(()) => Written::Overtaken,
            Err(StoreError::Corrupt { key, why }) => {
                self.refuse(write, &StoreError::Corrupt { key: key.clone(), why });
                let is_new = self.records.take_unreadable(key);
                if is_new { Written::Some } else { Written::Refused }
            }
            Err(error) => {
                tracing::warn!(%key, %error, "could not read");
                self.wait_for_news()
            }
        }
    }

    /// Reads a record, and where it is gone the other half of it, too: whoever knew only of one half that it is gone would write that anew,
    /// beside nothing and for ever.
    async fn learn(&mut self, key: &Key, expected: Revision) -> Result<(), StoreError> {
        let is_there = self.read(key, expected).await?;
        if let Some(other) = key.other_half().filter(|_| !is_there) {
            self.read(&other, self.records.world().revision(&other)).await?;
        }
        Ok(())
    }

    /// Whether the record is there.
    async fn read(&mut self, key: &Key, expected: Revision) -> Result<bool, StoreError> {
        let change = Change::read(&*self.ports.store, key, expected).await?;
        let is_there = change.value.is_some();
        let changed = self.records.take_change(change);
        self.memory.liveness.heard(changed, clock::now());
        Ok(is_there)
    }

    /// What overtook a write is not known, so that the same would be overtaken again at once.
    fn wait_for_news(&mut self) -> Written {
        self.overtaken_until = clock::now().plus(timing::OVERTAKEN_MILLIS);
        self.offer_at = self.offer_at.min(self.overtaken_until);
        Written::Overtaken
    }
}

/// Which writes keep their order. What is not there is not removed again.
fn chains(world: &World, writes: Vec<Write>) -> Vec<Chain> {
    let mut chains: BTreeMap<Key, Vec<(Write, Revision)>> = BTreeMap::new();
    for write in writes {
        let expected = world.revision(&write.key);
        if write.record.is_some() || expected != Revision(0) {
            chains.entry(concerns(world, &write)).or_default().push((write, expected));
        }
    }
    chains.into_values().map(|writes| Chain { basis: basis(world, &writes), writes }).collect()
}

/// The first of several writes that is the basis of others, or has one, says of all what they hang on.
fn basis(world: &World, writes: &[(Write, Revision)]) -> Option<(Key, Revision)> {
    let mut bases = writes.iter().filter_map(|(write, _)| Some((write, write.basis(world)?)));
    let (write, basis) = bases.next()?;
    (write.key != basis).then(|| (basis.clone(), world.revision(&basis)))
}

/// What a write concerns: a volume, with everything of its copies, else what is written.
fn concerns(world: &World, write: &Write) -> Key {
    volume_of(world, write).map_or_else(|| write.key.clone(), |name| Key::new(Kind::VolumeSpec, name))
}

/// The volume that a write is about, itself or a copy of it.
fn volume_of(world: &World, write: &Write) -> Option<VolumeName> {
    match (&write.record, write.key.kind) {
        (_, Kind::VolumeSpec | Kind::VolumeStatus) => write.key.name.parse().ok(),
        (Some(Record::ReplicaSpec(spec)), _) => Some(spec.volume.clone()),
        (_, Kind::ReplicaSpec | Kind::ReplicaStatus) => {
            let id = write.key.name.parse().ok();
            id.and_then(|id| world.replica(&id)).map(|replica| replica.spec.volume)
        }
        (_, Kind::DriveSpec | Kind::DriveStatus | Kind::NodeSpec | Kind::NodeStatus | Kind::Lease) => None,
    }
}

fn put_all(store: &Arc<dyn Store>, chains: Vec<Chain>) -> JoinSet<Said> {
    chains.into_iter().map(|chain| put(Arc::clone(store), chain)).collect()
}

/// Makes the writes of a chain. One that comes twice expects what it was made the first time.
async fn put(store: Arc<dyn Store>, chain: Chain) -> Said {
    let mut said = Said::new();
    let mut made: BTreeMap<Key, Revision> = BTreeMap::new();
    if let Err(error) = is_still(&*store, chain.basis).await {
        let first = chain.writes.into_iter().next();
        return first.map(|(write, _)| (write, Err(error))).into_iter().collect();
    }
    for (write, expected) in chain.writes {
        let expected = made.get(&write.key).copied().unwrap_or(expected);
        let answer = gone_is_gone(&write, store.put(&write.key, write.record.as_ref(), expected).await);
        let taken = answer.as_ref().ok().copied();
        made.extend(taken.map(|revision| (write.key.clone(), revision)));
        said.push((write, answer));
        if taken.is_none() {
            break;
        }
    }
    said
}

/// A conflict where it is not what it was, or cannot be read: whoever takes the answer reads it.
async fn is_still(store: &dyn Store, basis: Option<(Key, Revision)>) -> Result<(), StoreError> {
    let Some((key, expected)) = basis else { return Ok(()) };
    let found = match store.get(&key).await {
        Ok(found) => found.map_or(Revision(0), |found| found.revision),
        Err(StoreError::Corrupt { .. }) => {
            return Err(StoreError::Conflict { key, expected, found: Revision(0) });
        }
        Err(error) => return Err(error),
    };
    if found == expected { Ok(()) } else { Err(StoreError::Conflict { key, expected, found }) }
}

/// A record that was to be removed and is not there any more is removed, some time after the revision that was expected. When is not
/// known: a change in between that the watch still has to bring shows it once more, until its end is brought. Then its removal is tried again,
/// and that is all: whatever else is written of it meets a conflict.
fn gone_is_gone(write: &Write, answer: Result<Revision, StoreError>) -> Result<Revision, StoreError> {
    match answer {
        Err(StoreError::Conflict { expected, found: Revision(0), .. }) if write.record.is_none() => {
            Ok(Revision(expected.0.saturating_add(1)))
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
