//! How long whoever asked in vain waits before it asks again.

use std::time::Duration;

use uuid::Uuid;

/// Twice as long after every failure, up to `longest`; half of it is drawn, so that not all daemons come at once.
pub(crate) fn pause(first: Duration, failures: u32, longest: Duration) -> Duration {
    let whole = first.saturating_mul(2u32.saturating_pow(failures)).min(longest);
    let [byte, ..] = *Uuid::new_v4().as_bytes();
    whole / 2 + whole * u32::from(byte) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_to_an_end_and_is_not_everybody_s() {
        let second = Duration::from_secs(1);
        for (failures, whole) in [(0, 1), (1, 2), (4, 16), (5, 30), (u32::MAX, 30)] {
            let drawn: Vec<Duration> = (0..64).map(|_| pause(second, failures, second * 30)).collect();
            let whole = second * whole;
            assert!(drawn.iter().all(|pause| (whole / 2..whole).contains(pause)), "{drawn:?}");
            assert!(drawn.iter().any(|pause| *pause != drawn[0]));
        }
    }
}
