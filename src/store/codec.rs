//! The form of a record: its key as text, itself as a `StoredRecord` of `mdfabric.proto`.

use std::fmt::Write;

use prost::Message;

use crate::domain::{Key, Kind, Record};
use crate::wire::convert::FieldError;
use crate::wire::proto::StoredRecord;

/// What every key begins with. `v1` is the layout of the keys; the format of a record stands in the record.
pub const KEY_PREFIX: &str = "/mdfabric/v1/";

/// The largest record in bytes: fits into one etcd request (1.5 MiB by default) with room for the key.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

const KINDS: [Kind; 9] = [
    Kind::VolumeSpec,
    Kind::VolumeStatus,
    Kind::ReplicaSpec,
    Kind::ReplicaStatus,
    Kind::DriveSpec,
    Kind::DriveStatus,
    Kind::NodeSpec,
    Kind::NodeStatus,
    Kind::Lease,
];

/// A key that names no record of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not below [`KEY_PREFIX`], or of a kind a newer version brought: none of our business.
    #[error("{text:?} is not the key of a record")]
    Stranger {
        /// The key.
        text: String,
    },
    /// A record of ours whose name nobody could have written that way.
    #[error("{name:?} is not how a {kind:?} is named in a key")]
    BadName {
        /// Its kind.
        kind: Kind,
        /// The rest of the key.
        name: String,
    },
}

/// A record that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are no `StoredRecord`.
    #[error("the {length} bytes are not a record: {why}")]
    Garbled {
        /// How many there are.
        length: usize,
        /// What the decoder says.
        why: String,
    },
    /// A field is missing, unknown or invalid.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The key is that of another kind of record.
    #[error("the record is a {found:?}, the key that of a {expected:?}")]
    OtherKind {
        /// What the key says.
        expected: Kind,
        /// What the record is.
        found: Kind,
    },
    /// More than [`MAX_RECORD_BYTES`].
    #[error("the record has {length} bytes, more than the {MAX_RECORD_BYTES} allowed")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
}

/// The word for a kind in a key.
#[must_use]
pub const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::VolumeSpec => "volume-spec",
        Kind::VolumeStatus => "volume-status",
        Kind::ReplicaSpec => "replica-spec",
        Kind::ReplicaStatus => "replica-status",
        Kind::DriveSpec => "drive-spec",
        Kind::DriveStatus => "drive-status",
        Kind::NodeSpec => "node-spec",
        Kind::NodeStatus => "node-status",
        Kind::Lease => "lease",
    }
}

/// `/mdfabric/v1/<kind>/<name>`. Bytes of the name that are not printable ASCII, and `/` and `%`, become `%xx`.
#[must_use]
pub fn key_text(key: &Key) -> String {
    let mut text = format!("{KEY_PREFIX}{}/", kind_word(key.kind));
    for byte in key.name.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

/// The key a text stands for; the inverse of [`key_text`], and nothing else is accepted.
pub fn parse_key(text: &str) -> Result<Key, KeyError> {
    let (kind, escaped) = split(text).ok_or_else(|| KeyError::Stranger { text: text.to_owned() })?;
    unescape(escaped)
        .map(|name| Key { kind, name })
        .filter(|key| key_text(key) == text)
        .ok_or_else(|| KeyError::BadName { kind, name: escaped.to_owned() })
}

fn split(text: &str) -> Option<(Kind, &str)> {
    let (word, name) = text.strip_prefix(KEY_PREFIX)?.split_once('/')?;
    let kind = KINDS.into_iter().find(|kind| kind_word(*kind) == word)?;
    Some((kind, name))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'/' && byte != b'%'
}

fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The bytes of a record that is to be stored under `key`.
pub fn encode(key: &Key, record: &Record) -> Result<Vec<u8>, CodecError> {
    check_kind(key, record)?;
    let stored = StoredRecord::from(record.clone());
    match stored.encoded_len() {
        length if length > MAX_RECORD_BYTES => Err(CodecError::TooLarge { length }),
        _ => Ok(stored.encode_to_vec()),
    }
}

/// The record that was stored under `key`.
pub fn decode(key: &Key, bytes: &[u8]) -> Result<Record, CodecError> {
    let garbled =
        |error: prost::DecodeError| CodecError::Garbled { length: bytes.len(), why: error.to_string() };
    let record = Record::try_from(StoredRecord::decode(bytes).map_err(garbled)?)?;
    check_kind(key, &record)?;
    Ok(record)
}

fn check_kind(key: &Key, record: &Record) -> Result<(), CodecError> {
    let (expected, found) = (key.kind, record.kind());
    if expected == found { Ok(()) } else { Err(CodecError::OtherKind { expected, found }) }
}

#[cfg(test)]
mod tests;
