//! Objects that were deleted and that are held until their data is gone, and what was told of that.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::api::DynamicObject;
use serde_json::Value;

use super::form;
use super::place::{Half, Place};
use crate::domain::{Key, Kind, Reason};

/// One that waits.
struct Waiting {
    place: Place,
    /// What it is known by: without what it says.
    object: DynamicObject,
    /// Why, as it was told last.
    told: Option<Reason>,
}

/// See the module. By the record whose removal it is: the object's spec.
#[derive(Default)]
pub(super) struct Held(Mutex<BTreeMap<Key, Waiting>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object as it is, or as it was when it went.
    pub(super) fn note(&self, place: Place, object: &DynamicObject, is_there: bool) {
        let Some(key) = spec_key(place, object) else { return };
        let mut waiting = self.lock();
        if !is_there || object.metadata.deletion_timestamp.is_none() || !form::is_held(object) {
            waiting.remove(&key);
            return;
        }
        let told = waiting.remove(&key).filter(|one| one.object.metadata.uid == object.metadata.uid);
        let mut bare = DynamicObject {
            types: object.types.clone(),
            metadata: object.metadata.clone(),
            data: Value::Null,
        };
        bare.metadata.managed_fields = None;
        waiting.insert(key, Waiting { place, object: bare, told: told.and_then(|one| one.told) });
    }

    /// Everything there is was listed: nothing else waits.
    pub(super) fn keep(&self, there: &HashSet<&Key>) {
        self.lock().retain(|key, _| there.contains(key));
    }

    /// All of them.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// Takes note of why one waits. Gives what is to be told, the first time.
    pub(super) fn tell(&self, key: &Key, reason: &Reason) -> Option<(Place, DynamicObject)> {
        let mut waiting = self.lock();
        let one = waiting.get_mut(key)?;
        let is_first = one.told.replace(reason.clone()).is_none();
        is_first.then(|| (one.place, one.object.clone()))
    }

    /// Why a volume waits, as it was told last.
    pub(super) fn of_volume(&self, name: &str) -> Option<Reason> {
        self.lock().get(&Key::new(Kind::VolumeSpec, name)).and_then(|one| one.told.clone())
    }
}

/// The record that an object has in its spec, where there may be data behind it.
fn spec_key(place: Place, object: &DynamicObject) -> Option<Key> {
    let kinds = form::kinds(place).iter().filter(|_| place.has_data());
    let kind = kinds.copied().find(|kind| super::place::of(*kind).1 == Half::Spec)?;
    Some(form::key(kind, object))
}
