//! Records in etcd (3.4 or later), for clusters without Kubernetes.
//!
//! Guarantees: as [`super`]; a record's revision is its key's `mod_revision`, reads are linearizable. Assumptions: the
//! keys below the prefix are ours alone. Caveats: how far a watch reaches back is etcd's compaction to decide; a
//! write that got no answer may have been made. A read takes up to its deadline at every member. Deliberately absent: TLS and users.

mod watch;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, GetResponse, KeyValue, KvClient,
    ResponseHeader, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use tonic::Code;

use super::codec;
use crate::domain::{Key, Record, Revision, Versioned};
use crate::ports::{Listing, PortFuture, Store, StoreError, Watch};

/// A connection is made within this time or given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One request is answered within this time, or the store counts as unreachable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection with a watch on it is probed this often; etcd refuses clients that do so below every 5 s.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A probe is answered within this time, or the connection is given up.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Records per answer to a listing.
const PAGE_RECORDS: u32 = 64;
/// The largest answer that is taken, in bytes: a page of the largest records and their keys.
const MAX_ANSWER_BYTES: usize = PAGE_RECORDS as usize * (codec::MAX_RECORD_BYTES + (64 << 10));

/// Records in etcd. Clones share the connections.
#[derive(Clone)]
pub struct EtcdStore {
    members: Arc<Members>,
    keys: Keys,
    name: String,
}

/// The cluster's members, one client each. Requests go to one member until it fails: a client that spreads its
/// requests over all of them fails every so many for as long as one is down.
struct Members {
    clients: Vec<Client>,
    current: AtomicUsize,
}

impl Members {
    /// The member in use and its number.
    fn current(&self) -> Option<(usize, Client)> {
        let number = self.current.load(Ordering::Relaxed);
        self.clients.get(number).map(|client| (number, client.clone()))
    }

    /// Member `failed` does not serve: from now on the next one is used, unless another request found that out before.
    fn leave(&self, failed: usize) {
        let next = (failed + 1) % self.clients.len().max(1);
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Where our keys are.
#[derive(Clone)]
struct Keys {
    prefix: String,
}

impl Keys {
    fn text(&self, key: &Key) -> String {
        format!("{}{}", self.prefix, codec::key_text(key))
    }

    /// A key as [`codec::parse_key`] wants it. One that is not below the prefix or not text is a stranger to it.
    fn strip<'a>(&self, key: &'a [u8]) -> &'a str {
        std::str::from_utf8(key).ok().and_then(|text| text.strip_prefix(&self.prefix)).unwrap_or_default()
    }

    fn first(&self) -> Vec<u8> {
        format!("{}{}", self.prefix, codec::KEY_PREFIX).into_bytes()
    }

    /// The first key after all of ours: ours begin alike and with a '/' at the end of that, and '0' is what follows '/'.
    fn end(&self) -> Vec<u8> {
        format!("{}{}0", self.prefix, codec::KEY_PREFIX.trim_end_matches('/')).into_bytes()
    }
}

impl EtcdStore {
    /// Uses the etcd cluster that has `endpoints` (`http://host:2379`). All keys begin with `prefix` (may be empty), so
    /// that several mdfabric clusters can share it. Fails only where there is no endpoint or one is not a URI:
    /// connections are made, and made again, as they are needed. Has to be called within the runtime.
    pub async fn connect(endpoints: &[String], prefix: &str) -> Result<Self, StoreError> {
        let name = format!("etcd {}{prefix}", endpoints.join(","));
        let mut clients = Vec::new();
        for endpoint in endpoints {
            clients.push(within(&name, "connect", Client::connect([endpoint], Some(options()))).await?);
        }
        let members = Arc::new(Members { clients, current: AtomicUsize::new(0) });
        let store = Self { members, keys: Keys { prefix: prefix.to_owned() }, name };
        store.member("connect").map(|_| store.clone())
    }

    fn member(&self, call: &'static str) -> Result<(usize, Client), StoreError> {
        self.members.current().ok_or_else(|| self.said(call, "no endpoints are configured"))
    }

    /// Asks the member in use. If that fails the next request goes to another one.
    async fn ask<T, F>(&self, call: &'static str, request: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (number, client) = self.member(call)?;
        let answer = within(&self.name, call, request(client)).await;
        if let Err(StoreError::Unavailable { .. }) = answer {
            self.members.leave(number);
        }
        answer
    }

    /// Asks one member after another until one answers. For requests that change nothing: a write that failed may have
    /// been made, and made again it would lose against itself.
    async fn ask_each<T, F>(&self, call: &'static str, request: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut answer = self.ask(call, &request).await;
        for _ in 1..self.members.clients.len() {
            if !matches!(answer, Err(StoreError::Unavailable { .. })) {
                break;
            }
            answer = self.ask(call, &request).await;
        }
        answer
    }

    async fn range(
        &self,
        call: &'static str,
        key: impl Into<Vec<u8>>,
        options: GetOptions,
    ) -> Result<GetResponse, StoreError> {
        let key = key.into();
        let request = |client| {
            let (mut kv, key, options) = (kv(&client), key.clone(), options.clone());
            async move { kv.get(key, Some(options)).await }
        };
        self.ask_each(call, request).await
    }

