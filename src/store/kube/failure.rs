//! What the API server says where it does not do what it was asked.

use std::error::Error as _;

use kube::Error;
use kube::core::Status;

use crate::domain::Key;
use crate::ports::StoreError;

/// What an apply comes to whose fields, or whose object's, are not what the definition declares. The API server calls it an error of its own, 500
/// (`structuredMergeManager.Apply`, apimachinery/pkg/util/managedfields/internal/structuredmerge.go), and it is one of what was written.
const UNTYPED: [&str; 3] = [
    "failed to create typed patch object",
    "failed to create typed live object",
    "field not declared in schema",
];
/// What any other write comes to that says `fieldValidation=Strict`.
const UNKNOWN: &str = "unknown field";
/// A revision that the watch cache, or etcd, is not at.
const FUTURE: [&str; 2] = ["Too large resource version", "required revision is a future revision"];

/// A request that did not do what it was to do.
#[derive(Debug)]
pub(super) enum Failed {
    /// The API server's own word.
    Said(Box<Status>),
    /// No word of it, and why not.
    Silent(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::Said(status),
            other => Self::Silent(chain(&other)),
        }
    }
}

/// An error with everything that is behind it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Failed {
    /// Whether somebody else wrote the object first.
    pub(super) fn is_conflict(&self) -> bool {
        self.is(409) && !self.is_there()
    }

    /// Whether the object that was to be made is there.
    pub(super) fn is_there(&self) -> bool {
        matches!(self, Self::Said(status) if status.is_already_exists())
    }

    /// Whether there is no object of that name. That its kind is not known is something else: nothing is named then.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        let names_it = |status: &Status| status.details.as_ref().is_some_and(|details| details.name == name);
        matches!(self, Self::Said(status) if status.code == 404 && names_it(status))
    }

    fn is(&self, code: u16) -> bool {
        matches!(self, Self::Said(status) if status.code == code)
    }

    fn says(&self, words: &[&str]) -> bool {
        matches!(self, Self::Said(status) if words.iter().any(|word| status.message.contains(word)))
    }

    /// Whether the object's definition does not know what was written.
    pub(super) fn is_undeclared(&self) -> bool {
        self.is(500) && self.says(&UNTYPED) || (self.is(400) || self.is(422)) && self.says(&[UNKNOWN])
    }

    /// Whether the revision that was asked for is forgotten, or is yet to come.
    pub(super) fn is_no_revision(&self) -> bool {
        self.is(410) || self.says(&FUTURE)
    }

    /// What a write of `key` came to.
    pub(super) fn of_write(self, store: &str, call: &'static str, key: &Key) -> StoreError {
        let undeclared = self.is_undeclared();
        match self {
            Self::Said(status) if undeclared => {
                let why = format!("{}; are the definitions of deploy/crds this version's?", status.message);
                StoreError::Refused { key: key.clone(), why }
            }
            Self::Said(status) if matches!(status.code, 400 | 403 | 413 | 422) => {
                StoreError::Refused { key: key.clone(), why: status.message }
            }
            other => other.of_read(store, call),
        }
    }

    /// What anything else came to.
    pub(super) fn of_read(self, store: &str, call: &'static str) -> StoreError {
        if self.is(410) {
            return StoreError::Lagged;
        }
        let why = match self {
            Self::Silent(why) => why,
            Self::Said(status) => words(&status),
        };
        StoreError::Unavailable { store: store.to_owned(), call, why }
    }
}

fn words(status: &Status) -> String {
    let next = match status.code {
        404 => "; are the definitions of deploy/crds applied?",
        403 => "; does the daemon's role allow it?",
        429 => "; it is asked again later",
        _ => "",
    };
    let reason = if status.reason.is_empty() { status.code.to_string() } else { status.reason.clone() };
    format!("{reason}: {}{next}", status.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    fn said(code: u16, reason: &str) -> Failed {
        Failed::Said(Status::failure("no", reason).with_code(code).boxed())
    }

    #[test]
    fn what_the_server_does_not_allow_is_refused_and_what_it_cannot_do_now_is_not() {
        let key = Key::new(Kind::NodeSpec, "n1");
        for code in [400, 403, 413, 422] {
            let error = said(code, "").of_write("k", "put", &key);
            assert!(matches!(error, StoreError::Refused { .. }), "{code}: {error}");
        }
        for code in [401, 404, 429, 500, 503] {
            let error = said(code, "").of_write("k", "put", &key);
            assert!(matches!(error, StoreError::Unavailable { .. }), "{code}: {error}");
        }
        assert!(matches!(said(410, "Expired").of_read("k", "watch"), StoreError::Lagged));
    }

    #[test]
    fn what_a_definition_does_not_know_is_refused_and_no_outage() {
        let key = Key::new(Kind::VolumeStatus, "v");
        let said = |code, message: &str| Failed::Said(Status::failure(message, "").with_code(code).boxed());
        let applied = "failed to create typed patch object (/v; mdfabric.io/v1alpha1, Kind=Volume): \
                       .status.growth: field not declared in schema";
        let patched = r#"strict decoding error: unknown field "status.growth""#;
        for (code, message) in [(500, applied), (400, patched), (422, patched)] {
            let error = said(code, message).of_write("k", "put", &key);
            assert!(matches!(error, StoreError::Refused { .. }), "{code}: {error}");
            let told = error.to_string();
            assert!(told.contains("status.growth") && told.contains("deploy/crds"), "{told}");
        }
        assert!(!said(500, "etcdserver: leader changed").is_undeclared());
    }

    #[test]
    fn an_unknown_kind_is_no_absent_object() {
        assert!(!said(404, "NotFound").is_absent("v"));
        let told = said(404, "NotFound").of_read("k", "list").to_string();
        assert!(told.contains("deploy/crds"), "{told}");
    }

    #[test]
    fn what_is_there_is_no_conflict_of_revisions() {
        assert!(said(409, "AlreadyExists").is_there() && !said(409, "AlreadyExists").is_conflict());
        assert!(said(409, "Conflict").is_conflict());
    }
}
