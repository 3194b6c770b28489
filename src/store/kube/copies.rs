//! What `kubectl get mdrep` shows of a copy: its provider's word or its owner's, and what its volume has in use.
//!
//! The one author of that summary is the daemon of the copy's node, which sees the volume's status too. Where a volume makes another
//! summary, the copy's status is written again as it is with that one beside it; whatever its provider wrote meanwhile brings its own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;

use super::place::Place;
use super::summary::ReplicaSummary;
use super::{KubeStore, form, revision};
use crate::domain::{Key, Kind, NodeName, Record, Replica, ReplicaStatus, Revision, VolumeStatus};

/// A copy on this node.
#[derive(Debug)]
struct Here {
    at: Revision,
    replica: Replica,
    /// The summary that it has, or that is on its way.
    shown: Option<ReplicaSummary>,
}

#[derive(Debug, Default)]
struct Seen {
    volumes: HashMap<String, (Revision, VolumeStatus)>,
    copies: HashMap<String, Here>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Copies(Mutex<Seen>);

impl Copies {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object as it is, or as it was when it went.
    pub(super) fn note(&self, me: &NodeName, place: Place, object: &DynamicObject, is_there: bool) {
        match place {
            Place::Volume => self.note_volume(object, is_there),
            Place::Replica => self.note_copy(me, object, is_there),
            Place::Drive | Place::Node | Place::Lease => {}
        }
    }

    fn note_volume(&self, object: &DynamicObject, is_there: bool) {
        let (name, now) = (form::key(Kind::VolumeStatus, object).name, revision(object));
        let volumes = &mut self.lock().volumes;
        if volumes.get(&name).is_some_and(|(at, _)| *at > now) {
            return;
        }
        match form::read(Kind::VolumeStatus, object).filter(|_| is_there) {
            Some(Ok(Record::VolumeStatus(status))) => drop(volumes.insert(name, (now, status))),
            _ => drop(volumes.remove(&name)),
        }
    }

    fn note_copy(&self, me: &NodeName, object: &DynamicObject, is_there: bool) {
        let (name, at) = (form::key(Kind::ReplicaStatus, object).name, revision(object));
        let copies = &mut self.lock().copies;
        if copies.get(&name).is_some_and(|here| here.at > at) {
            return;
        }
        match replica(object).filter(|replica| is_there && replica.spec.node == *me) {
            Some(replica) => drop(copies.insert(name, Here { at, replica, shown: shown(object) })),
            None => drop(copies.remove(&name)),
        }
    }

    /// The summary of a copy whose status is to be written.
    pub(super) fn summary(&self, name: &str, status: &ReplicaStatus) -> ReplicaSummary {
        let seen = self.lock();
        let Some(here) = seen.copies.get(name) else { return ReplicaSummary::alone(status) };
        let replica = Replica { status: Some(status.clone()), ..here.replica.clone() };
        ReplicaSummary::of(&replica, seen.volume(&replica))
    }

    /// The copies, of one volume or of all, whose summary is not what they show. From now on it is on its way.
    fn due(&self, volume: Option<&str>) -> Vec<(Key, ReplicaStatus, Revision)> {
        let seen = &mut *self.lock();
        let mut due = Vec::new();
        for (name, here) in &mut seen.copies {
            let of = here.replica.spec.volume.as_str();
            let status = here.replica.status.clone().filter(|_| volume.is_none_or(|volume| volume == of));
            let Some(status) = status else { continue };
            let summary = ReplicaSummary::of(&here.replica, seen.volumes.get(of).map(|(_, status)| status));
            if here.shown.as_ref() != Some(&summary) {
                here.shown = Some(summary);
                due.push((Key::new(Kind::ReplicaStatus, name), status, here.at));
            }
        }
        due
    }

    /// A summary did not get there: it is due again.
    fn failed(&self, name: &str) {
        if let Some(here) = self.lock().copies.get_mut(name) {
            here.shown = None;
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        *self.lock() = Seen::default();
    }
}

impl Seen {
    fn volume(&self, replica: &Replica) -> Option<&VolumeStatus> {
        self.volumes.get(replica.spec.volume.as_str()).map(|(_, status)| status)
    }
}

fn replica(object: &DynamicObject) -> Option<Replica> {
    let Record::ReplicaSpec(spec) = form::read(Kind::ReplicaSpec, object)?.ok()? else { return None };
    let status = match form::read(Kind::ReplicaStatus, object) {
        Some(Ok(Record::ReplicaStatus(status))) => Some(status),
        _ => None,
    };
    Some(Replica { spec, status })
}

fn shown(object: &DynamicObject) -> Option<ReplicaSummary> {
    serde_json::from_value(object.data.pointer("/status/summary")?.clone()).ok()
}

/// The volume whose copies may have another summary by a change of this object.
pub(super) fn concerned(place: Place, object: &DynamicObject) -> Option<String> {
    match place {
        Place::Volume => Some(form::key(Kind::VolumeStatus, object).name),
        Place::Replica => object.data.pointer("/spec/volume")?.as_str().map(str::to_owned),
        Place::Drive | Place::Node | Place::Lease => None,
    }
}

impl KubeStore {
    /// Brings up to date what this node's copies show, those of one volume or all. Nobody waits for it, and what could not be
    /// written is tried again at the next change.
    pub(super) fn show_copies(&self, volume: Option<&str>) {
        for (key, status, at) in self.inner.copies.due(volume) {
            let store = self.clone();
            tokio::spawn(async move {
                let record = Record::ReplicaStatus(status);
                if let Err(error) = store.put_record(&key, Some(&record), at).await {
                    tracing::debug!(%key, %error, "what is shown of a copy is old");
                    store.inner.copies.failed(&key.name);
                }
            });
        }
    }
}
