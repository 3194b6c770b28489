//! All records together, as `Snapshot` and `Watch` send them.

use super::{FieldError, Message};
use crate::domain::{Key, Record, Revision, Versioned, World};
use crate::ports::{Change, Listing};
use crate::wire::proto;

impl From<Change> for proto::Entry {
    fn from(value: Change) -> Self {
        let Change { key, value, revision } = value;
        Self {
            key: Some(key.into()),
            revision: revision.0,
            record: value.map(|versioned| versioned.value.into()),
        }
    }
}

impl TryFrom<proto::Entry> for Change {
    type Error = FieldError;

    fn try_from(wire: proto::Entry) -> Result<Self, FieldError> {
        let revision = Revision(wire.revision);
        let key = Message("Entry").required("key", wire.key)?.try_into()?;
        let record: Option<Record> = super::maybe(wire.record)?;
        Ok(Self { key, value: record.map(|value| Versioned { revision, value }), revision })
    }
}

impl From<(Key, Revision)> for proto::Written {
    fn from((key, revision): (Key, Revision)) -> Self {
        Self { key: Some(key.into()), revision: revision.0 }
    }
}

impl TryFrom<proto::Written> for (Key, Revision) {
    type Error = FieldError;

    fn try_from(wire: proto::Written) -> Result<Self, FieldError> {
        let key = Message("Written").required("key", wire.key)?.try_into()?;
        Ok((key, Revision(wire.revision)))
    }
}

impl From<Listing> for proto::World {
    fn from(value: Listing) -> Self {
        let entry = |(key, versioned): (Key, Versioned<Record>)| {
            let revision = versioned.revision;
            proto::Entry::from(Change { key, value: Some(versioned), revision })
        };
        let unreadable = |(key, why): (Key, String)| proto::Unreadable { key: Some(key.into()), why };
        Self {
            revision: value.revision.0,
            complete: true,
            entries: value.records.into_iter().map(entry).collect(),
            unreadable: value.corrupt.into_iter().map(unreadable).collect(),
        }
    }
}

/// Brings `world` to what a message of `Snapshot` or `Watch` says: replaces it if the message is complete, else takes
/// in the changes. On an error `world` is as it was.
pub fn take_in(world: &mut World, update: proto::World) -> Result<(), FieldError> {
    let changes: Vec<Change> = super::all(update.entries)?;
    if update.complete {
        *world = World::default();
    }
    for change in changes {
        world.set(change.key, change.value);
    }
    Ok(())
}
