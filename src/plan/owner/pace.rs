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
        let half = limit_kib.unwrap_or(u32::MAX).min(pace.sync_kib) / 2;
        Some(half.max(timing::SYNC_SLOWEST_KIB))
    } else if write_micros > fair_micros / 2 {
        limit_kib
    } else {
        // A limit far above what is reached limits nothing.
        limit_kib.map(|limit| limit + limit / 4).filter(|limit| limit / 4 < pace.sync_kib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Pace = Pace {
        is_fresh: true,
        write_micros: Some(1_000),
        calm_micros: Some(800),
        sync_kib: 100_000,
        ..Pace::NEW
    };

    #[test]
    fn slow_writes_halve_what_the_recovery_reaches() {
        let slow = Pace { write_micros: Some(200_000), ..CALM };
        assert_eq!(next(None, &slow), Some(50_000));
        assert_eq!(next(Some(30_000), &slow), Some(15_000));
        assert_eq!(next(Some(timing::SYNC_SLOWEST_KIB), &slow), Some(timing::SYNC_SLOWEST_KIB));
    }

    #[test]
    fn quick_writes_let_it_grow_until_nothing_is_limited() {
        assert_eq!(next(Some(16_000), &CALM), Some(20_000));
        assert_eq!(next(Some(400_000), &CALM), None);
        assert_eq!(next(None, &CALM), None);
    }

    #[test]
    fn writes_that_were_slow_before_are_no_reason() {
        let slow_anyway = Pace { write_micros: Some(60_000), calm_micros: Some(50_000), ..CALM };
        assert_eq!(next(Some(16_000), &slow_anyway), Some(16_000));
        let slower = Pace { write_micros: Some(120_000), ..slow_anyway };
        assert_eq!(next(Some(16_000), &slower), Some(8_000));
    }

    #[test]
    fn nobody_writes_no_limit() {
        assert_eq!(next(Some(16_000), &Pace { write_micros: None, ..CALM }), None);
    }
}
