//! What this daemon has seen of each record, so that a record keeps its own revision though it shares an object.
//!
//! The API server compares revisions of objects. A status that is written while somebody edits the spec meets another
//! revision although nobody touched the status: whether that is so, is found out here.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{Key, Record, Revision};

/// What a record was like from one revision of its object to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// When it was there for the first time, as far as is known.
    first: Revision,
    since: Revision,
    latest: Revision,
    print: Option<u64>,
}

/// See the module. Entries stay when records go: a few dozen bytes for each that ever was.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Key, Seen>>);

/// What a record is, or that it cannot be read, in 64 bits; `None` where there is none.
fn print(record: Option<&Result<Record, String>>) -> Option<u64> {
    let text = match record? {
        Ok(record) => serde_json::to_string(record).unwrap_or_default(),
        Err(why) => why.clone(),
    };
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(hasher.finish())
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is this at a revision of its object.
    pub(super) fn note(&self, key: &Key, revision: Revision, record: Option<&Result<Record, String>>) {
        let print = print(record);
        let mut known = self.lock();
        let Some(seen) = known.get_mut(key) else {
            if print.is_some() {
                known.insert(key.clone(), Seen { first: revision, since: revision, latest: revision, print });
            }
            return;
        };
        if revision > seen.latest {
            let since = if seen.print == print { seen.since } else { revision };
            *seen = Seen { first: seen.first, since, latest: revision, print };
        }
    }

    /// Whether a record is now what it was at `expected`.
    pub(super) fn is_same(
        &self,
        key: &Key,
        expected: Revision,
        record: Option<&Result<Record, String>>,
    ) -> bool {
        let print = print(record);
        let same = |seen: &Seen| (seen.since..=seen.latest).contains(&expected) && seen.print == print;
        print.is_some() && self.lock().get(key).is_some_and(same)
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Whether there ever was such a record before a revision.
    pub(super) fn was_there(&self, key: &Key, now: Revision) -> bool {
        self.lock().get(key).is_some_and(|seen| seen.first < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, NodeSpec};

    fn spec(cordoned: bool) -> Record {
        Record::NodeSpec(NodeSpec { cordoned, draining: false })
    }

    #[test]
    fn a_record_is_the_same_while_only_its_object_changes() {
        let (known, key) = (Known::default(), Key::new(Kind::NodeSpec, "n1"));
        known.note(&key, Revision(5), Some(&Ok(spec(false))));
        known.note(&key, Revision(9), Some(&Ok(spec(false))));
        assert!(known.is_same(&key, Revision(5), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(4), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(10), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(5), Some(&Ok(spec(true)))));
        known.note(&key, Revision(12), Some(&Ok(spec(true))));
        known.note(&key, Revision(11), Some(&Ok(spec(false))));
        assert!(!known.is_same(&key, Revision(9), Some(&Ok(spec(true)))));
        assert!(known.is_same(&key, Revision(12), Some(&Ok(spec(true)))));
    }

    #[test]
    fn what_is_gone_is_the_same_as_nothing() {
        let (known, key) = (Known::default(), Key::new(Kind::NodeSpec, "n1"));
        known.note(&key, Revision(3), None);
        assert!(!known.was_there(&key, Revision(9)));
        known.note(&key, Revision(5), Some(&Ok(spec(false))));
        known.note(&key, Revision(6), None);
        assert!(!known.was_there(&key, Revision(4)), "its object was made before it");
        assert!(known.was_there(&key, Revision(6)) && !known.is_same(&key, Revision(6), None));
    }
}
