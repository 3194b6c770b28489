//! The one way to wait: for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The shortest and the longest pause between two looks at the condition.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(300));
/// A pause is so many times what the look took: most look by a program in a guest, which is what the guest would do else all the time.
const REST: u32 = 2;

/// A deadline that passed before its condition held.
#[derive(Debug)]
pub struct Missed {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub waited: Duration,
}

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waited {:.1} s in vain for {}", self.waited.as_secs_f64(), self.what)
    }
}

impl std::error::Error for Missed {}

/// Looks at `probe` until it gives a value. An error of the probe ends the wait at once; a passed deadline is
/// [`Missed`]. The probe is always asked at least once, and once more after the deadline.
pub fn wait_for<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait(what, deadline, |took| (took * REST).clamp(PAUSES.0, PAUSES.1), probe)
}

/// As [`wait_for`], with always the same pause between two looks.
pub(crate) fn wait_closely<T>(
    what: &str,
    deadline: Duration,
    pause: Duration,
    probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    wait(what, deadline, |_| pause, probe)
}

fn wait<T>(
    what: &str,
    deadline: Duration,
    pause: impl Fn(Duration) -> Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let looked = Instant::now();
        let late = start.elapsed() >= deadline;
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if late {
            return Err(Missed { what: what.to_owned(), waited: start.elapsed() }.into());
        }
        let pause = pause(looked.elapsed());
        std::thread::sleep(pause.min(deadline.saturating_sub(start.elapsed())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_the_wait() {
        let mut left = 3;
        let got = wait_for("three looks", Duration::from_secs(5), || {
            left -= 1;
            Ok((left == 0).then_some("now"))
        });
        assert_eq!(got.unwrap(), "now");
    }

    #[test]
    fn a_missed_deadline_says_what_was_missed() {
        let err = wait_for("rain", Duration::from_millis(1), || Ok(None::<()>)).unwrap_err();
        assert!(err.downcast_ref::<Missed>().is_some());
        assert!(err.to_string().contains("rain"));
    }

    #[test]
    fn an_error_of_the_probe_ends_the_wait() {
        let err = wait_for("x", Duration::from_mins(1), || Err::<Option<()>, _>(anyhow::anyhow!("broken")));
        assert_eq!(err.unwrap_err().to_string(), "broken");
    }
}
