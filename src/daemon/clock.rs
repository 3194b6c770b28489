//! The only place that reads the clock.
//!
//! Time-outs must not fire because somebody set the wall clock, and records should tell the time of day. So our time runs
//! like the monotonic clock and moves towards the wall clock by at most a tenth of the time that passes.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// Of the time that passes, the part by which ours may be faster or slower.
const SLEW_DIVISOR: u64 = 10;

/// Ours at a moment of the monotonic clock.
struct Reading {
    at: Instant,
    micros: u64,
}

static LAST: LazyLock<Mutex<Reading>> =
    LazyLock::new(|| Mutex::new(Reading { at: Instant::now(), micros: wall_micros() }));

/// Now.
#[must_use]
pub fn now() -> Timestamp {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let at = Instant::now();
    let passed = u64::try_from(at.saturating_duration_since(last.at).as_micros()).unwrap_or(u64::MAX);
    *last = Reading { at, micros: follow(last.micros, passed, wall_micros()) };
    Timestamp(last.micros / 1000)
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Ours `passed` microseconds after it was `last`, when the wall clock says `wall`.
fn follow(last: u64, passed: u64, wall: u64) -> u64 {
    let slew = passed / SLEW_DIVISOR;
    let exact = last.saturating_add(passed);
    wall.clamp(exact.saturating_sub(slew), exact.saturating_add(slew))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HOUR: u64 = 3600 * SECOND;

    #[test]
    fn a_wall_clock_that_jumps_is_followed_slowly_and_never_backwards() {
        assert_eq!(follow(HOUR, SECOND, HOUR + SECOND), HOUR + SECOND);
        assert_eq!(follow(HOUR, 10 * SECOND, 9 * HOUR), HOUR + 11 * SECOND);
        assert_eq!(follow(HOUR, 10 * SECOND, 0), HOUR + 9 * SECOND);
    }

    #[test]
    fn a_small_difference_is_made_up_for() {
        assert_eq!(follow(HOUR, 10 * SECOND, HOUR + 10 * SECOND + 300), HOUR + 10 * SECOND + 300);
    }

    #[test]
    fn time_goes_on() {
        let before = now();
        assert!(now() >= before);
    }
}