    fn said(&self, call: &'static str, why: impl Into<String>) -> StoreError {
        StoreError::Unavailable { store: self.name.clone(), call, why: why.into() }
    }

    fn header(&self, call: &'static str, header: Option<&ResponseHeader>) -> Result<Revision, StoreError> {
        header
            .map(|header| from_etcd(header.revision()))
            .ok_or_else(|| self.said(call, "the answer has no header"))
    }

    async fn get_record(&self, key: &Key) -> Result<Option<Versioned<Record>>, StoreError> {
        let answer = self.range("get", self.keys.text(key), GetOptions::new()).await?;
        answer
            .kvs()
            .first()
            .map(|row| super::read(key, from_etcd(row.mod_revision()), row.value()))
            .transpose()
    }

    /// The store's revision now, or later: a linearizable read.
    async fn revision(&self, call: &'static str) -> Result<Revision, StoreError> {
        let answer = self.range(call, self.keys.first(), GetOptions::new().with_count_only()).await?;
        self.header(call, answer.header())
    }

    async fn list_records(&self) -> Result<Listing, StoreError> {
        let mut answer = self.page(self.keys.first(), 0).await?;
        let revision = self.header("list", answer.header())?;
        let mut listing = Listing { revision, ..Listing::default() };
        loop {
            for row in answer.kvs() {
                let revision = from_etcd(row.mod_revision());
                super::sort_in(&mut listing, self.keys.strip(row.key()), revision, row.value());
            }
            let Some(last) = answer.kvs().last().filter(|_| answer.more()) else { return Ok(listing) };
            answer = self.page(key_after(last), to_etcd(revision)).await?;
        }
    }

    /// The records from `first` on, as they were at `revision` (0: now).
    async fn page(&self, first: Vec<u8>, revision: i64) -> Result<GetResponse, StoreError> {
        let options = GetOptions::new()
            .with_range(self.keys.end())
            .with_limit(PAGE_RECORDS.into())
            .with_revision(revision);
        self.range("list", first, options).await
    }

    async fn put_record(
        &self,
        key: Key,
        record: Option<Record>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let text = self.keys.text(&key);
        let write = match record {
            Some(record) => {
                let bytes = codec::encode(&key, &record).map_err(|error| super::refused(&key, &error))?;
                TxnOp::put(text.as_str(), bytes, None)
            }
            None => TxnOp::delete(text.as_str(), None),
        };
        let unchanged = Compare::mod_revision(text.as_str(), CompareOp::Equal, to_etcd(expected));
        let transaction =
            Txn::new().when([unchanged]).and_then([write]).or_else([TxnOp::get(text.as_str(), None)]);
        let request = |client| {
            let (mut kv, transaction) = (kv(&client), transaction.clone());
            async move { kv.txn(transaction).await }
        };
        let answer = self.ask("put", request).await?;
        if answer.succeeded() {
            return self.header("put", answer.header());
        }
        Err(StoreError::Conflict { key, expected, found: found(&answer) })
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_keep_alive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
        .with_require_leader(true)
}

fn kv(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// The revision a record had when a comparison failed.
fn found(answer: &TxnResponse) -> Revision {
    match answer.op_responses().first() {
        Some(TxnOpResponse::Get(get)) => {
            get.kvs().first().map_or(Revision(0), |row| from_etcd(row.mod_revision()))
        }
        _ => Revision(0),
    }
}

fn key_after(row: &KeyValue) -> Vec<u8> {
    let mut key = row.key().to_vec();
    key.push(0);
    key
}

/// etcd counts revisions upwards from 1 in an `int64`.
fn from_etcd(revision: i64) -> Revision {
    Revision(revision.try_into().unwrap_or(0))
}

/// A revision beyond what etcd can count to is one no key has.
fn to_etcd(revision: Revision) -> i64 {
    revision.0.try_into().unwrap_or(i64::MAX)
}

/// Makes one request with its deadline.
async fn within<T>(
    store: &str,
    call: &'static str,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failure(store, call, &error)),
        Err(_) => Err(silence(store, call)),
    }
}

fn silence(store: &str, call: &'static str) -> StoreError {
    let why = format!("no answer within {} s", REQUEST_TIMEOUT.as_secs());
    StoreError::Unavailable { store: store.to_owned(), call, why }
}

fn failure(store: &str, call: &'static str, error: &Error) -> StoreError {
    let why = match error {
        // rpctypes.ErrGRPCCompacted
        Error::GRpcStatus(status) if status.code() == Code::OutOfRange => return StoreError::Lagged,
        Error::GRpcStatus(status) => format!("{}: {}", status.code(), status.message()),
        other => other.to_string(),
    };
    StoreError::Unavailable { store: store.to_owned(), call, why }
}

impl Store for EtcdStore {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let key = key.clone();
        Box::pin(async move { self.get_record(&key).await })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(self.list_records())
    }

    fn watch(&self, from: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move { Ok(Box::new(watch::start(self, from).await?) as Box<dyn Watch>) })
    }

    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.put_record(key.clone(), record.cloned(), expected))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests;
