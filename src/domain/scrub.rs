//! Comparing all copies of a volume in its everyday life.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Timestamp};

/// What the user wants to be compared, and when. Written by the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScrubRequest {
    /// Seconds from the end of one comparison to the next; 0: only when asked.
    pub every_seconds: u64,
    /// Raised by every request to begin or to stop.
    pub generation: u64,
    /// The last request was to stop.
    pub stop: bool,
    /// The last request was to make the copies equal, too. What begins by itself never does.
    pub repair: bool,
}

/// Copies would be compared all the time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} seconds is neither 0 nor an hour ({least}) to ten years ({most})",
    least = ScrubRequest::EVERY_SECONDS.start(),
    most = ScrubRequest::EVERY_SECONDS.end()
)]
pub struct BadSchedule(pub u64);

impl ScrubRequest {
    /// What a schedule may be, seconds: an hour to ten years.
    pub const EVERY_SECONDS: std::ops::RangeInclusive<u64> = 3600..=315_360_000;

    /// Seconds from one comparison to the next; `None`: only when asked. Whatever was written into the record by hand is judged here, too.
    pub fn schedule(&self) -> Result<Option<u64>, BadSchedule> {
        match self.every_seconds {
            0 => Ok(None),
            every if Self::EVERY_SECONDS.contains(&every) => Ok(Some(every)),
            every => Err(BadSchedule(every)),
        }
    }

    /// The schedule in words: `7 days`, `12 hours`; none where it is none, or may not be.
    #[must_use]
    pub fn every(&self) -> Option<String> {
        const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
        let every = self.schedule().ok()??;
        let (seconds, unit) = UNITS.into_iter().find(|(seconds, _)| every.is_multiple_of(*seconds))?;
        let count = every / seconds;
        Some(if count == 1 { unit.to_owned() } else { format!("{count} {unit}s") })
    }
}

/// A comparison that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubRun {
    /// When it began.
    pub started_at: Timestamp,
    /// What differs is made equal.
    pub repair: bool,
    /// What is behind it, over all columns, as last recorded: from here it goes on after a restart.
    pub position: Bytes,
    /// Bytes of the places that differed up to there. md counts a whole window, up to 64 KiB, for every copy that differs in it from the first
    /// one (`process_checks`, drivers/md/raid1.c).
    pub mismatched: Bytes,
}

/// The last comparison that was finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// When.
    pub finished_at: Timestamp,
    /// What differed was made equal.
    pub repaired: bool,
    /// Bytes of the places that differed, as in [`ScrubRun`].
    pub mismatched: Bytes,
}

/// What became of it. Written by the owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScrubStatus {
    /// The last request that was taken up.
    pub generation: u64,
    /// What is under way.
    pub running: Option<ScrubRun>,
    /// What was finished last.
    pub last: Option<ScrubReport>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_told_in_the_largest_unit_that_fits() {
        let every = |every_seconds| ScrubRequest { every_seconds, ..ScrubRequest::default() }.every();
        assert_eq!(every(0), None);
        let told = [7 * 86_400, 86_400, 12 * 3600, 5400].map(|seconds| every(seconds).unwrap());
        assert_eq!(told, ["7 days", "day", "12 hours", "90 minutes"]);
    }

    #[test]
    fn a_schedule_out_of_bounds_is_none() {
        let of = |every_seconds| ScrubRequest { every_seconds, ..ScrubRequest::default() };
        assert_eq!([of(0).schedule(), of(3600).schedule()], [Ok(None), Ok(Some(3600))]);
        for bad in [1, 3599, 315_360_001, u64::MAX] {
            assert_eq!((of(bad).schedule(), of(bad).every()), (Err(BadSchedule(bad)), None));
        }
    }
}
