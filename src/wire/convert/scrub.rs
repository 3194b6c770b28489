//! Scrubs.

use crate::domain::{Bytes, ScrubReport, ScrubRequest, ScrubRun, ScrubStatus, Timestamp};
use crate::wire::proto;

/// Nothing is stored of what nobody asked for: records stay as they were before there were scrubs.
pub(super) fn unless_default<T: Default + PartialEq, W: From<T>>(value: T) -> Option<W> {
    (value != T::default()).then(|| value.into())
}

impl From<ScrubRequest> for proto::ScrubRequest {
    fn from(value: ScrubRequest) -> Self {
        let ScrubRequest { every_seconds, generation, stop, repair } = value;
        Self { every_seconds, generation, stop, repair }
    }
}

impl From<proto::ScrubRequest> for ScrubRequest {
    fn from(wire: proto::ScrubRequest) -> Self {
        let proto::ScrubRequest { every_seconds, generation, stop, repair } = wire;
        Self { every_seconds, generation, stop, repair }
    }
}

impl From<ScrubRun> for proto::ScrubRun {
    fn from(value: ScrubRun) -> Self {
        Self {
            started_at_millis: value.started_at.0,
            repair: value.repair,
            position_bytes: value.position.0,
            mismatched_bytes: value.mismatched.0,
        }
    }
}

impl From<proto::ScrubRun> for ScrubRun {
    fn from(wire: proto::ScrubRun) -> Self {
        Self {
            started_at: Timestamp(wire.started_at_millis),
            repair: wire.repair,
            position: Bytes(wire.position_bytes),
            mismatched: Bytes(wire.mismatched_bytes),
        }
    }
}

impl From<ScrubReport> for proto::ScrubReport {
    fn from(value: ScrubReport) -> Self {
        Self {
            finished_at_millis: value.finished_at.0,
            repaired: value.repaired,
            mismatched_bytes: value.mismatched.0,
        }
    }
}

impl From<proto::ScrubReport> for ScrubReport {
    fn from(wire: proto::ScrubReport) -> Self {
        Self {
            finished_at: Timestamp(wire.finished_at_millis),
            repaired: wire.repaired,
            mismatched: Bytes(wire.mismatched_bytes),
        }
    }
}

impl From<ScrubStatus> for proto::ScrubStatus {
    fn from(value: ScrubStatus) -> Self {
        let ScrubStatus { generation, running, last } = value;
        Self { generation, running: running.map(Into::into), last: last.map(Into::into) }
    }
}

impl From<proto::ScrubStatus> for ScrubStatus {
    fn from(wire: proto::ScrubStatus) -> Self {
        let proto::ScrubStatus { generation, running, last } = wire;
        Self { generation, running: running.map(Into::into), last: last.map(Into::into) }
    }
}
