//! Going on without the store (R5, `onStoreLoss: continue`).
//!
//! ```text
//! store silent, leg lost -> note on this node's disk: "lacks writes" -> leg let go -> writes go on
//!                           store answers: the smaller set is recorded, or somebody took the volume: it is given up
//! ```
//!
//! R1 says that the record comes before the loss. Where no record can be made, a note on the owner's own disk takes its place:
//! a daemon or a machine that starts again must not count on that copy either.

use crate::domain::{Epoch, ReplicaId, Timestamp, VolumeUid};

use super::timing::{STORE_LOST_MILLIS, STORE_TRIES_MILLIS};

/// A copy that lacks writes of an epoch, whatever the record says: it was let go while the store did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alone {
    /// The volume.
    pub volume: VolumeUid,
    /// The ownership that went on without it.
    pub epoch: Epoch,
    /// The copy.
    pub replica: ReplicaId,
}

/// Since when the store has been asked in vain. Only what was tried counts: a machine that slept proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSilence {
    first: Option<Timestamp>,
    last: Timestamp,
}

impl StoreSilence {
    /// It was asked, and did not answer. A try long after the one before it begins anew.
    pub fn asked_in_vain(&mut self, now: Timestamp) {
        if now.since(self.last) > STORE_TRIES_MILLIS {
            self.first = None;
        }
        self.first.get_or_insert(now);
        self.last = now;
    }

    /// It answered.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// Whether it has been silent for so long, and was asked so lately, that an owner who may goes on without it.
    #[must_use]
    pub fn is_lost(&self, now: Timestamp) -> bool {
        let lasted = self.first.is_some_and(|first| self.last.since(first) >= STORE_LOST_MILLIS);
        lasted && now.since(self.last) <= STORE_TRIES_MILLIS
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(times: &[u64]) -> StoreSilence {
        let mut silence = StoreSilence::default();
        for at in times {
            silence.asked_in_vain(Timestamp(*at));
        }
        silence
    }

    #[test]
    fn it_is_lost_once_it_was_asked_in_vain_for_long_enough() {
        let times: Vec<u64> = (0..=STORE_LOST_MILLIS / 1_000).map(|second| 60_000 + second * 1_000).collect();
        let silence = asked(&times);
        assert!(silence.is_lost(Timestamp(60_000 + STORE_LOST_MILLIS)));
        assert!(!asked(&times[..2]).is_lost(Timestamp(60_000 + STORE_LOST_MILLIS)));
    }

    #[test]
    fn a_machine_that_slept_asks_anew() {
        let mut silence = asked(&[60_000]);
        let woke = Timestamp(120_000);
        silence.asked_in_vain(woke);
        assert!(!silence.is_lost(woke));
        assert_eq!(silence.since(), Some(woke));
    }

    #[test]
    fn an_answer_ends_it() {
        let mut silence = asked(&[60_000, 61_000]);
        silence.answered();
        assert_eq!(silence, StoreSilence::default());
    }
}
