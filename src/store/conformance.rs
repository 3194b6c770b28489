//! What every store has to do, as one suite. Each check names its records after itself, so that all can share a store.

mod kinds;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::codec;
use crate::domain::{Key, Kind, Lease, NodeSpec, NodeStatus, Record, Revision, Versioned};
use crate::ports::{Change, Listing, PortFuture, Store, StoreError, Watch};

/// A store under test, with what the port does not offer.
pub(super) trait Subject: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Puts bytes under a key's text, past the store's own checks.
    fn plant(&self, key: &str, bytes: &[u8]) -> PortFuture<'_, ()>;

    /// Makes the store forget how it came to be what it is.
    fn forget(&self) -> PortFuture<'_, ()>;
}

/// Nothing here takes longer, whatever the machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// Runs every check. A failing one is named in the output.
pub(super) async fn run(subject: &dyn Subject) {
    let store = subject.store();
    let store = store.as_ref();
    check("creates only where nothing is", creates_only_where_nothing_is(store)).await;
    check("a stale writer is told what is there", stale_writer_is_told(store)).await;
    check("deletes and makes again", deletes_and_makes_again(store)).await;
    check("deleting nothing is already so", deleting_nothing_is_already_so(store)).await;
    check("a listing is whole", listing_is_whole(store)).await;
    check("a listing is one moment", listing_is_one_moment(subject)).await;
    check("a refused record changes nothing", refused_record_changes_nothing(store)).await;
    check("names of all sorts are kept apart", names_are_kept_apart(store)).await;
    check("the largest records are kept", large_records(store)).await;
    check("every kind is kept", kinds::every_kind_is_kept(store)).await;
    check("every kind is shown", kinds::every_kind_is_shown(store)).await;
    check("a watch sees every change in order", watch_sees_every_change(store)).await;
    check("a watch resumes where another ended", watch_resumes(store)).await;
    check("a dropped wait loses nothing", dropped_wait_loses_nothing(store)).await;
    check("a watch waits", watch_waits(subject)).await;
    check("a counter loses no increment", counter_loses_nothing(subject)).await;
    check("a listing and its watch make a whole", listing_and_watch_make_a_whole(subject)).await;
    check("a watch cannot begin in the future", watch_from_the_future(store)).await;
    check("a watch from forgotten times is told", watch_from_forgotten_times(subject)).await;
    check("a corrupt record hides nothing", corrupt_record_hides_nothing(subject)).await;
}

async fn check(name: &str, check: impl Future<Output = ()>) {
    println!("{name}");
    tokio::time::timeout(DEADLINE, check).await.unwrap_or_else(|_| panic!("{name}: not done in time"));
}

pub(super) fn lease(renewals: u64) -> Record {
    Record::Lease(Lease { holder: "n1".parse().unwrap(), renewals, term_millis: 10 })
}

pub(super) fn key(name: &str) -> Key {
    Key::new(Kind::Lease, name)
}

pub(super) async fn put(store: &dyn Store, name: &str, renewals: u64, expected: Revision) -> Revision {
    store.put(&key(name), Some(&lease(renewals)), expected).await.unwrap()
}

async fn get(store: &dyn Store, name: &str) -> Option<Versioned<Record>> {
    store.get(&key(name)).await.unwrap()
}

fn conflict(result: Result<Revision, StoreError>) -> Revision {
    match result {
        Err(StoreError::Conflict { found, .. }) => found,
        other => panic!("expected a conflict, not {other:?}"),
    }
}

/// The changes to records whose name begins with `prefix`, until there are `count`.
async fn watch_for(watch: &mut dyn Watch, prefix: &str, count: usize) -> Vec<Change> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let batch = watch.next().await.unwrap();
        assert!(!batch.is_empty());
        seen.extend(batch.into_iter().filter(|change| change.key.name.starts_with(prefix)));
    }
    seen
}

async fn creates_only_where_nothing_is(store: &dyn Store) {
    assert_eq!(get(store, "create").await, None);
    let revision = put(store, "create", 1, Revision(0)).await;
    assert!(revision > Revision(0));
    assert_eq!(get(store, "create").await, Some(Versioned { revision, value: lease(1) }));
    let again = store.put(&key("create"), Some(&lease(2)), Revision(0)).await;
    assert_eq!(conflict(again), revision);
    assert_eq!(get(store, "create").await.unwrap().value, lease(1));
}

