//! Structured logs: to the journal under systemd, else as lines.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::LogFormat;

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is none.
    #[error(
        "log filter {filter:?} is not understood: use a level (info), or levels by module (info,mdfabric::store=debug)"
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

/// Starts logging. `journal` says whether our output goes to the journal already (`JOURNAL_STREAM` is set).
pub fn start(filter: &str, format: LogFormat, journal: bool) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    // A second start in one process (tests) changes nothing.
    drop(tracing_subscriber::registry().with(sink(format, journal)?.with_filter(filter)).try_init());
    Ok(())
}

fn sink(format: LogFormat, journal: bool) -> Result<Box<dyn Layer<Registry> + Send + Sync>, LogError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match format {
        LogFormat::Auto if journal => to_journal()?,
        LogFormat::Journald => to_journal()?,
        LogFormat::Auto | LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
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
        let error = start("=,=", LogFormat::Text, false).unwrap_err();
        assert!(error.to_string().contains("\"=,=\""), "{error}");
    }
}
