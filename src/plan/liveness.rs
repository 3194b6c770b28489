//! When the store last heard of a node: judged by what changed in it, by the observer's own clock. No two clocks are compared.
//!
//! ```text
//! alive --nothing heard for NODE_DEAD_MILLIS while the store answered--> dead --its record changes--> alive
//! ```
//!
//! Whoever was heard over the data network too, and fell silent there, is dead sooner ([`super::Input::is_alive`]).
//!
//! Time during which the store told nothing counts for nobody: who could have been heard then?

use std::collections::BTreeMap;

use super::timing::Pace;
use crate::domain::{Key, Kind, NodeStatus, Timestamp};

/// What was heard of nodes and leases. Empty at start: whoever is listed first counts as heard then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Liveness {
    last_seen: BTreeMap<Key, Timestamp>,
    store_answered_at: Timestamp,
    pace: Pace,
}

impl Liveness {
    /// For a store in which nodes say so often that they live.
    #[must_use]
    pub fn paced(pace: Pace) -> Self {
        Self { pace, ..Self::default() }
    }

    /// How often they do.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The store told of changes of these records, by itself. News of any node prove that news of nodes come: this node's own heartbeat
    /// brings some every few seconds. A write that was taken proves nothing of the kind, and nor do news of other kinds: a store may watch
    /// each of them apart.
    pub fn told<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>, now: Timestamp) {
        if keys.into_iter().any(|key| key.kind == Kind::NodeStatus) {
            self.store_answered(now);
        }
    }

    /// The store told of nodes, or of everything there is. While it works it tells of this node's own heartbeat every few seconds; a
    /// longer gap was an outage, and everybody is given that time back.
    pub fn store_answered(&mut self, now: Timestamp) {
        let gap = now.since(self.store_answered_at);
        if gap > self.pace.store_silent_millis() {
            for seen_at in self.last_seen.values_mut() {
                *seen_at = seen_at.plus(gap).min(now);
            }
        }
        self.store_answered_at = self.store_answered_at.max(now);
    }

    /// Records of these names were seen to change.
    pub fn heard(&mut self, keys: impl IntoIterator<Item = Key>, now: Timestamp) {
        let signs = keys.into_iter().filter(|key| matches!(key.kind, Kind::NodeStatus | Kind::Lease));
        self.last_seen.extend(signs.map(|key| (key, now)));
    }

    /// Milliseconds since a record was seen to change, as far as that could have been seen; `None` for one never seen.
    #[must_use]
    pub fn age(&self, key: &Key, now: Timestamp) -> Option<u64> {
        let known_until = now.min(self.store_answered_at.plus(self.pace.store_silent_millis()));
        self.last_seen.get(key).map(|seen_at| known_until.since(*seen_at))
    }
}

/// Whether the last sign of life that a node wrote down is too old, by the pace of its store. Right as far as its clock and the
/// reader's agree: people are told so, and no machine decides by it.
#[must_use]
pub fn is_silent(status: &NodeStatus, now: Timestamp) -> bool {
    let dead_after = match status.dead_after_millis {
        0 => Pace::FREQUENT.node_dead_millis,
        millis => millis,
    };
    now.since(status.heartbeat_at) >= dead_after
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::testing::node_status;
    use crate::plan::timing::NODE_DEAD_MILLIS;

    const START: Timestamp = Timestamp(1_000_000);

    fn node() -> Key {
        Key::new(Kind::NodeStatus, "node-2")
    }

    fn is_alive(liveness: &Liveness, at: Timestamp) -> bool {
        liveness.age(&node(), at).is_some_and(|age| age < NODE_DEAD_MILLIS)
    }

    fn heard_at_start() -> Liveness {
        let mut liveness = Liveness::default();
        liveness.store_answered(START);
        liveness.heard([node()], START);
        liveness
    }

    /// The store answers every second until `until`.
    fn answers(liveness: &mut Liveness, from: Timestamp, until: Timestamp) {
        let mut at = from;
        while at < until {
            at = at.plus(1000);
            liveness.store_answered(at);
        }
    }

    #[test]
    fn a_node_that_is_not_heard_while_the_store_answers_is_dead() {
        let mut liveness = heard_at_start();
        let end = START.plus(NODE_DEAD_MILLIS);
        answers(&mut liveness, START, end);
        assert!(is_alive(&liveness, Timestamp(end.0 - 1)));
        assert!(!is_alive(&liveness, end));
    }

    #[test]
    fn an_outage_of_the_store_declares_nobody_dead() {
        let mut liveness = heard_at_start();
        let end = START.plus(3_600_000);
        assert!(is_alive(&liveness, end), "nobody can be heard during it");
        liveness.store_answered(end);
        assert!(is_alive(&liveness, end), "nor was at its end");
        answers(&mut liveness, end, end.plus(NODE_DEAD_MILLIS));
        assert!(!is_alive(&liveness, end.plus(NODE_DEAD_MILLIS)), "it has to be heard afterwards");
    }

    /// As where its watch is broken, that of one kind, or lists are refused.
    #[test]
    fn a_store_that_tells_nothing_of_nodes_declares_nobody_dead() {
        let mut liveness = heard_at_start();
        let others = [Key::new(Kind::VolumeStatus, "v"), Key::new(Kind::Lease, "controller")];
        let end = START.plus(3_600_000);
        for second in (START.0..end.0).step_by(1000) {
            liveness.told(&others, Timestamp(second));
        }
        assert!(is_alive(&liveness, end));
        for second in (end.0..end.0 + 2 * NODE_DEAD_MILLIS).step_by(1000) {
            liveness.told([&Key::new(Kind::NodeStatus, "node-1")], Timestamp(second));
        }
        let later = end.plus(2 * NODE_DEAD_MILLIS);
        assert!(!is_alive(&liveness, later), "another one is heard, and this one is not");
    }

    #[test]
    fn where_nodes_say_less_often_that_they_live_the_store_may_be_silent_for_longer() {
        let mut liveness = Liveness::paced(Pace::SPARING);
        liveness.store_answered(START);
        liveness.heard([node()], START);
        let beats = [1, 2, 3].map(|beat| START.plus(beat * Pace::SPARING.heartbeat_millis + beat));
        for at in beats {
            liveness.store_answered(at);
        }
        let known = beats[2].since(START);
        assert_eq!(liveness.age(&node(), beats[2]), Some(known), "a beat of one's own in time is no outage");
        const { assert!(Pace::SPARING.store_silent_millis() < Pace::SPARING.silent_node_dead_millis) };
        const { assert!(2 * Pace::SPARING.heartbeat_millis < Pace::SPARING.silent_node_dead_millis) };
    }

    #[test]
    fn a_record_is_too_old_by_the_pace_of_its_store() {
        let status = |dead_after_millis| NodeStatus { dead_after_millis, ..node_status(START) };
        let sparing = Pace::SPARING.node_dead_millis;
        for (status, dead_after) in [(status(sparing), sparing), (status(0), NODE_DEAD_MILLIS)] {
            assert!(!is_silent(&status, START.plus(dead_after - 1)), "{status:?}");
            assert!(is_silent(&status, START.plus(dead_after)), "{status:?}");
        }
    }

    #[test]
    fn a_node_nobody_ever_heard_of_is_not_alive() {
        assert!(heard_at_start().age(&Key::new(Kind::NodeStatus, "node-9"), START).is_none());
    }
}
