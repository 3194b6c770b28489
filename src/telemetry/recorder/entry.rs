//! What is recorded.

#![allow(
    missing_docs,
    reason = "the fields of What are named by what they are, and each variant says when it is written"
)]

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Bytes of a text that are kept.
const TEXT_BYTES: usize = 1000;

/// One thing that happened, by this node's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened. New variants go to the end: the place is what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A daemon began.
    Started { version: String, node: String },
    /// A step was given to its lane.
    StepBegun { step: String, lane: String },
    /// It was done.
    StepDone { step: String, outcome: String },
    /// It was not.
    StepFailed { step: String, kind: String, message: String },
    /// This daemon wrote a record.
    RecordWritten { key: String, revision: u64, summary: String },
    /// Somebody else wrote a record.
    RecordSeen { key: String, revision: u64, summary: String },
    /// The store did not take a record.
    RecordRefused { key: String, why: String },
    /// The store stopped answering.
    StoreLost { why: String },
    /// It answers again.
    StoreBack,
    /// The kernel shows something else of an object than before.
    Observed { object: String, state: String },
    /// An event was recorded in a volume's status.
    Event { volume: String, reason: String, message: String },
    /// So many entries found no room in the queue or on the disk.
    Dropped { entries: u64 },
}

/// A text cut to what is kept.
pub(super) fn clip(text: impl fmt::Display) -> String {
    let mut text = text.to_string();
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
    text
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { version, node } => write!(f, "started: mdfabric {version} on {node}"),
            Self::StepBegun { step, lane } => write!(f, "begin: {step} [{lane}]"),
            Self::StepDone { step, outcome } => write!(f, "done: {step}: {outcome}"),
            Self::StepFailed { step, kind, message } => write!(f, "FAILED: {step}: {kind}: {message}"),
            Self::RecordWritten { key, revision, summary } => {
                write!(f, "wrote {key} at {revision}: {summary}")
            }
            Self::RecordSeen { key, revision, summary } => write!(f, "saw {key} at {revision}: {summary}"),
            Self::RecordRefused { key, why } => write!(f, "not written: {key}: {why}"),
            Self::StoreLost { why } => write!(f, "store lost: {why}"),
            Self::StoreBack => write!(f, "store is back"),
            Self::Observed { object, state } => write!(f, "kernel: {object}: {state}"),
            Self::Event { volume, reason, message } => write!(f, "event of {volume}: {reason}: {message}"),
            Self::Dropped { entries } => write!(f, "{entries} entries found no room here"),
        }
    }
}

impl fmt::Display for Entry {
    /// `2026-11-21T12:01:51.123Z begin: …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Utc(self.at), self.what)
    }
}

/// A moment as RFC 3339 has it.
struct Utc(Timestamp);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.seconds();
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.0.0 % 1000)
    }
}

/// Year, month and day of a count of days since 1970-01-01: Howard Hinnant's `civil_from_days`, for days not before it.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
