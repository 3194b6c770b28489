//! Everything there is, kind by kind.

use std::sync::atomic::Ordering;

use futures::future::try_join_all;
use kube::api::{DynamicObject, ListParams, VersionMatch};

use super::place::Place;
use super::{KubeStore, form, parse_revision, revision};
use crate::domain::{Revision, Versioned};
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
        let mut listing = Listing { revision, ..Listing::default() };
        let of_others = others.into_iter().zip(of_others.into_iter().map(|(objects, _)| objects));
        for (place, objects) in std::iter::once((first, of_first)).chain(of_others) {
            for object in &objects {
                self.sort_in(&mut listing, place, object);
            }
        }
        self.came_to(revision);
        self.show_copies(None);
        listing.corrupt.sort();
        Ok(listing)
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
                Err(failed) => return Err(failed.of_read(&self.inner.name, "list")),
            };
            objects.extend(page.items);
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok((objects, parse_revision(page.metadata.resource_version.as_deref())));
            }
        }
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
