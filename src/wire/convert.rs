//! Between the domain's types and `mdfabric.proto`. Writing cannot fail; reading says which field of which message is
//! missing, unknown or invalid. Fields a newer version added are skipped and lost when the record is written again.

mod attachment;
mod drive;
mod node;
mod record;
mod replica;
mod scrub;
#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
mod volume;
mod world;

use std::fmt;
use std::str::FromStr;

pub use record::STORED_FORMAT;
pub use world::take_in;

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}.{field} {problem}")]
pub struct FieldError {
    /// The message, as `mdfabric.proto` calls it.
    pub message: &'static str,
    /// Its field.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has to be there and is not.
    #[error("is missing")]
    Missing,
    /// An enum value or format number that only a newer version can know.
    #[error("has the unknown value {value}: it was written by a newer version")]
    Unknown {
        /// The number on the wire.
        value: i64,
    },
    /// It breaks the rules of its type.
    #[error("is invalid: {why}")]
    Invalid {
        /// What the rule says.
        why: String,
    },
}

/// An enum of the domain that has a twin in `mdfabric.proto`.
pub trait Twin: Sized {
    /// The twin.
    type Wire: TryFrom<i32>;

    /// The domain's value; `None` for "not set".
    fn from_wire(wire: Self::Wire) -> Option<Self>;
}

/// Reads an enum of a request: `None` where the caller left it unset and the default is meant.
pub fn choice<T: Twin>(
    message: &'static str,
    field: &'static str,
    value: i32,
) -> Result<Option<T>, FieldError> {
    Message(message).choice(field, value)
}

/// The message being read: gives its errors their names.
#[derive(Clone, Copy)]
struct Message(&'static str);

impl Message {
    fn error(self, field: &'static str, problem: Problem) -> FieldError {
        FieldError { message: self.0, field, problem }
    }

    fn invalid(self, field: &'static str, why: impl fmt::Display) -> FieldError {
        self.error(field, Problem::Invalid { why: why.to_string() })
    }

    fn required<T>(self, field: &'static str, value: Option<T>) -> Result<T, FieldError> {
        value.ok_or_else(|| self.error(field, Problem::Missing))
    }

    fn text<T: FromStr<Err: fmt::Display>>(self, field: &'static str, text: &str) -> Result<T, FieldError> {
        self.required(field, (!text.is_empty()).then_some(text))?
            .parse()
            .map_err(|error| self.invalid(field, error))
    }

    fn optional_text<T: FromStr<Err: fmt::Display>>(
        self,
        field: &'static str,
        text: Option<&String>,
    ) -> Result<Option<T>, FieldError> {
        text.map(|text| self.text(field, text)).transpose()
    }

    fn texts<T, C>(self, field: &'static str, texts: &[String]) -> Result<C, FieldError>
    where
        T: FromStr<Err: fmt::Display>,
        C: FromIterator<T>,
    {
        texts.iter().map(|text| self.text(field, text)).collect()
    }

    fn number<T: TryFrom<u32, Error: fmt::Display>>(
        self,
        field: &'static str,
        number: u32,
    ) -> Result<T, FieldError> {
        number.try_into().map_err(|error| self.invalid(field, format!("{number}: {error}")))
    }

    fn choice<T: Twin>(self, field: &'static str, value: i32) -> Result<Option<T>, FieldError> {
        let unknown = |_| self.error(field, Problem::Unknown { value: value.into() });
        T::Wire::try_from(value).map(T::from_wire).map_err(unknown)
    }

    fn chosen<T: Twin>(self, field: &'static str, value: i32) -> Result<T, FieldError> {
        self.required(field, self.choice(field, value)?)
    }
}

/// Reads a list of messages.
fn all<W, T: TryFrom<W, Error = FieldError>>(wire: Vec<W>) -> Result<Vec<T>, FieldError> {
    wire.into_iter().map(T::try_from).collect()
}

/// Reads a message that may be absent.
fn maybe<W, T: TryFrom<W, Error = FieldError>>(wire: Option<W>) -> Result<Option<T>, FieldError> {
    wire.map(T::try_from).transpose()
}

/// Writes a list of messages.
fn each<T, W: From<T>>(values: Vec<T>) -> Vec<W> {
    values.into_iter().map(W::from).collect()
}

/// Writes a list of names or ids.
fn words<T: ToString>(values: impl IntoIterator<Item = T>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

/// Two enums with the same words; a word missing on either side does not compile.
macro_rules! twins {
    ($($type:ident { $($word:ident),+ $(,)? })+) => {$(
        impl From<$crate::domain::$type> for $crate::wire::proto::$type {
            fn from(value: $crate::domain::$type) -> Self {
                match value {
                    $($crate::domain::$type::$word => Self::$word,)+
                }
            }
        }

        impl $crate::wire::convert::Twin for $crate::domain::$type {
            type Wire = $crate::wire::proto::$type;

            fn from_wire(wire: Self::Wire) -> Option<Self> {
                match wire {
                    Self::Wire::Unspecified => None,
                    $(Self::Wire::$word => Some(Self::$word),)+
                }
            }
        }
    )+};
}
use twins;