async fn stale_writer_is_told(store: &dyn Store) {
    let first = put(store, "stale", 1, Revision(0)).await;
    let second = put(store, "stale", 2, first).await;
    assert!(second > first);
    for expected in [first, Revision(second.0 + 1), Revision(u64::MAX), Revision(0)] {
        let late = store.put(&key("stale"), Some(&lease(3)), expected).await;
        assert_eq!(conflict(late), second);
        assert_eq!(conflict(store.put(&key("stale"), None, expected).await), second);
    }
    assert_eq!(conflict(store.put(&key("stale-none"), None, first).await), Revision(0));
    assert_eq!(get(store, "stale").await.unwrap(), Versioned { revision: second, value: lease(2) });
}

async fn deletes_and_makes_again(store: &dyn Store) {
    let made = put(store, "again", 1, Revision(0)).await;
    let deleted = store.put(&key("again"), None, made).await.unwrap();
    assert!(deleted > made);
    assert_eq!(get(store, "again").await, None);
    assert_eq!(conflict(store.put(&key("again"), Some(&lease(2)), made).await), Revision(0));
    let remade = put(store, "again", 3, Revision(0)).await;
    assert!(remade > deleted);
    assert_eq!(get(store, "again").await.unwrap().revision, remade);
}

async fn deleting_nothing_is_already_so(store: &dyn Store) {
    let before = store.list().await.unwrap().revision;
    assert_eq!(store.put(&key("nothing"), None, Revision(0)).await.unwrap(), before);
}

/// More than a page of any store.
const LISTED: usize = 150;

/// Each name begins with the one before, and nothing but more of the lowest letter follows: whoever goes on a bit too
/// far after a page misses some.
fn listed_name(number: usize) -> String {
    format!("list-{}", "!".repeat(number))
}

async fn listing_is_whole(store: &dyn Store) {
    let mut expected = BTreeMap::new();
    for number in 0..LISTED {
        let name = listed_name(number);
        let revision = put(store, &name, 0, Revision(0)).await;
        expected.insert(key(&name), Versioned { revision, value: lease(0) });
    }
    let gone = expected.remove(&key(&listed_name(77))).unwrap();
    let last = store.put(&key(&listed_name(77)), None, gone.revision).await.unwrap();

    let listing = store.list().await.unwrap();
    assert_eq!(listing.revision, last);
    assert!(listing.corrupt.is_empty());
    let mine = listing.records.into_iter().filter(|(key, _)| key.name.starts_with("list-"));
    assert_eq!(mine.collect::<BTreeMap<_, _>>(), expected);
}

/// Raises the first and then the last of the listed records, so that at no moment the last is ahead of the first.
async fn raise_both_ends(store: Arc<dyn Store>) {
    let ends = [listed_name(0), listed_name(LISTED - 1)];
    for _ in 0..100 {
        for end in &ends {
            increment(store.as_ref(), end).await;
        }
    }
}

async fn listing_is_one_moment(subject: &dyn Subject) {
    let writer = tokio::spawn(raise_both_ends(subject.store()));
    while !writer.is_finished() {
        let listing = subject.store().list().await.unwrap();
        let renewals = |number| {
            let found = listing.records.iter().find(|(listed, _)| *listed == key(&listed_name(number)));
            match found.map(|(_, versioned)| &versioned.value) {
                Some(Record::Lease(lease)) => lease.renewals,
                other => panic!("{other:?}"),
            }
        };
        let (first, last) = (renewals(0), renewals(LISTED - 1));
        assert!(first == last || first == last + 1, "{first} and {last} in one listing");
        assert!(listing.records.iter().all(|(_, versioned)| versioned.revision <= listing.revision));
    }
    writer.await.unwrap();
}

