//! The embedded store: one file, one process.
//!
//! Guarantees: as [`super`]; a commit is on the drive when it returns. Assumptions: nobody but this process writes the
//! file, and a lock on it keeps others out. Caveats: revisions count from 1 in each file; a watch reaches back only to
//! the opening of the file, and after an I/O error the file has to be opened again.

use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{
    Database, DatabaseError, Durability, ReadOnlyDatabase, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};

use super::codec;
use super::feed::Feed;
use crate::domain::{Key, Record, Revision, Versioned};
use crate::ports::{Change, Listing, PortFuture, Store, StoreError, Watch};

/// Key text to (revision of the last write, stored record).
const RECORDS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("records");
/// One row, [`REVISION`].
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The revision of the last write of any record.
const REVISION: &str = "revision";

/// Pages of the file kept in memory; all records of a node fit many times over.
const CACHE_BYTES: usize = 16 << 20;

/// The embedded store. Clones share the file.
#[derive(Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    database: Database,
    feed: Feed,
    /// Held from before a change is committed until its watches know of it, so that they see the order of commits.
    order: Mutex<()>,
}

impl LocalStore {
    /// Opens the file, making it first where there is none. Its directory has to be there.
    ///
    /// Blocks on I/O; call it before the runtime has work to do, or from `spawn_blocking`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |why: &dyn Display| unavailable(path, "open", why);
        let database = open_database(path)?;
        sync_directory(path).map_err(|error| failed(&error))?;
        let revision = prepare(&database).map_err(|error| failed(&error))?;
        let feed = Feed::new(path.display().to_string(), Revision(revision));
        let path = path.to_owned();
        Ok(Self { inner: Arc::new(Inner { path, database, feed, order: Mutex::new(()) }) })
    }

    /// Runs blocking work away from the runtime's threads. It is carried out even if the future is dropped.
    async fn run<T, F>(&self, call: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|error| Err(unavailable(&self.inner.path, call, &error)))
    }
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => {
            unavailable(path, "open", &"another process has it open; only one daemon may run on a store")
        }
        other => unavailable(path, "open", &other),
    })
}

/// A new file's name is in its directory only once the directory was written.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes the tables where there are none. Returns the current revision.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    let revision = revision(&transaction.open_table(META)?)?;
    transaction.commit()?;
    Ok(revision)
}

fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<u64, redb::StorageError> {
    Ok(meta.get(REVISION)?.map_or(0, |row| row.value()))
}

fn unavailable(path: &Path, call: &'static str, why: &dyn Display) -> StoreError {
    StoreError::Unavailable { store: path.display().to_string(), call, why: why.to_string() }
}

/// All records of the file at `path`, which is not changed; fails while a daemon has it open.
///
/// Blocks on I/O.
pub fn read_only(path: &Path) -> Result<Listing, StoreError> {
    let database = ReadOnlyDatabase::open(path).map_err(|error| unavailable(path, "open", &error))?;
    list(&database).map_err(|error| unavailable(path, "list", &error))
}

fn list(database: &impl ReadableDatabase) -> Result<Listing, redb::Error> {
    let transaction = database.begin_read()?;
    let revision = Revision(revision(&transaction.open_table(META)?)?);
    let mut listing = Listing { revision, ..Listing::default() };
    for row in transaction.open_table(RECORDS)?.iter()? {
        let (key, value) = row?;
        let (revision, bytes) = value.value();
        super::sort_in(&mut listing, key.value(), Revision(revision), bytes);
    }
    Ok(listing)
}

/// What became of a write that the file accepted to look at.
enum Outcome {
    /// Committed.
    Written(Revision),
    /// The record to be removed was not there: nothing to do.
    AlreadySo(Revision),
    /// The record has this revision.
    Conflict(Revision),
}

impl Inner {
    fn failed(&self, call: &'static str, error: impl Into<redb::Error>) -> StoreError {
        unavailable(&self.path, call, &error.into())
    }

    fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>, StoreError> {
        let row = self.row(&codec::key_text(key)).map_err(|error| self.failed("get", error))?;
        row.map(|(revision, bytes)| super::read(key, revision, &bytes)).transpose()
    }

    fn row(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, redb::Error> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        let row = records.get(key)?;
        Ok(row.map(|row| {
            let (revision, bytes) = row.value();
            (Revision(revision), bytes.to_vec())
        }))
    }

    fn list(&self) -> Result<Listing, redb::Error> {
        list(&self.database)
    }

    fn put(&self, key: Key, record: Option<Record>, expected: Revision) -> Result<Revision, StoreError> {
        let bytes = match &record {
            Some(record) => Some(codec::encode(&key, record).map_err(|error| super::refused(&key, &error))?),
            None => None,
        };
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.write(&codec::key_text(&key), bytes.as_deref(), expected);
        match outcome.map_err(|error| self.failed("put", error))? {
            Outcome::Written(revision) => {
                let value = record.map(|value| Versioned { revision, value });
                self.feed.push(Change { key, value, revision }, bytes.map_or(0, |bytes| bytes.len()));
                Ok(revision)
            }
            Outcome::AlreadySo(revision) => Ok(revision),
            Outcome::Conflict(found) => Err(StoreError::Conflict { key, expected, found }),
        }
    }

    fn write(&self, key: &str, bytes: Option<&[u8]>, expected: Revision) -> Result<Outcome, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let outcome = change(&transaction, key, bytes, expected)?;
        match outcome {
            Outcome::Written(_) => transaction.commit()?,
            Outcome::AlreadySo(_) | Outcome::Conflict(_) => transaction.abort()?,
        }
        Ok(outcome)
    }
}

/// Compares and writes within a transaction.
fn change(
    transaction: &WriteTransaction,
    key: &str,
    bytes: Option<&[u8]>,
    expected: Revision,
) -> Result<Outcome, redb::Error> {
    let mut records = transaction.open_table(RECORDS)?;
    let mut meta = transaction.open_table(META)?;
    let found = Revision(records.get(key)?.map_or(0, |row| row.value().0));
    let now = revision(&meta)?;
    if found != expected {
        return Ok(Outcome::Conflict(found));
    }
    if bytes.is_none() && found == Revision(0) {
        return Ok(Outcome::AlreadySo(Revision(now)));
    }
    let next = now.saturating_add(1);
    meta.insert(REVISION, next)?;
    replace(&mut records, key, next, bytes)?;
    Ok(Outcome::Written(Revision(next)))
}

fn replace(
    records: &mut Table<'_, &'static str, (u64, &'static [u8])>,
    key: &str,
    revision: u64,
    bytes: Option<&[u8]>,
) -> Result<(), redb::StorageError> {
    match bytes {
        Some(bytes) => records.insert(key, (revision, bytes)).map(drop),
        None => records.remove(key).map(drop),
    }
}

impl Store for LocalStore {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let key = key.clone();
        Box::pin(self.run("get", move |inner| inner.get(&key)))
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(self.run("list", |inner| inner.list().map_err(|error| inner.failed("list", error))))
    }

    fn watch(&self, from: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move { Ok(Box::new(self.inner.feed.watch(from)?) as Box<dyn Watch>) })
    }

    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        let (key, record) = (key.clone(), record.cloned());
        Box::pin(self.run("put", move |inner| inner.put(key, record, expected)))
    }

    fn name(&self) -> String {
        self.inner.path.display().to_string()
    }
}

#[cfg(test)]
mod tests;
