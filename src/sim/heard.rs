//! How much of the store's log a daemon has heard.
//!
//! Most stores tell of changes in the order they were made. Kubernetes has a watch for each kind of object and none between them: where
//! [`super::Config::apart`] says so, what is heard of one kind says nothing of how old the others are. A watch that a node does not write
//! to itself may be deaf for a minute and a half before that is found out: [`News::Late`].

use super::clock::TICK;
use super::rng::Rng;
use super::store::Change;
use crate::domain::Kind;

/// Kinds of objects.
const STRANDS: usize = 5;

/// How long after a change it is heard of, by kind of object, ms.
pub(super) type Lags = [u64; STRANDS];
/// A lag that does not end.
const NEVER: u64 = u64::MAX / 2;
/// What is late is later than this, ms, but for what a node itself writes every few seconds.
const LATE: u64 = 10_000;
/// And not later than this, ms.
const LATEST: u64 = 90_000;

/// How soon a node hears from the store what others write. What it writes itself is taken all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Within a second.
    Soon,
    /// Of nodes within 10 s, of each other kind of object 10 s to 90 s later.
    Late,
    /// Of nodes never, of everything else soon.
    NotOfNodes,
    /// Never.
    Never,
}

impl News {
    /// The lags of a node that has `soon` when all is well.
    pub(super) fn lags(self, soon: &Lags, rng: &mut Rng) -> Lags {
        let nodes = strand(Kind::NodeStatus);
        let mut lags = *soon;
        for (index, lag) in lags.iter_mut().enumerate() {
            *lag = match self {
                Self::Late if index == nodes => rng.below(LATE / TICK) * TICK,
                Self::Late => rng.between(LATE / TICK, LATEST / TICK) * TICK,
                Self::NotOfNodes if index == nodes => NEVER,
                Self::Soon | Self::NotOfNodes => *lag,
                Self::Never => NEVER,
            };
        }
        lags
    }
}

