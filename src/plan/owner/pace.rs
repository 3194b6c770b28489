//! How fast copies are made while an application writes.
//!
//! md's own brake waits for the recovery's requests that are under way and goes on; on a node whose processor or network is
//! the bottleneck that leaves writes a second or more behind. Here the limit follows what writes take: it halves while they
//! take much longer than they did before, and grows again while they do not; nobody writes: no limit. A daemon that dies
//! leaves a slow recovery, never one that stands.

use super::serving::Serving;
use crate::plan::{ArraySeen, Pace, Step, timing};

pub(super) fn plan(serving: &mut Serving) {
    for array in serving.arrays().unwrap_or_default() {
        let limit_kib = wanted(array, serving.input.memory.paces.get(&array.name));
        if limit_kib != array.activity.sync_limit_kib {
            let (volume, array) = (serving.spec.name.clone(), array.name.clone());
            serving.step(Step::LimitSync { volume, array, limit_kib });
        }
    }
}

fn wanted(array: &ArraySeen, pace: Option<&Pace>) -> Option<u32> {
    match pace {
        _ if !array.is_syncing() => None,
        Some(pace) if pace.is_fresh => next(array.activity.sync_limit_kib, pace),
        _ => array.activity.sync_limit_kib,
    }
}

/// The limit after one that let writes take as long as they did.
fn next(limit_kib: Option<u32>, pace: &Pace) -> Option<u32> {
    let write_micros = pace.write_micros?;
    let fair_micros = timing::WRITE_FAIR_MICROS.max(pace.calm_micros.unwrap_or(0).saturating_mul(2));
    if write_micros > fair_micros {
        Some(rung(limit_kib.unwrap_or(pace.best_kib) / 2))
    } else if write_micros > fair_micros / 2 {
        limit_kib
    } else {
        // A limit far above what is reached limits nothing.
        limit_kib.map(|limit| limit.saturating_mul(2)).filter(|limit| limit / 4 < pace.best_kib)
    }
}

/// Limits are few: the slowest, twice that, and so on. The highest that is not above `kib`.
fn rung(kib: u32) -> u32 {
    let doublings = (kib / timing::SYNC_SLOWEST_KIB).checked_ilog2().unwrap_or(0);
    timing::SYNC_SLOWEST_KIB << doublings
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOWEST: u32 = timing::SYNC_SLOWEST_KIB;
    const CALM: Pace = Pace {
        is_fresh: true,
        write_micros: Some(1_000),
        calm_micros: Some(800),
        best_kib: 100_000,
        ..Pace::NEW
    };

    #[test]
    fn slow_writes_halve_what_the_recovery_reaches() {
        let slow = Pace { write_micros: Some(200_000), ..CALM };
        assert_eq!(next(None, &slow), Some(8 * SLOWEST));
        assert_eq!(next(Some(8 * SLOWEST), &slow), Some(4 * SLOWEST));
        assert_eq!(next(Some(SLOWEST), &slow), Some(SLOWEST));
        assert_eq!(next(None, &Pace { best_kib: 0, ..slow }), Some(SLOWEST));
    }

    #[test]
    fn quick_writes_let_it_grow_until_nothing_is_limited() {
        assert_eq!(next(Some(4 * SLOWEST), &CALM), Some(8 * SLOWEST));
        assert_eq!(next(Some(64 * SLOWEST), &CALM), None);
        assert_eq!(next(None, &CALM), None);
    }

    #[test]
    fn writes_that_were_slow_before_are_no_reason() {
        let slow_anyway = Pace { write_micros: Some(60_000), calm_micros: Some(50_000), ..CALM };
        assert_eq!(next(Some(4 * SLOWEST), &slow_anyway), Some(4 * SLOWEST));
        let slower = Pace { write_micros: Some(120_000), ..slow_anyway };
        assert_eq!(next(Some(4 * SLOWEST), &slower), Some(2 * SLOWEST));
    }

    #[test]
    fn nobody_writes_no_limit() {
        assert_eq!(next(Some(SLOWEST), &Pace { write_micros: None, ..CALM }), None);
    }
}
