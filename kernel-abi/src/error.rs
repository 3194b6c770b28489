//! What a failed kernel call says of itself.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A call into the kernel that failed: which call, on what, with which value, and the kernel's answer as `source()`.
#[derive(Debug, thiserror::Error)]
pub struct CallError {
    /// The system call or the verb (`write`, `ADD_NEW_DISK`, `mkdir`).
    pub call: &'static str,
    /// The path or device it was made on.
    pub target: String,
    /// What was written or passed, where that helps to understand the refusal. Never a secret.
    pub value: Option<String>,
    /// The kernel's answer.
    #[source]
    pub source: io::Error,
}

impl CallError {
    /// Names `call` on `target` as the one that failed with `source`.
    pub fn new(call: &'static str, target: impl fmt::Display, source: impl Into<io::Error>) -> Self {
        Self { call, target: target.to_string(), value: None, source: source.into() }
    }

    /// Adds what was written or passed.
    #[must_use]
    pub fn with_value(mut self, value: impl fmt::Display) -> Self {
        self.value = Some(value.to_string());
        self
    }

    /// The errno, when the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw)
    }

    /// Whether the kernel answered exactly `errno`.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.call, self.target)?;
        match &self.value {
            Some(value) => write!(f, " <- {value:?}"),
            None => Ok(()),
        }
    }
}

/// Bytes or text from outside that do not have the shape they should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct ParseError {
    /// What was being read (`md superblock`, `/proc/mdstat`).
    pub what: &'static str,
    /// Which rule it broke, with the offending value.
    pub why: String,
}

impl ParseError {
    /// `what` broke the rule `why`.
    pub fn new(what: &'static str, why: impl fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}
