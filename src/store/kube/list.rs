//! Everything there is, kind by kind.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures::future::try_join_all;
use kube::api::{DynamicObject, ListParams, VersionMatch};

use super::failure::Failed;
use super::place::Place;
use super::{KubeStore, form, parse_revision, revision};
use crate::domain::{Key, Kind, Revision, Versioned};
use crate::ports::{Listing, StoreError};

/// Objects per answer.
const PAGE_OBJECTS: u32 = 500;

impl KubeStore {
    /// All kinds are listed as of one moment: what the first was listed at is what the others are asked for.
    pub(super) async fn list_records(&self) -> Result<Listing, StoreError> {
        let known = Revision(self.inner.newest.load(Ordering::Relaxed));
        let [first, others @ ..] = Place::ALL;
        let (of_first, revision) = self.list_objects(first, None).await?;
        if revision < known {
            self.went_back(revision);
        }
        let of_others = try_join_all(others.map(|place| self.list_objects(place, Some(revision)))).await?;
        self.inner.incomparable.store(false, Ordering::Relaxed);
        let of_others = others.into_iter().zip(of_others.into_iter().map(|(objects, _)| objects));
        let all: Vec<_> = std::iter::once((first, of_first)).chain(of_others).collect();
        let mut listing = Listing { revision, ..Listing::default() };
        for (place, objects) in &all {
            for object in objects {
                self.sort_in(&mut listing, *place, object);
            }
        }
        self.forget_others(&listing);
        self.came_to(revision);
        self.show_copies(None);
        listing.corrupt.sort();
        self.told_unreadable(revision, listing.corrupt.iter().map(|(key, _)| key.clone()).collect());
        Ok(listing)
    }

    /// What is not in a listing went: nothing of it is remembered but what happened since.
    fn forget_others(&self, listing: &Listing) {
        let readable = listing.records.iter().map(|(key, _)| key);
        let keys: HashSet<&Key> = readable.chain(listing.corrupt.iter().map(|(key, _)| key)).collect();
        self.inner.known.keep(&keys, listing.revision);
        let volumes = keys.iter().filter(|key| key.kind == Kind::VolumeStatus).map(|key| key.name.as_str());
        self.inner.told.keep(&volumes.collect());
        self.inner.held.keep(&keys);
    }

    /// What was known before is of no use any more: the API server was restored from a backup and counts from an earlier revision.
    fn went_back(&self, now: Revision) {
        self.inner.known.forget();
        self.inner.copies.forget();
        self.inner.newest.store(now.0, Ordering::Relaxed);
        for written in &self.inner.written {
            written.send_replace(Revision(0));
        }
    }

    fn sort_in(&self, listing: &mut Listing, place: Place, object: &DynamicObject) {
        self.inner.held.note(place, object, true);
        for kind in form::kinds(place) {
            let key = form::key(*kind, object);
            match self.note(*kind, object) {
                None => {}
                Some(Ok(value)) => {
                    listing.records.push((key, Versioned { revision: revision(object), value }));
                }
                Some(Err(why)) => listing.corrupt.push((key, why)),
            }
        }
    }

    /// All objects of a kind as they are now, or were at a revision, and which that is. A listing whose pages or whose revision fell out of
    /// memory is begun anew.
    async fn list_objects(
        &self,
        place: Place,
        at: Option<Revision>,
    ) -> Result<(Vec<DynamicObject>, Revision), StoreError> {
        let api = self.api(place);
        let mut first = selected(place).limit(PAGE_OBJECTS);
        if let Some(Revision(at)) = at {
            first = first.at(&at.to_string()).matching(VersionMatch::Exact);
        }
        let (mut objects, mut token) = (Vec::new(), None);
        loop {
            let params = ListParams { continue_token: token, ..first.clone() };
            let page = match self.ask(api.list(&params)).await {
                Ok(page) => page,
                Err(failed) => return Err(self.not_listed(place, at, failed)),
            };
            objects.extend(page.items);
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok((objects, parse_revision(page.metadata.resource_version.as_deref())));
            }
        }
    }

    /// What a listing comes to that was not answered. A moment that another kind was just listed at is not forgotten twice in a row, and never is in the
    /// future: the revisions of these kinds are not those of one etcd, and this store cannot work there.
    fn not_listed(&self, place: Place, at: Option<Revision>, failed: Failed) -> StoreError {
        let Some(Revision(at)) = at.filter(|_| failed.is_no_revision()) else {
            return failed.of_read(&self.inner.name, "list");
        };
        let error = failed.of_read(&self.inner.name, "list");
        if matches!(error, StoreError::Lagged) && !self.inner.incomparable.swap(true, Ordering::Relaxed) {
            return error;
        }
        let (kind, of) = (place.resource().plural, Place::ALL[0].resource().plural);
        self.said(
            "list",
            format!(
                "there are no {kind} as of revision {at}, which {of} were just listed at ({error}); is the API server told to keep some \
                 kinds in another etcd (--etcd-servers-overrides)? All kinds that mdfabric uses have to be in one"
            ),
        )
    }

    /// The revision that the API server is at now, or was a moment ago.
    pub(super) async fn revision_now(
        &self,
        call: &'static str,
        place: Place,
    ) -> Result<Revision, StoreError> {
        let answer = self.ask(self.api(place).list(&selected(place).limit(1))).await;
        let page = answer.map_err(|failed| failed.of_read(&self.inner.name, call))?;
        let now = parse_revision(page.metadata.resource_version.as_deref());
        self.came_to(now);
        Ok(now)
    }

    /// The API server was at a revision: a watch from there does not begin in the future.
    pub(super) fn came_to(&self, now: Revision) {
        self.inner.newest.fetch_max(now.0, Ordering::Relaxed);
    }
}

/// Leases are those with our label; of the other kinds all are ours.
pub(super) fn selected(place: Place) -> ListParams {
    match place {
        Place::Lease => ListParams::default().labels(&label()),
        Place::Volume | Place::Replica | Place::Drive | Place::Node => ListParams::default(),
    }
}

/// The label of our leases, as a selector.
pub(super) fn label() -> String {
    let (label, value) = form::LABEL;
    format!("{label}={value}")
}
