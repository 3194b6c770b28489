use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::*;
use crate::domain::Kind;
use crate::store::conformance::{self, Subject, key, lease, put};

const ETCD: &str = "/usr/bin/etcd";
const PREFIX: &str = "/test";
/// A server that is up answers within this time, whatever the machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A server of our own on loopback.
struct Server {
    child: Option<Child>,
    directory: tempfile::TempDir,
    client_url: String,
    peer_url: String,
}

fn free_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

impl Server {
    /// A running server and its store; `None`, with the reason printed, where etcd is not installed.
    async fn start() -> Option<(Self, EtcdStore)> {
        if !Path::new(ETCD).exists() {
            println!("skipped: {ETCD} is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self { child: None, directory, client_url: free_url(), peer_url: free_url() };
        server.spawn();
        let store = server.store(PREFIX).await;
        server.wait(&store).await;
        Some((server, store))
    }

    fn spawn(&mut self) {
        let (client, peer) = (&self.client_url, &self.peer_url);
        let mut command = Command::new(ETCD);
        command.arg("--data-dir").arg(self.directory.path());
        command.args(["--listen-client-urls", client, "--advertise-client-urls", client]);
        command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    async fn store(&self, prefix: &str) -> EtcdStore {
        EtcdStore::connect(std::slice::from_ref(&self.client_url), prefix).await.unwrap()
    }

    async fn wait(&self, store: &EtcdStore) {
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = store.list().await {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Subject for EtcdStore {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn plant(&self, key: &str, bytes: &[u8]) -> PortFuture<'_, ()> {
        let (key, bytes) = (format!("{}{key}", self.keys.prefix), bytes.to_vec());
        Box::pin(
            async move { kv(&self.member("test").unwrap().1).put(key, bytes, None).await.map(drop).unwrap() },
        )
    }

    fn forget(&self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let now = self.revision("compact").await.unwrap();
            kv(&self.member("test").unwrap().1).compact(to_etcd(now), None).await.map(drop).unwrap();
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let Some((_server, store)) = Server::start().await else { return };
    conformance::run(&store).await;
}

#[tokio::test]
async fn prefixes_are_kept_apart_and_strangers_are_not_seen() {
    let Some((server, store)) = Server::start().await else { return };
    let other = server.store("/test2").await;
    put(&store, "a", 1, Revision(0)).await;
    put(&other, "a", 2, Revision(0)).await;
    let from = store.list().await.unwrap().revision;
    let mut watch = store.watch(from).await.unwrap();
    put(&other, "b", 3, Revision(0)).await;
    store.plant("/mdfabric/v1", b"x").await;
    store.plant("/mdfabric/v10/lease/a", b"x").await;
    store.plant("/mdfabric/v1/newer-kind/a", b"x").await;
    let mine = put(&store, "c", 4, Revision(0)).await;

    let changes = watch.next().await.unwrap();
    assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [mine]);
    let names =
        |listing: Listing| -> Vec<_> { listing.records.into_iter().map(|(key, _)| key.name).collect() };
    assert_eq!(names(store.list().await.unwrap()), ["a", "c"]);
    assert_eq!(names(other.list().await.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn a_watch_stops_at_a_corrupt_record() {
    let Some((_server, store)) = Server::start().await else { return };
    let from = store.list().await.unwrap().revision;
    let mut watch = store.watch(from).await.unwrap();
    store.plant("/mdfabric/v1/lease/a", &[0xff]).await;
    let error = watch.next().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { key, .. } if key.kind == Kind::Lease), "{error}");
}

#[tokio::test]
async fn a_lost_server_is_noticed_and_found_again() {
    let Some((mut server, store)) = Server::start().await else { return };
    let made = put(&store, "a", 1, Revision(0)).await;
    let mut watch = store.watch(made).await.unwrap();
    server.stop();
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("get: "), "{error}");
    let error = store.put(&key("a"), Some(&lease(2)), made).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");

    server.spawn();
    server.wait(&store).await;
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, made);
    let changed = put(&store, "a", 2, made).await;
    let mut watch = store.watch(made).await.unwrap();
    assert_eq!(watch.next().await.unwrap()[0].revision, changed);
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused() {
    let error = EtcdStore::connect(&["not a uri".to_owned()], "").await.err().unwrap();
    assert!(matches!(error, StoreError::Unavailable { call: "connect", .. }), "{error}");
    let error = EtcdStore::connect(&[], "").await.err().unwrap();
    assert!(error.to_string().contains("no endpoints"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let store = EtcdStore::connect(&[endpoint], "").await.unwrap();
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { call: "get", .. }), "{error}");
}

#[tokio::test]
async fn a_dead_endpoint_is_left_for_a_live_one() {
    let Some((server, _)) = Server::start().await else { return };
    let endpoints = [free_url(), server.client_url.clone(), free_url()];
    let store = EtcdStore::connect(&endpoints, PREFIX).await.unwrap();
    let error = store.put(&key("a"), Some(&lease(1)), Revision(0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { call: "put", .. }), "{error}");
    put(&store, "a", 1, Revision(0)).await;

    let store = EtcdStore::connect(&endpoints, PREFIX).await.unwrap();
    assert!(store.watch(Revision(1)).await.is_ok());
    for number in 0..30 {
        put(&store, &format!("a-{number}"), number, Revision(0)).await;
    }
}

/// Stops the server without closing its connections, as a machine that hangs does.
#[tokio::test]
async fn a_frozen_server_is_given_up() {
    let Some((server, store)) = Server::start().await else { return };
    let mut watch = store.watch(Revision(1)).await.unwrap();
    let process = Pid::from_child(server.child.as_ref().unwrap());
    kill_process(process, Signal::STOP).unwrap();
    // The signal is on its way when `kill` returns: a thread of the server could still answer.
    waitpid(Some(process), WaitOptions::UNTRACED).unwrap();
    let error = store.get(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
    let patience = KEEPALIVE_INTERVAL + KEEPALIVE_TIMEOUT + REQUEST_TIMEOUT;
    let error = tokio::time::timeout(patience, watch.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { call: "watch", .. }), "{error}");
}
