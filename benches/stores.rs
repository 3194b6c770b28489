//! What the stores cost: a write by compare-and-swap, alone and until a watch shows it; a record read; a listing of all.
//! A write is durable when it returns, so this measures the drive below the temporary directory as much as the store.
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on shall stop")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;
use mdfabric::domain::{Key, Kind, Lease, Record, Revision};
use mdfabric::ports::Store;
use mdfabric::store::{EtcdStore, LocalStore};
use tokio::runtime::Runtime;

const ETCD: &str = "/usr/bin/etcd";
/// How long etcd may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// As many records as 20 volumes with two copies have, with drives and nodes.
const RECORDS: u64 = 140;

/// A server of our own on loopback, ended with the value.
struct Etcd {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (client, peer) = (free_url(), free_url());
        let child = Command::new(ETCD)
            .arg("--data-dir")
            .arg(directory.path())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        Self { child, url: client, _directory: directory }
    }

    async fn store(&self) -> EtcdStore {
        let endpoints = std::slice::from_ref(&self.url);
        let store = EtcdStore::connect(endpoints, "/bench").await.expect("an endpoint");
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = store.list().await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        store
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

fn record(renewals: u64) -> Record {
    let holder = "node-1".parse().expect("a node's name");
    Record::Lease(Lease { holder, renewals, term_millis: 15_000 })
}

fn key(number: u64) -> Key {
    Key::new(Kind::Lease, format!("lease-{number}"))
}

fn bench(criterion: &mut Criterion, name: &str, runtime: &Runtime, store: &dyn Store) {
    for number in 0..RECORDS {
        let put = store.put(&key(number), Some(&record(0)), Revision(0));
        runtime.block_on(put).expect("a record is written");
    }
    let (key, mut revision, mut renewals) = (key(RECORDS), Revision(0), 0);
    criterion.bench_function(&format!("store/{name}/put"), |bencher| {
        bencher.iter(|| {
            renewals += 1;
            let put = store.put(&key, Some(&record(renewals)), revision);
            revision = runtime.block_on(put).expect("a record is written");
        });
    });
    criterion.bench_function(&format!("store/{name}/get"), |bencher| {
        bencher.iter(|| runtime.block_on(store.get(&key)).expect("a record is read"));
    });
    let mut changes = runtime.block_on(store.watch(revision)).expect("a watch");
    criterion.bench_function(&format!("store/{name}/put_until_watched"), |bencher| {
        bencher.iter(|| {
            renewals += 1;
            let put = store.put(&key, Some(&record(renewals)), revision);
            revision = runtime.block_on(put).expect("a record is written");
            let batch = runtime.block_on(changes.next()).expect("the change is seen");
            assert!(batch.iter().any(|change| change.revision == revision), "another change: {batch:?}");
        });
    });
    criterion.bench_function(&format!("store/{name}/list_{RECORDS}"), |bencher| {
        bencher.iter(|| runtime.block_on(store.list()).expect("records are listed"));
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let local = LocalStore::open(&directory.path().join("store.redb")).expect("a store");
    bench(&mut criterion, "local", &runtime, &local);
    if Path::new(ETCD).exists() {
        let server = Etcd::start();
        let store = runtime.block_on(server.store());
        bench(&mut criterion, "etcd", &runtime, &store);
    } else {
        eprintln!("store/etcd is left out: {ETCD} is not installed");
    }
    criterion.final_summary();
}