async fn refused_record_changes_nothing(store: &dyn Store) {
    let before = store.list().await.unwrap().revision;
    let other_kind = Record::NodeSpec(NodeSpec::default());
    let error = store.put(&key("refused"), Some(&other_kind), Revision(0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let huge = status(codec::MAX_RECORD_BYTES);
    let error =
        store.put(&Key::new(Kind::NodeStatus, "refused"), Some(&huge), Revision(0)).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    assert_eq!(store.list().await.unwrap().revision, before);
}

async fn names_are_kept_apart(store: &dyn Store) {
    let names = ["names", "names/", "names/a", "names%2f", "names é", "names:Z_~", "names\0"];
    for (number, name) in (0..).zip(names) {
        put(store, name, number, Revision(0)).await;
    }
    for (number, name) in (0..).zip(names) {
        assert_eq!(get(store, name).await.unwrap().value, lease(number), "{name:?}");
    }
    let listing = store.list().await.unwrap();
    assert!(names.iter().all(|name| listing.records.iter().any(|(listed, _)| *listed == key(name))));
}

/// A record of a bit more than `length` bytes.
pub(super) fn status(length: usize) -> Record {
    Record::NodeStatus(NodeStatus {
        endpoint: crate::domain::Endpoint { address: "127.0.0.1".into(), port: 4420 },
        host_nqn: "nqn".into(),
        host_id: uuid::Uuid::nil(),
        kernel: "x".repeat(length),
        version: String::new(),
        boot_id: String::new(),
        missing: Vec::new(),
        heartbeat_at: crate::domain::Timestamp(1),
        dead_after_millis: 15_000,
    })
}

async fn large_records(store: &dyn Store) {
    let large = status(codec::MAX_RECORD_BYTES - 200);
    // Together more than gRPC takes in one message by default.
    let from = store.list().await.unwrap().revision;
    for name in ["large-1", "large-2", "large-3", "large-4", "large-5"] {
        store.put(&Key::new(Kind::NodeStatus, name), Some(&large), Revision(0)).await.unwrap();
    }
    let listing = store.list().await.unwrap();
    assert_eq!(listing.records.iter().filter(|(_, versioned)| versioned.value == large).count(), 5);
    let mut watch = store.watch(from).await.unwrap();
    let seen = watch_for(watch.as_mut(), "large-", 5).await;
    assert!(seen.into_iter().all(|change| change.value.unwrap().value == large));
    for (key, versioned) in listing.records.into_iter().filter(|(key, _)| key.name.starts_with("large-")) {
        store.put(&key, None, versioned.revision).await.unwrap();
    }
}

/// Makes, changes and deletes a record, and says what a watch has to show of it.
async fn three_changes(store: &dyn Store, name: &str) -> Vec<Change> {
    let made = put(store, name, 1, Revision(0)).await;
    let changed = put(store, name, 2, made).await;
    let deleted = store.put(&key(name), None, changed).await.unwrap();
    let value = |revision, renewals| Some(Versioned { revision, value: lease(renewals) });
    vec![
        Change { key: key(name), value: value(made, 1), revision: made },
        Change { key: key(name), value: value(changed, 2), revision: changed },
        Change { key: key(name), value: None, revision: deleted },
    ]
}

async fn watch_sees_every_change(store: &dyn Store) {
    let from = store.list().await.unwrap().revision;
    let mut early = store.watch(from).await.unwrap();
    let mut expected = three_changes(store, "watch-a").await;
    expected.extend(three_changes(store, "watch-b").await);
    let mut late = store.watch(from).await.unwrap();
    assert_eq!(watch_for(early.as_mut(), "watch-", 6).await, expected);
    assert_eq!(watch_for(late.as_mut(), "watch-", 6).await, expected);
}

async fn watch_resumes(store: &dyn Store) {
    let from = store.list().await.unwrap().revision;
    let expected = three_changes(store, "resume").await;
    for seen in 0..3 {
        let revision = if seen == 0 { from } else { expected[seen - 1].revision };
        let mut watch = store.watch(revision).await.unwrap();
        assert_eq!(watch_for(watch.as_mut(), "resume", 3 - seen).await, expected[seen..]);
    }
}

async fn dropped_wait_loses_nothing(store: &dyn Store) {
    let from = store.list().await.unwrap().revision;
    let mut watch = store.watch(from).await.unwrap();
    for _ in 0..3 {
        let wait = tokio::time::timeout(Duration::from_millis(1), watch.next());
        assert!(wait.await.is_err(), "nothing was changed");
    }
    let expected = three_changes(store, "dropped").await;
    assert_eq!(watch_for(watch.as_mut(), "dropped", 3).await, expected);
}

async fn watch_waits(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.watch(store.list().await.unwrap().revision).await.unwrap();
    let waiting = tokio::spawn(async move { watch_for(watch.as_mut(), "waits", 1).await });
    tokio::task::yield_now().await;
    let revision = put(store.as_ref(), "waits", 1, Revision(0)).await;
    assert_eq!(waiting.await.unwrap()[0].revision, revision);
}

const WRITERS: u64 = 8;
const ROUNDS: u64 = 5;

/// Adds one, as often as it takes.
async fn increment(store: &dyn Store, name: &str) {
    loop {
        let (revision, renewals) = match get(store, name).await {
            Some(Versioned { revision, value: Record::Lease(lease) }) => (revision, lease.renewals),
            other => panic!("{other:?}"),
        };
        match store.put(&key(name), Some(&lease(renewals + 1)), revision).await {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn counter_loses_nothing(subject: &dyn Subject) {
    put(subject.store().as_ref(), "counter", 0, Revision(0)).await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let store = subject.store();
        writers.spawn(async move {
            for _ in 0..ROUNDS {
                increment(store.as_ref(), "counter").await;
            }
        });
    }
    writers.join_all().await;
    assert_eq!(get(subject.store().as_ref(), "counter").await.unwrap().value, lease(WRITERS * ROUNDS));
}

async fn listing_and_watch_make_a_whole(subject: &dyn Subject) {
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let store = subject.store();
        writers.spawn(async move {
            for _ in 0..ROUNDS {
                three_changes(store.as_ref(), &format!("whole-{number}")).await;
            }
            put(store.as_ref(), &format!("whole-{number}"), number, Revision(0)).await;
        });
    }
    let store = subject.store();
    let listing = store.list().await.unwrap();
    let mut watch = store.watch(listing.revision).await.unwrap();
    writers.join_all().await;

    let end = put(store.as_ref(), "whole-end", 1, Revision(0)).await;
    let last = store.list().await.unwrap();
    let mut world: BTreeMap<_, _> = listing.records.into_iter().collect();
    let mut now = listing.revision;
    while now < end {
        for change in watch.next().await.unwrap() {
            assert!(change.revision > now, "{} after {}", change.revision.0, now.0);
            now = change.revision;
            match change.value {
                Some(value) => world.insert(change.key, value),
                None => world.remove(&change.key),
            };
        }
    }
    assert_eq!(world, last.records.into_iter().collect());
}

async fn watch_from_the_future(store: &dyn Store) {
    let now = store.list().await.unwrap().revision;
    let watch = store.watch(Revision(now.0 + 1)).await;
    assert!(matches!(watch, Err(StoreError::Lagged)));
}

/// Either the watch is refused, or it ends, or it shows everything.
async fn watch_from_forgotten_times(subject: &dyn Subject) {
    let store = subject.store();
    let from = store.list().await.unwrap().revision;
    let expected = three_changes(store.as_ref(), "forgotten").await;
    subject.forget().await;
    let first = match store.watch(from).await {
        Ok(mut watch) => watch.next().await,
        Err(error) => Err(error),
    };
    match first {
        Err(StoreError::Lagged) => {}
        Ok(changes) => assert_eq!(changes[0], expected[0]),
        Err(error) => panic!("{error}"),
    }
    let now = store.list().await.unwrap().revision;
    let mut watch = store.watch(now).await.unwrap();
    let expected = three_changes(store.as_ref(), "remembered").await;
    assert_eq!(watch_for(watch.as_mut(), "remembered", 3).await, expected);
}

fn corrupt_names(listing: &Listing) -> Vec<&str> {
    listing.corrupt.iter().map(|(key, _)| key.name.as_str()).collect()
}

async fn corrupt_record_hides_nothing(subject: &dyn Subject) {
    let store = subject.store();
    put(store.as_ref(), "corrupt-before", 1, Revision(0)).await;
    put(store.as_ref(), "corrupt-zz-after", 2, Revision(0)).await;
    let other_kind =
        codec::encode(&Key::new(Kind::NodeSpec, "x"), &Record::NodeSpec(NodeSpec::default())).unwrap();
    subject.plant("/mdfabric/v1/lease/corrupt-garbled", &[0xff; 40]).await;
    subject.plant("/mdfabric/v1/lease/corrupt-kind", &other_kind).await;
    subject.plant("/mdfabric/v1/lease/corrupt-%41", &[]).await;
    subject.plant("/mdfabric/v1/of-a-newer-version/x", &[1]).await;

    let listing = store.list().await.unwrap();
    assert_eq!(corrupt_names(&listing), ["corrupt-%41", "corrupt-garbled", "corrupt-kind"]);
    let readable = listing.records.iter().filter(|(key, _)| key.name.starts_with("corrupt-"));
    assert_eq!(readable.count(), 2);

    let error = store.get(&key("corrupt-garbled")).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    let blind = store.put(&key("corrupt-garbled"), Some(&lease(1)), Revision(0)).await;
    assert_ne!(conflict(blind), Revision(0), "a corrupt record is not overwritten by whoever expects none");
}
