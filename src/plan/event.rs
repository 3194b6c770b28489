//! What happened to a volume, in its status.

use crate::domain::{Event, Timestamp, VolumeStatus};
use crate::plan::timing;

/// Adds an event and forgets the oldest ones.
pub(super) fn push(status: &mut VolumeStatus, at: Timestamp, reason: &str, message: impl std::fmt::Display) {
    status.events.push(Event { at, reason: reason.to_owned(), message: message.to_string() });
    let surplus = status.events.len().saturating_sub(timing::EVENTS_KEPT);
    status.events.drain(..surplus);
}
