//! Everything there is, kind by kind.

use std::sync::atomic::Ordering;

use futures::future::try_join_all;
use kube::api::{DynamicObject, ListParams};

use super::place::Place;
use super::{KubeStore, form, parse_revision, revision};
use crate::domain::{Revision, Versioned};
use crate::ports::{Listing, StoreError};

/// Objects per answer.
const PAGE_OBJECTS: u32 = 500;

impl KubeStore {
    /// The kinds are listed at different moments. The listing counts as of the first of them, so that a watch from there
    /// misses nothing; what it shows twice is known by its revision.
    pub(super) async fn list_records(&self) -> Result<Listing, StoreError> {
        let known = Revision(self.inner.newest.load(Ordering::Relaxed));
        let of_each = try_join_all(Place::ALL.map(|place| self.list_objects(place))).await?;
        let first = of_each.iter().map(|(_, revision)| *revision).min().unwrap_or_default();
        if first < known {
            self.went_back(first);
        }
        let mut listing = Listing { revision: first, ..Listing::default() };
        for (place, (objects, revision)) in Place::ALL.into_iter().zip(&of_each) {
            objects.iter().for_each(|object| self.sort_in(&mut listing, place, object));
            self.came_to(*revision);
        }
        listing.corrupt.sort();
        Ok(listing)
    }

    /// What was known before is of no use any more: the API server was restored from a backup and counts from an earlier revision.
    fn went_back(&self, now: Revision) {
        self.inner.known.forget();
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

    /// All objects of a kind and the revision they were so at. A listing whose pages fell out of memory is begun anew.
    async fn list_objects(&self, place: Place) -> Result<(Vec<DynamicObject>, Revision), StoreError> {
        let api = self.api(place);
        let (mut objects, mut token) = (Vec::new(), None);
        loop {
            let params = ListParams { continue_token: token, ..selected(place).limit(PAGE_OBJECTS) };
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
