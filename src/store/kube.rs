//! Records as objects of Kubernetes: two in each, a spec and a status. What is where: [`form`]; the kinds: [`crd`].
//!
//! Guarantees: as [`super`]. A record's revision is its object's `resourceVersion`; of two writers of one record that expect
//! the same revision one wins, and a write of the other record of the object disturbs nobody ([`known`]). One watch per
//! kind, one request per change. Assumptions: `resourceVersion` counts upwards over all kinds, as one etcd makes it (that they are in
//! several is found out and told: [`list`]); the definitions of `deploy/crds` are there. Caveats: changes of different kinds come in any order; an object that goes takes both
//! its records. Deliberately absent: retries of writes, and credentials that a program has to be run for.

mod connect;
mod copies;
pub mod crd;
mod failure;
mod form;
mod held;
mod known;
mod list;
mod names;
mod place;
mod remove;
#[cfg(test)]
pub(crate) mod server;
pub mod summary;
mod told;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DynamicObject};
use tokio::sync::watch as latest;

use self::failure::Failed;
use self::known::Known;
use self::place::Place;
use crate::domain::{Key, Kind, NodeName, Reason, Record, Revision, Versioned};
use crate::ports::{Listing, Pace, PortFuture, Store, StoreError, Watch};

/// One request is answered within this time, or the store counts as unreachable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Who owns the fields that mdfabric writes, whichever daemon it was: the next owner of a volume takes all of them over.
const MANAGER: &str = "mdfabric";

/// Records in Kubernetes. Clones share the connection.
#[derive(Clone)]
pub struct KubeStore {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    /// Where leases are.
    namespace: String,
    name: String,
    known: Known,
    told: told::Told,
    held: held::Held,
    /// Whose copies are shown by this daemon.
    me: NodeName,
    copies: copies::Copies,
    /// The newest revision that was heard of.
    newest: AtomicU64,
    /// What could not be read when everything was listed last, and when that was: who watches from there has been told.
    unreadable: Mutex<(Revision, BTreeSet<Key>)>,
    /// The last listing found that kinds had no moment in common.
    incomparable: AtomicBool,
    /// Rings when the API server is found to be at an earlier revision than it was.
    back: latest::Sender<()>,
    /// The last revision that was written here, by kind of object: a watch that is not deaf comes to it.
    written: [latest::Sender<Revision>; Place::ALL.len()],
}

impl KubeStore {
    /// Uses the API server behind `client`; leases are in `namespace`. `name` is what it is called in messages. What is shown of
    /// the copies on `me` is written here, by nobody else.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, me: &NodeName) -> Self {
        let written = Place::ALL.map(|_| latest::Sender::new(Revision(0)));
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self {
            inner: Arc::new(Inner {
                client,
                namespace,
                name,
                known: Known::default(),
                told: told::Told::default(),
                held: held::Held::default(),
                me: me.clone(),
                copies: copies::Copies::default(),
                newest: AtomicU64::new(0),
                unreadable: Mutex::default(),
                incomparable: AtomicBool::new(false),
                back: latest::Sender::new(()),
                written,
            }),
        }
    }

    fn api(&self, place: Place) -> Api<DynamicObject> {
        place.api(&self.inner.client, &self.inner.namespace)
    }

    fn written(&self, place: Place) -> &latest::Sender<Revision> {
        let [volume, replica, drive, node, lease] = &self.inner.written;
        match place {
            Place::Volume => volume,
            Place::Replica => replica,
            Place::Drive => drive,
            Place::Node => node,
            Place::Lease => lease,
        }
    }

    /// Makes one request with its deadline.
    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(answer) => answer.map_err(Failed::from),
            Err(_) => Err(Failed::Silent(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))),
        }
    }

    /// Takes note of an object as it is, and gives the record of `kind` in it.
    fn note(&self, kind: Kind, object: &DynamicObject) -> Option<Result<Record, String>> {
        let (place, _) = place::of(kind);
        let (at, sole) = (revision(object), form::is_ours_alone(object));
        for each in form::kinds(place) {
            self.inner.known.note(&form::key(*each, object), at, form::read(*each, object).as_ref(), sole);
        }
        self.inner.copies.note(&self.inner.me, place, object, true);
        let record = form::read(kind, object);
        if let Some(Ok(Record::VolumeStatus(status))) = &record {
            self.inner.told.note(&form::key(kind, object).name, status, object);
        }
        record
    }

    /// The object of a key; `None` where there is none.
    async fn object(&self, call: &'static str, key: &Key) -> Result<Option<DynamicObject>, StoreError> {
        let (place, _) = place::of(key.kind);
        let name = names::object(&key.name);
        match self.ask(self.api(place).get(&name)).await {
            Ok(object) => Ok(Some(object)),
            Err(failed) if failed.is_absent(&name) => Ok(None),
            Err(failed) => Err(failed.of_read(&self.inner.name, call)),
        }
    }

    async fn get_record(&self, key: &Key) -> Result<Option<Versioned<Record>>, StoreError> {
        let Some(object) = self.object("get", key).await? else { return Ok(None) };
        match self.note(key.kind, &object) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(Versioned { revision: revision(&object), value })),
            Some(Err(why)) => Err(StoreError::Corrupt { key: key.clone(), why }),
        }
    }

    /// What could not be read when everything was listed at `from`; nothing where that was another time.
    fn unreadable_at(&self, from: Revision) -> BTreeSet<Key> {
        let unreadable = self.inner.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        if unreadable.0 == from { unreadable.1.clone() } else { BTreeSet::new() }
    }

    /// From now on who watches from `at` has been told what cannot be read.
    fn told_unreadable(&self, at: Revision, keys: BTreeSet<Key>) {
        *self.inner.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = (at, keys);
    }

    fn said(&self, call: &'static str, why: impl Into<String>) -> StoreError {
        StoreError::Unavailable { store: self.inner.name.clone(), call, why: why.into() }
    }
}

/// The revision of an object; 0 where it says none.
fn revision(object: &DynamicObject) -> Revision {
    parse_revision(object.metadata.resource_version.as_deref())
}

fn parse_revision(text: Option<&str>) -> Revision {
    Revision(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

impl Store for KubeStore {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let key = key.clone();
        Box::pin(async move { self.get_record(&key).await })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(self.list_records())
    }

    fn watch(&self, from: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move { Ok(Box::new(watch::start(self, from).await?) as Box<dyn Watch>) })
    }

    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        let (key, record) = (key.clone(), record.cloned());
        Box::pin(async move { self.put_record(&key, record.as_ref(), expected).await })
    }

    fn name(&self) -> String {
        self.inner.name.clone()
    }

    /// The API server is not ours alone.
    fn pace(&self) -> Pace {
        Pace::SPARING
    }

    fn held(&self) -> Vec<Key> {
        self.inner.held.keys()
    }

    fn tell(&self, key: &Key, reason: &Reason) {
        self.tell_held(key, reason);
    }
}

#[cfg(test)]
mod tests;
