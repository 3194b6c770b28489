//! Refusals and failures as gRPC has them.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::domain::{NodeName, Reason, VolumeName};
use crate::plan::verbs::{Refusal, RefusalKind};
use crate::ports::StoreError;

/// Metadata of a failed call: what the user can do. The message ends with it too.
pub const HINT: &str = "mdfabric-hint-bin";
/// Metadata of a failed call: one CamelCase word for programs.
pub const REASON: &str = "mdfabric-reason";

/// A refusal: nothing was changed.
pub(super) fn refused(refusal: &Refusal) -> Status {
    let (code, reason) = match refusal.kind {
        RefusalKind::InvalidArgument => (Code::InvalidArgument, "InvalidArgument"),
        RefusalKind::NotFound => (Code::NotFound, "NotFound"),
        RefusalKind::AlreadyExists => (Code::AlreadyExists, "AlreadyExists"),
        RefusalKind::FailedPrecondition => (Code::FailedPrecondition, "FailedPrecondition"),
        RefusalKind::ResourceExhausted => (Code::ResourceExhausted, "ResourceExhausted"),
    };
    hinted(code, reason, &refusal.message, &refusal.next_step)
}

/// A write that the store did not take.
pub(super) fn not_stored(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable { .. } | StoreError::Lagged => hinted(
            Code::Unavailable,
            "StoreUnavailable",
            &format!("the request could not be recorded: {error}"),
            "what runs goes on; repeat the command when the store answers",
        ),
        StoreError::Conflict { .. } => overtaken(),
        StoreError::Refused { .. } => hinted(
            Code::FailedPrecondition,
            "StoreRefused",
            &error.to_string(),
            "change the request, or the store's rules and rights",
        ),
        StoreError::Corrupt { .. } => hinted(
            Code::Internal,
            "RecordUnreadable",
            &error.to_string(),
            "the record is left alone; restore it from a backup of the store, or report this as a bug",
        ),
    }
}

/// Other writers were faster every time.
pub(super) fn overtaken() -> Status {
    hinted(
        Code::Aborted,
        "Overtaken",
        "the records changed under the request each time it was tried",
        "repeat the command",
    )
}

/// The daemon has not read the records yet.
pub(super) fn starting(store: &str) -> Status {
    hinted(
        Code::Unavailable,
        "Starting",
        &format!("the daemon has not read the records from store {store} yet"),
        "repeat the command in a moment",
    )
}

/// The daemon has not recorded yet what there is on its node: what the records say of it may be of before it was started again.
pub(super) fn untold(me: &NodeName) -> Status {
    hinted(
        Code::Unavailable,
        "Starting",
        &format!("the daemon has not recorded yet what there is on {me}"),
        "repeat the command in a moment",
    )
}

/// The store does not take what there is of a volume on this node: what the records say of it may be of before.
pub(super) fn frozen(volume: &str, me: &NodeName, why: &Reason) -> Status {
    hinted(
        Code::Unavailable,
        "StoreRefused",
        &format!("what there is of volume {volume} on {me} cannot be recorded: {}", why.message),
        &why.next_step,
    )
}

/// The daemon never reached the store.
pub(super) fn unread(store: &str, why: &str) -> Status {
    hinted(
        Code::Unavailable,
        "StoreUnavailable",
        &format!("the daemon has not reached store {store} since it started: {why}"),
        "what runs goes on; bring the store back",
    )
}

/// A volume of which this node knows no figures.
pub(super) fn not_measured(name: &VolumeName, me: &NodeName) -> Status {
    hinted(
        Code::FailedPrecondition,
        "NotMeasured",
        &format!("how full volume {name} is has not been measured on {me}"),
        "ask the node on which it is mounted, a minute after that",
    )
}

fn hinted(code: Code, reason: &'static str, message: &str, hint: &str) -> Status {
    let mut status = Status::new(code, format!("{message}; {hint}"));
    let metadata = status.metadata_mut();
    metadata.insert_bin(HINT, MetadataValue::from_bytes(hint.as_bytes()));
    metadata.insert(REASON, MetadataValue::from_static(reason));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_kind_and_next_step() {
        for (kind, code) in [
            (RefusalKind::InvalidArgument, Code::InvalidArgument),
            (RefusalKind::NotFound, Code::NotFound),
            (RefusalKind::AlreadyExists, Code::AlreadyExists),
            (RefusalKind::FailedPrecondition, Code::FailedPrecondition),
            (RefusalKind::ResourceExhausted, Code::ResourceExhausted),
        ] {
            let status = refused(&Refusal::new(kind, "no möve", "wait"));
            assert_eq!((status.code(), status.message()), (code, "no möve; wait"));
            let hint = status.metadata().get_bin(HINT).unwrap().to_bytes().unwrap();
            assert_eq!(hint.as_ref(), b"wait");
            assert_eq!(status.metadata().get(REASON).unwrap(), format!("{kind:?}").as_str());
        }
    }

    #[test]
    fn a_store_that_is_away_is_not_the_callers_fault() {
        let error = StoreError::Unavailable { store: "etcd".into(), call: "put", why: "timeout".into() };
        let status = not_stored(&error);
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("etcd: put: timeout"), "{status:?}");
    }
}
