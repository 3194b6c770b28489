//! Why something waits, is refused or is stuck: one value for the condition, the event, the metric label and `explain`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a reason matters to the person who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// Goes on by itself.
    Waiting,
    /// Works, but with less safety than asked for.
    Warning,
    /// Needs a person.
    Blocked,
}

/// Why something is not done, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// One CamelCase word: the condition's reason, the event's reason, the metric's label.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// What is waited for, refused or stuck, with the object's name.
    pub message: String,
    /// What the reader can do; empty where nothing needs to be done.
    pub next_step: String,
}

impl Reason {
    /// Goes on by itself.
    pub fn waiting(code: &str, message: impl fmt::Display) -> Self {
        Self::new(Severity::Waiting, code, message, "")
    }

    /// Works with less safety than asked for.
    pub fn warning(code: &str, message: impl fmt::Display, next_step: impl fmt::Display) -> Self {
        Self::new(Severity::Warning, code, message, next_step)
    }

    /// Needs a person.
    pub fn blocked(code: &str, message: impl fmt::Display, next_step: impl fmt::Display) -> Self {
        Self::new(Severity::Blocked, code, message, next_step)
    }

    fn new(severity: Severity, code: &str, message: impl fmt::Display, next_step: impl fmt::Display) -> Self {
        Self {
            code: code.to_owned(),
            severity,
            message: message.to_string(),
            next_step: next_step.to_string(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if self.next_step.is_empty() { Ok(()) } else { write!(f, " ({})", self.next_step) }
    }
}
