//! What callers are told when a call does not succeed, and what the log is told of calls.

use std::future::Future;

use tonic::{Code, Response, Status};

/// What every call answers.
pub type Answer<T> = Result<Response<T>, Status>;

/// Carries a call out, and tells the log how it went. `about` is an id or a name; secrets are never told.
pub async fn told<T>(
    call: &'static str,
    about: &str,
    work: impl Future<Output = Result<T, Status>>,
) -> Answer<T> {
    let result = work.await;
    match &result {
        Ok(_) => tracing::info!(call, about, "done"),
        Err(status) => tracing::warn!(call, about, code = ?status.code(), "{}", status.message()),
    }
    result.map(Response::new)
}

/// A field that CSI requires.
pub fn required<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Status> {
    if value.is_empty() { Err(missing(field)) } else { Ok(value) }
}

/// The same of a field that is no text.
#[must_use]
pub fn missing(field: &'static str) -> Status {
    Status::invalid_argument(format!("{field} is missing"))
}

/// A volume that is not there, or going.
#[must_use]
pub fn no_volume(id: &str) -> Status {
    Status::not_found(format!("there is no volume {id}"))
}

/// What is no failure to a caller that wanted the thing gone.
pub fn gone_is_done<T>(result: Result<T, Status>) -> Result<Option<T>, Status> {
    match result {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        other => other.map(Some),
    }
}