/// Those whose records are in one object are heard of together.
const fn strand(kind: Kind) -> usize {
    match kind {
        Kind::VolumeSpec | Kind::VolumeStatus => 0,
        Kind::ReplicaSpec | Kind::ReplicaStatus => 1,
        Kind::DriveSpec | Kind::DriveStatus => 2,
        Kind::NodeSpec | Kind::NodeStatus => 3,
        Kind::Lease => 4,
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Strand {
    /// The first change that was not heard of.
    cursor: usize,
    /// Up to here it has to be.
    barrier: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Heard([Strand; STRANDS]);

impl Heard {
    /// Everything so far.
    pub(super) fn all(log: &[Change]) -> Self {
        Self([Strand { cursor: log.len(), barrier: 0 }; STRANDS])
    }

    /// Whether everything is heard that was waited for.
    pub(super) fn is_current(&self) -> bool {
        self.0.iter().all(|strand| strand.cursor >= strand.barrier)
    }

    /// Everything there is so far has to be heard; or, of what is told apart, what is of these kinds.
    pub(super) fn wait(&mut self, log: &[Change], kinds: Option<&[Kind]>) {
        self.skip(log);
        for (index, own) in self.0.iter_mut().enumerate() {
            let waits = kinds.is_none_or(|kinds| kinds.iter().any(|kind| strand(*kind) == index));
            own.barrier = if waits { log.len() } else { 0 };
        }
    }

    /// Nothing has to be heard.
    pub(super) fn wait_for_nothing(&mut self) {
        self.0.iter_mut().for_each(|strand| strand.barrier = 0);
    }

    /// The next change that is heard of by now. Who does not reach the store has heard what it waits for, and nothing else.
    pub(super) fn next<'a>(
        &mut self,
        log: &'a [Change],
        lags: &Lags,
        now: u64,
        reachable: bool,
    ) -> Option<&'a Change> {
        self.skip(log);
        let is_heard = |lag: u64, own: &Strand| match log.get(own.cursor) {
            Some(change) if reachable => change.at + lag <= now,
            Some(_) => own.cursor < own.barrier,
            None => false,
        };
        let heard = self.0.iter_mut().zip(lags).filter(|(own, lag)| is_heard(**lag, own));
        let (own, _) = heard.min_by_key(|(own, _)| own.cursor)?;
        let change = log.get(own.cursor);
        own.cursor += 1;
        self.skip(log);
        change
    }

    /// When it hears of a change.
    pub(super) fn next_at(&self, log: &[Change], lags: &Lags) -> u64 {
        let next = |(index, own): (usize, &Strand)| {
            let unheard = log.get(own.cursor..)?;
            unheard.iter().find(|change| strand(change.key.kind) == index).map(|change| change.at)
        };
        let all = self.0.iter().enumerate().map(next).zip(lags);
        all.filter_map(|(at, lag)| Some(at? + lag)).min().unwrap_or(u64::MAX)
    }

    /// Passes by what is of other kinds.
    fn skip(&mut self, log: &[Change]) {
        for (index, own) in self.0.iter_mut().enumerate() {
            while log.get(own.cursor).is_some_and(|change| strand(change.key.kind) != index) {
                own.cursor += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Key, Revision};

    fn log() -> Vec<Change> {
        let change =
            |(at, kind)| Change { at, key: Key::new(kind, "x"), value: None, revision: Revision(at + 1) };
        [(0, Kind::VolumeSpec), (1, Kind::NodeSpec), (2, Kind::VolumeStatus)].map(change).into()
    }

    fn kinds(heard: &mut Heard, lags: Lags, now: u64) -> Vec<Kind> {
        let log = log();
        std::iter::from_fn(|| heard.next(&log, &lags, now, true)).map(|change| change.key.kind).collect()
    }

    #[test]
    fn what_is_as_late_is_heard_in_the_order_it_was_made() {
        let mut heard = Heard::all(&[]);
        assert_eq!(kinds(&mut heard, [3; STRANDS], 4), [Kind::VolumeSpec, Kind::NodeSpec]);
        assert_eq!(heard.next_at(&log(), &[3; STRANDS]), 5);
        assert_eq!(kinds(&mut heard, [3; STRANDS], 5), [Kind::VolumeStatus]);
        assert_eq!(heard.next_at(&log(), &[3; STRANDS]), u64::MAX);
    }

    #[test]
    fn a_kind_that_is_late_is_in_no_other_s_way() {
        let (mut heard, lags) = (Heard::all(&[]), [100, 0, 0, 0, 0]);
        assert_eq!(kinds(&mut heard, lags, 5), [Kind::NodeSpec]);
        assert_eq!(heard.next_at(&log(), &lags), 100);
        assert_eq!(kinds(&mut heard, lags, 102), [Kind::VolumeSpec, Kind::VolumeStatus]);
    }

    #[test]
    fn what_never_comes_is_in_no_other_s_way_either() {
        let lags = News::NotOfNodes.lags(&[0; STRANDS], &mut Rng::new(1));
        assert_eq!(kinds(&mut Heard::all(&[]), lags, 5), [Kind::VolumeSpec, Kind::VolumeStatus]);
        let late = News::Late.lags(&[0; STRANDS], &mut Rng::new(1));
        assert!(late.iter().enumerate().all(|(index, lag)| (index == 3) == (*lag < LATE) && *lag < LATEST));
    }

    #[test]
    fn what_is_waited_for_is_everything_or_what_one_wrote_oneself() {
        let lags = [100, 0, 0, 0, 0];
        for (own, is_current) in [(None, false), (Some([Kind::NodeStatus]), true)] {
            let mut heard = Heard::all(&[]);
            heard.wait(&log(), own.as_ref().map(<[Kind; 1]>::as_slice));
            assert!(!heard.is_current());
            kinds(&mut heard, lags, 5);
            assert_eq!(heard.is_current(), is_current);
        }
    }
}
