//! `mdfabric volume scrub`

use std::str::FromStr;

use super::reach;
use crate::api::proto;
use crate::cli::Changing;
use crate::cli::failure::Failure;
use crate::cli::goal::Goal;
use crate::cli::session::Session;
use crate::domain::{ScrubRequest, VolumeName};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Scrub {
    /// The volume
    name: VolumeName,
    /// Make the copies equal where they differ. Nobody knows which one is right: what the copy in the array's first slot has, whose
    /// node `explain` names, is written over the others
    #[arg(long, conflicts_with_all = ["stop", "every"])]
    repair: bool,
    /// Stop the scrub that is under way
    #[arg(long, conflicts_with = "every")]
    stop: bool,
    /// Compare the copies by itself, without repair, so long after the last time: 12h, 7d; off: only when asked
    #[arg(long, value_name = "TIME|off")]
    every: Option<Every>,
    #[command(flatten)]
    changing: Changing,
}

/// A schedule in seconds; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Every(u64);

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let times = |unit: char, seconds| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(seconds);
        let seconds = if text == "off" { Some(0) } else { times('h', HOUR).or_else(|| times('d', DAY)) };
        let sensible = seconds.filter(|seconds| {
            *seconds == 0 && text == "off" || ScrubRequest::EVERY_SECONDS.contains(seconds)
        });
        sensible.map(Self).ok_or_else(|| format!("{text:?} is neither 1h to 3650d nor off"))
    }
}

impl Scrub {
    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        let request = proto::ScrubVolumeRequest {
            name: self.name.to_string(),
            repair: self.repair,
            stop: self.stop,
            every_seconds: self.every.map(|every| every.0),
            dry_run: self.changing.dry_run,
        };
        let change = session.client()?.scrub_volume(request).await?.into_inner();
        let goal = if self.every.is_some() { Goal::Scheduled(self.name) } else { Goal::Scrubbed(self.name) };
        reach(session, &change, &goal, self.changing).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_hours_days_or_off() {
        assert_eq!("7d".parse(), Ok(Every(7 * DAY)));
        assert_eq!("12h".parse(), Ok(Every(12 * HOUR)));
        assert_eq!("off".parse(), Ok(Every(0)));
        for bad in ["", "0h", "0d", "-1d", "7", "30s", "never", "99999d", "99999999999999999999h"] {
            assert!(bad.parse::<Every>().is_err(), "{bad:?}");
        }
    }
}
