//! Structured logs: to the journal under systemd, else as lines.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// To the journal, with fields.
    Journal,
    /// To standard error, for people.
    Text,
    /// To standard error, one JSON object per line.
    Json,
}

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error(
        "log filter {filter:?} is not understood: use a level (info), or levels by module (info,h2=debug)"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// No journal answers.
    #[error("the journal cannot be reached")]
    Journal {
        /// What the kernel says.
        source: std::io::Error,
    },
}

/// Starts logging what `filter` lets through, in the language of [`EnvFilter`].
pub fn start(filter: &str, sink: Sink) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    // A second start in one process (tests) changes nothing.
    drop(tracing_subscriber::registry().with(layer(sink)?.with_filter(filter)).try_init());
    Ok(())
}

fn layer(sink: Sink) -> Result<Box<dyn Layer<Registry> + Send + Sync>, LogError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match sink {
        Sink::Journal => to_journal()?,
        Sink::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Sink::Json => lines.json().flatten_event(true).boxed(),
    })
}

fn to_journal() -> Result<Box<dyn Layer<Registry> + Send + Sync>, LogError> {
    let layer = tracing_journald::layer().map_err(|source| LogError::Journal { source })?;
    Ok(layer.with_syslog_identifier("mdfabric".to_owned()).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = start("=,=", Sink::Text).unwrap_err();
        assert!(error.to_string().contains("\"=,=\""), "{error}");
    }
}
