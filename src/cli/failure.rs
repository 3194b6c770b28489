//! What a command says when it did not work.

use std::error::Error;
use std::fmt::Write;

use crate::api::client::ClientError;
use crate::api::server::SocketError;
use crate::config::ConfigError;
use crate::domain::InvalidName;
use crate::ports::StoreError;
use crate::telemetry::dump::ArchiveError;

/// A command that failed: the object, what was tried, why not, and what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure with its two sentences.
    pub fn new(message: impl std::fmt::Display, hint: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), hint: hint.to_string(), source: None }
    }

    /// A failure with a cause.
    pub fn caused(
        message: impl std::fmt::Display,
        hint: impl std::fmt::Display,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(message, hint) }
    }

    fn of(error: impl Error + Send + Sync + 'static, hint: impl std::fmt::Display) -> Self {
        let message = error.to_string();
        match error.source() {
            // The chain is kept, its first link is the message.
            Some(_) => {
                Self { message, hint: hint.to_string(), source: Some(Box::new(Chain(Box::new(error)))) }
            }
            None => Self::new(message, hint),
        }
    }

    /// The lines for standard error.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut said = self.message.clone();
        let mut cause: Option<&(dyn Error + 'static)> =
            self.source.as_deref().map(|source| source as &(dyn Error + 'static));
        while let Some(error) = cause {
            let line = error.to_string();
            if !said.contains(&line) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "  because: {line}");
                said = line;
            }
            cause = error.source();
        }
        if !self.hint.is_empty() {
            let _ = writeln!(text, "hint: {}", self.hint);
        }
        text
    }
}

/// Stands for an error's causes without itself.
#[derive(Debug)]
struct Chain(Box<dyn Error + Send + Sync>);

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Chain {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = error.hint().to_owned();
        Self::of(error, hint)
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        ClientError::from(status).into()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(error, "the configuration is described in `mdfabric node --help`")
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        Self::of(error, "")
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::of(error, "the store's place is in the configuration: [store] local or etcd")
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::of(error, "give the archive that `mdfabric dump` wrote, whole and not compressed")
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        Self::of(error, "")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(error, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_printed_once() {
        let source = std::io::Error::from_raw_os_error(2);
        let error = ConfigError::Read { path: "/x".into(), source };
        let text = Failure::from(error).text();
        assert_eq!(
            text,
            "error: configuration file /x\n  because: No such file or directory (os error 2)\n\
             hint: the configuration is described in `mdfabric node --help`\n"
        );
        assert_eq!(Failure::new("no", "").text(), "error: no\n");
    }
}
