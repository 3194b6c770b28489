//! What the store refused: told as a reason, and not offered again and again.

use std::collections::BTreeMap;

use crate::domain::{Key, Reason, Record, Timestamp};
use crate::plan::{Write, timing};

/// A write that was refused.
#[derive(Debug)]
struct Refusal {
    record: Option<Record>,
    at: Timestamp,
    reason: Reason,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Key, Refusal>);

impl Refusals {
    /// A write was refused.
    pub(super) fn note(&mut self, write: &Write, why: &str, at: Timestamp) {
        let reason = Reason::blocked(
            "StoreRefused",
            format_args!("{} could not be recorded: {why}", write.key),
            "change the record, or the store's rules and rights; it is tried again every 30 s",
        );
        self.0.insert(write.key.clone(), Refusal { record: write.record.clone(), at, reason });
    }

    /// A record was written.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Whether this very write was refused a moment ago.
    pub(super) fn has(&self, write: &Write, now: Timestamp) -> bool {
        let recent = |refusal: &Refusal| now.since(refusal.at) < timing::REFUSED_MILLIS;
        self.0.get(&write.key).is_some_and(|refusal| recent(refusal) && refusal.record == write.record)
    }

    /// What is refused. One that was not refused again when it could have been is not wanted any more.
    pub(super) fn reasons(&mut self, now: Timestamp) -> Vec<Reason> {
        self.0.retain(|_, refusal| now.since(refusal.at) < 2 * timing::REFUSED_MILLIS);
        self.0.values().map(|refusal| refusal.reason.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, NodeSpec};

    fn write(cordoned: bool) -> Write {
        let record = Some(Record::NodeSpec(NodeSpec { cordoned, draining: false }));
        Write { key: Key::new(Kind::NodeSpec, "n1"), record }
    }

    #[test]
    fn the_same_is_not_offered_again_at_once_and_another_is() {
        let mut refusals = Refusals::default();
        refusals.note(&write(true), "a rule is against it", Timestamp(0));
        assert!(refusals.has(&write(true), Timestamp(29_999)) && !refusals.has(&write(false), Timestamp(1)));
        assert!(!refusals.has(&write(true), Timestamp(30_000)));
        let reason = refusals.reasons(Timestamp(30_000)).remove(0);
        assert_eq!(reason.code, "StoreRefused");
        assert!(reason.message.contains("NodeSpec/n1") && reason.message.contains("a rule is against it"));
        assert!(refusals.reasons(Timestamp(60_000)).is_empty());
    }
}
