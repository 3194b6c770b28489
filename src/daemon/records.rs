//! The records as this daemon knows them: what the store said, and what it wrote itself since.
//!
//! Our own writes are known before the watch brings them, so the watch may bring older changes afterwards: those are
//! recognised by their revision and left out, removals included.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Key, Record, Revision, Versioned, World};
use crate::ports::{Change, Listing};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Records {
    world: World,
    /// Removals that are newer than what the watch has brought.
    gone: BTreeMap<Key, Revision>,
    listed: bool,
}

impl Records {
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Whether the store was read once.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Takes everything in anew. Gives the keys that changed.
    pub(super) fn take_listing(&mut self, listing: Listing) -> Vec<Key> {
        let there: BTreeSet<&Key> = listing.records.iter().map(|(key, _)| key).collect();
        let unreadable: BTreeSet<&Key> = listing.corrupt.iter().map(|(key, _)| key).collect();
        let missing = |key: &&Key, versioned: &Versioned<Record>| {
            !there.contains(*key) && !unreadable.contains(*key) && versioned.revision <= listing.revision
        };
        let gone: Vec<Key> = self
            .world
            .records()
            .filter(|(key, value)| missing(key, value))
            .map(|(key, _)| key.clone())
            .collect();
        let mut changed = Vec::new();
        for key in gone {
            self.world.set(key.clone(), None);
            changed.push(key);
        }
        for (key, value) in listing.records {
            let revision = value.revision;
            changed.extend(self.take(key, revision, Some(value)));
        }
        self.world.set_unreadable(listing.corrupt.into_iter().map(|(key, _)| key));
        self.gone.retain(|_, revision| *revision > listing.revision);
        self.listed = true;
        changed
    }

    /// Takes in what the watch brought, or what we wrote. Gives the key if its record changed: where records share an object
    /// one may have a new revision because of the other.
    pub(super) fn take_change(&mut self, change: Change) -> Option<Key> {
        self.take(change.key, change.revision, change.value)
    }

    /// A record was found to be there and not to be readable; `false` if that was known.
    pub(super) fn take_unreadable(&mut self, key: Key) -> bool {
        self.world.add_unreadable(key)
    }

    fn take(&mut self, key: Key, revision: Revision, value: Option<Versioned<Record>>) -> Option<Key> {
        let known = self.gone.get(&key).copied().unwrap_or_default().max(self.world.revision(&key));
        if revision <= known {
            return None;
        }
        if value.is_none() {
            self.gone.insert(key.clone(), revision);
        } else {
            self.gone.remove(&key);
        }
        let record = value.as_ref().map(|versioned| &versioned.value);
        let is_new = self.world.record(&key) != record;
        self.world.set(key.clone(), value);
        is_new.then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, NodeSpec};

    fn put(revision: u64) -> Change {
        let record =
            Record::NodeSpec(NodeSpec { cordoned: revision.is_multiple_of(2), ..NodeSpec::default() });
        let revision = Revision(revision);
        let value = Some(Versioned { revision, value: record });
        Change { key: Key::new(Kind::NodeSpec, "n"), value, revision }
    }

    fn removed(revision: u64) -> Change {
        Change { key: Key::new(Kind::NodeSpec, "n"), value: None, revision: Revision(revision) }
    }

    #[test]
    fn the_watch_does_not_undo_what_we_wrote_before_it_came() {
        let mut records = Records::default();
        assert!(records.take_change(put(5)).is_some());
        assert!(records.take_change(put(3)).is_none());
        assert!(records.take_change(removed(4)).is_none());
        assert_eq!(records.world().revision(&Key::new(Kind::NodeSpec, "n")), Revision(5));
    }

    #[test]
    fn a_new_revision_of_the_same_record_is_no_sign_of_life_but_counts() {
        let mut records = Records::default();
        assert!(records.take_change(put(5)).is_some());
        assert!(records.take_change(put(7)).is_none());
        assert_eq!(records.world().revision(&Key::new(Kind::NodeSpec, "n")), Revision(7));
    }

    #[test]
    fn what_we_removed_does_not_come_back() {
        let mut records = Records::default();
        records.take_change(put(5));
        records.take_change(removed(7));
        assert!(records.take_change(put(6)).is_none());
        assert_eq!(records.world().records().count(), 0);
        assert!(records.take_change(put(8)).is_some());
    }

    #[test]
    fn a_listing_from_before_our_write_does_not_remove_it() {
        let mut records = Records::default();
        records.take_change(put(5));
        records.take_listing(Listing { revision: Revision(4), ..Listing::default() });
        assert_eq!(records.world().records().count(), 1);
        records.take_listing(Listing { revision: Revision(5), ..Listing::default() });
        assert_eq!(records.world().records().count(), 0);
    }
}
