//! The store all nodes share: every write has a revision, every node hears of it a little later.

use crate::domain::{Key, Record, Revision, Versioned, World};

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) at: u64,
    pub(super) key: Key,
    pub(super) value: Option<Versioned<Record>>,
    pub(super) revision: Revision,
}

/// Somebody else wrote the record first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict;

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) world: World,
    pub(super) log: Vec<Change>,
    revision: u64,
}

impl Store {
    /// Compare-and-swap by revision. Gives the new one.
    pub(super) fn put(
        &mut self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
        now: u64,
    ) -> Result<Revision, Conflict> {
        if self.world.revision(key) != expected {
            return Err(Conflict);
        }
        self.revision += 1;
        let revision = Revision(self.revision);
        let value = record.map(|record| Versioned { revision, value: record.clone() });
        self.world.set(key.clone(), value.clone());
        self.log.push(Change { at: now, key: key.clone(), value, revision });
        Ok(revision)
    }
}
