//! What the store refused: told as a reason, and not offered again and again.

use std::collections::BTreeMap;

use crate::domain::{Key, Reason, Record, Timestamp, VolumeName};
use crate::plan::{Write, timing};

/// A write that was refused.
#[derive(Debug)]
struct Refusal {
    record: Option<Record>,
    at: Timestamp,
    reason: Reason,
    /// Whose writes are held up by it.
    volume: Option<VolumeName>,
}

impl Refusal {
    /// Until when a record is not offered after this: for longer as it was refused than as another one.
    fn until(&self, record: Option<&Record>) -> Timestamp {
        let same = self.record.as_ref() == record;
        self.at.plus(if same { timing::REFUSED_MILLIS } else { timing::REFUSED_ANEW_MILLIS })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Key, Refusal>);

impl Refusals {
    /// A write was refused, and holds up what is to be written of `volume`.
    pub(super) fn note(&mut self, write: &Write, volume: Option<VolumeName>, why: &str, at: Timestamp) {
        let reason = Reason::blocked(
            "StoreRefused",
            format_args!("{} could not be recorded: {why}", write.key),
            "change the record, or the store's rules and rights; it is tried again every 30 s",
        );
        self.0.insert(write.key.clone(), Refusal { record: write.record.clone(), at, reason, volume });
    }

    /// A record was written.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Until when a write is not offered, because it or another one of its record was refused a moment ago.
    pub(super) fn hold(&self, write: &Write, now: Timestamp) -> Option<Timestamp> {
        let until = self.0.get(&write.key)?.until(write.record.as_ref());
        Some(until).filter(|until| *until > now)
    }

    /// What is refused. One that was not refused again when it could have been is not wanted any more.
    pub(super) fn reasons(&mut self, now: Timestamp) -> Vec<Reason> {
        self.0.retain(|_, refusal| now.since(refusal.at) < 2 * timing::REFUSED_MILLIS);
        self.0.values().map(|refusal| refusal.reason.clone()).collect()
    }

    /// The volumes of which something is refused: what their records say may be of before.
    pub(super) fn frozen(&self) -> BTreeMap<VolumeName, Reason> {
        let of = |refusal: &Refusal| Some((refusal.volume.clone()?, refusal.reason.clone()));
        self.0.values().filter_map(of).collect()
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
    fn the_same_is_not_offered_again_for_a_while_and_another_one_soon() {
        let mut refusals = Refusals::default();
        refusals.note(&write(true), None, "a rule is against it", Timestamp(0));
        for (cordoned, until) in [(true, Timestamp(30_000)), (false, Timestamp(1_000))] {
            assert_eq!(refusals.hold(&write(cordoned), Timestamp(until.0 - 1)), Some(until));
            assert_eq!(refusals.hold(&write(cordoned), until), None);
        }
        let reason = refusals.reasons(Timestamp(30_000)).remove(0);
        assert_eq!(reason.code, "StoreRefused");
        assert!(reason.message.contains("NodeSpec/n1") && reason.message.contains("a rule is against it"));
        assert!(refusals.reasons(Timestamp(60_000)).is_empty());
    }

    #[test]
    fn what_is_refused_of_a_volume_freezes_that_volume_alone() {
        let mut refusals = Refusals::default();
        let volume: VolumeName = "v".parse().unwrap();
        let key = Key::new(Kind::ReplicaStatus, "r");
        refusals.note(&Write { key: key.clone(), record: None }, Some(volume.clone()), "no", Timestamp(0));
        refusals.note(&write(true), None, "no", Timestamp(0));
        assert_eq!(refusals.frozen().into_keys().collect::<Vec<_>>(), [volume]);
        refusals.forget(&key);
        assert!(refusals.frozen().is_empty());
    }
}
