//! Where records live: one form ([`codec`]), several places behind [`crate::ports::Store`].
//!
//! Guarantees of every place: a write that returned is durable; of several writers that expect the same revision one
//! wins; a watch misses nothing or says so. Caveats: a write that ended with [`StoreError::Unavailable`] may have been
//! made, so the record has to be read again before the next decision; a watch that ended with any error is over, and
//! everything has to be listed again. Deliberately absent: retries and caches, which are the driver's.

pub mod codec;
#[cfg(test)]
mod conformance;
pub mod etcd;
mod feed;
pub mod kube;
pub mod local;
pub(crate) mod pause;

pub use etcd::EtcdStore;
pub use kube::KubeStore;
pub use local::LocalStore;

use crate::domain::{Key, Record, Revision, Versioned};
use crate::ports::{Listing, StoreError};

/// Why a record whose key is misspelled is not read.
const BAD_NAME: &str = "its name is not spelled as this version spells names";

/// Puts one stored record into the listing: among the records, among those that cannot be read, or, if its key is not
/// one this version knows, nowhere.
fn sort_in(listing: &mut Listing, key_text: &str, revision: Revision, bytes: &[u8]) {
    let key = match codec::parse_key(key_text) {
        Ok(key) => key,
        Err(codec::KeyError::Stranger { .. }) => return,
        Err(codec::KeyError::BadName { kind, ref name }) => {
            listing.corrupt.push((Key::new(kind, name), BAD_NAME.to_owned()));
            return;
        }
    };
    match codec::decode(&key, bytes) {
        Ok(value) => listing.records.push((key, Versioned { revision, value })),
        Err(error) => listing.corrupt.push((key, error.to_string())),
    }
}

/// Reads one stored record that was asked for by its key.
fn read(key: &Key, revision: Revision, bytes: &[u8]) -> Result<Versioned<Record>, StoreError> {
    codec::decode(key, bytes)
        .map(|value| Versioned { revision, value })
        .map_err(|error| StoreError::Corrupt { key: key.clone(), why: error.to_string() })
}

/// A record that may not be written under its key. Nothing was changed.
fn refused(key: &Key, error: &codec::CodecError) -> StoreError {
    StoreError::Corrupt { key: key.clone(), why: error.to_string() }
}
