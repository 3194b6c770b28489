//! What this daemon has seen of each record, so that a record keeps its own revision though it shares an object.
//!
//! The API server compares revisions of objects. A status that is written while somebody edits the spec meets another
//! revision although nobody touched the status: whether that is so, is found out here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{Key, Record, Revision};

/// How many records that are gone are kept: whoever watches is told that they are, and may be behind.
const GONE_KEPT: usize = 4096;

/// What a record was like from one revision of its object to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// When it was there for the first time, as far as is known.
    first: Revision,
    since: Revision,
    latest: Revision,
    print: Option<u64>,
    /// Nobody else had a field of it then.
    sole: bool,
}

#[derive(Debug, Default)]
struct All {
    seen: HashMap<Key, Seen>,
    /// Those that are gone, or were at some time, in that order.
    gone: VecDeque<Key>,
}

/// See the module. What there is, and the last that went.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<All>);

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
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is this at a revision of its object, and whether it is ours alone.
    pub(super) fn note(
        &self,
        key: &Key,
        revision: Revision,
        record: Option<&Result<Record, String>>,
        sole: bool,
    ) {
        self.lock().note(key, revision, print(record), sole);
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
        print.is_some() && self.lock().seen.get(key).is_some_and(same)
    }

    /// Whether a record was ours alone at this very revision, and that is known.
    pub(super) fn is_sole(&self, key: &Key, at: Revision) -> bool {
        self.lock().seen.get(key).is_some_and(|seen| seen.latest == at && seen.sole)
    }

    /// Everything was listed at a revision: what is not `there` went before.
    pub(super) fn keep(&self, there: &HashSet<&Key>, at: Revision) {
        let All { seen, gone } = &mut *self.lock();
        seen.retain(|key, seen| there.contains(key) || seen.latest > at);
        gone.retain(|key| seen.contains_key(key));
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        *self.lock() = All::default();
    }

    /// Whether there ever was such a record before a revision.
    pub(super) fn was_there(&self, key: &Key, now: Revision) -> bool {
        self.lock().seen.get(key).is_some_and(|seen| seen.first < now)
    }
}

impl All {
    fn note(&mut self, key: &Key, revision: Revision, print: Option<u64>, sole: bool) {
        let Some(seen) = self.seen.get_mut(key) else {
            if print.is_some() {
                let new = Seen { first: revision, since: revision, latest: revision, print, sole };
                self.seen.insert(key.clone(), new);
            }
            return;
        };
        if revision > seen.latest {
            let ends = seen.print.is_some() && print.is_none();
            let since = if seen.print == print { seen.since } else { revision };
            *seen = Seen { first: seen.first, since, latest: revision, print, sole };
            if ends {
                self.bury(key);
            }
        }
    }

    fn bury(&mut self, key: &Key) {
        self.gone.push_back(key.clone());
        if self.gone.len() > GONE_KEPT
            && let Some(oldest) = self.gone.pop_front()
            && self.seen.get(&oldest).is_some_and(|seen| seen.print.is_none())
        {
            self.seen.remove(&oldest);
        }
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
        known.note(&key, Revision(5), Some(&Ok(spec(false))), true);
        known.note(&key, Revision(9), Some(&Ok(spec(false))), true);
        assert!(known.is_same(&key, Revision(5), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(4), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(10), Some(&Ok(spec(false)))));
        assert!(!known.is_same(&key, Revision(5), Some(&Ok(spec(true)))));
        known.note(&key, Revision(12), Some(&Ok(spec(true))), true);
        known.note(&key, Revision(11), Some(&Ok(spec(false))), true);
        assert!(!known.is_same(&key, Revision(9), Some(&Ok(spec(true)))));
        assert!(known.is_same(&key, Revision(12), Some(&Ok(spec(true)))));
    }

    #[test]
    fn what_is_gone_is_the_same_as_nothing() {
        let (known, key) = (Known::default(), Key::new(Kind::NodeSpec, "n1"));
        known.note(&key, Revision(3), None, true);
        assert!(!known.was_there(&key, Revision(9)));
        known.note(&key, Revision(5), Some(&Ok(spec(false))), true);
        known.note(&key, Revision(6), None, true);
        assert!(!known.was_there(&key, Revision(4)), "its object was made before it");
        assert!(known.was_there(&key, Revision(6)) && !known.is_same(&key, Revision(6), None));
    }

    #[test]
    fn a_record_is_known_to_be_ours_alone_at_a_revision_and_at_no_other() {
        let (known, key) = (Known::default(), Key::new(Kind::NodeSpec, "n1"));
        assert!(!known.is_sole(&key, Revision(5)), "nothing is known of it");
        known.note(&key, Revision(5), Some(&Ok(spec(false))), true);
        assert!(known.is_sole(&key, Revision(5)) && !known.is_sole(&key, Revision(6)));
        known.note(&key, Revision(7), Some(&Ok(spec(false))), false);
        assert!(!known.is_sole(&key, Revision(7)) && !known.is_sole(&key, Revision(5)));
    }

    fn names(known: &Known) -> usize {
        let all = known.lock();
        all.seen.len() + all.gone.len()
    }

    #[test]
    fn of_what_is_gone_the_last_is_kept() {
        let known = Known::default();
        for number in 0..3 * GONE_KEPT as u64 {
            let key = Key::new(Kind::VolumeSpec, number);
            known.note(&key, Revision(10 * number + 1), Some(&Ok(spec(false))), true);
            known.note(&key, Revision(10 * number + 2), None, true);
            assert!(known.was_there(&key, Revision(10 * number + 3)));
        }
        assert_eq!(names(&known), 2 * GONE_KEPT);
    }

    #[test]
    fn what_a_listing_does_not_have_and_is_not_younger_is_not_kept() {
        let known = Known::default();
        let [there, gone, unseen, younger] =
            ["there", "gone", "unseen", "younger"].map(|name| Key::new(Kind::NodeSpec, name));
        for (key, at) in [(&there, 1), (&gone, 2), (&unseen, 3), (&younger, 9)] {
            known.note(key, Revision(at), Some(&Ok(spec(false))), true);
        }
        known.note(&gone, Revision(4), None, true);
        known.keep(&[&there].into(), Revision(5));
        let kept = |key: &Key| known.was_there(key, Revision(99));
        assert_eq!([&there, &gone, &unseen, &younger].map(kept), [true, false, false, true]);
        assert_eq!(names(&known), 2);
    }
}
