//! What becomes of it when the API server or the way to it fails.

use http::Method;

use super::server::Refused;
use super::*;
use crate::store::conformance::{key, lease, put};

async fn listed(bench: &Bench) -> (Revision, Box<dyn Watch>) {
    let from = bench.store.list().await.unwrap().revision;
    (from, bench.store.watch(from).await.unwrap())
}

async fn told(watch: &mut Box<dyn Watch>) -> String {
    watch.next().await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_show_what_is_written_is_deaf() {
    let bench = bench();
    let (_, mut watch) = listed(&bench).await;
    bench.server.fault(|faults| faults.deaf = true);
    put(&bench.store, "a", 1, Revision(0)).await;
    let begun = tokio::time::Instant::now();
    let told = told(&mut watch).await;
    assert!(told.contains("the watch of leases is deaf"), "{told}");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

/// Writes `a` this many times, one every 50 ms.
async fn write_on(store: KubeStore, times: u64) {
    let mut at = Revision(0);
    for renewals in 1..=times {
        at = put(&store, "a", renewals, at).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_late_and_shows_everything_is_not_deaf() {
    const TIMES: u64 = 200;
    let bench = bench();
    let (_, mut watch) = listed(&bench).await;
    bench.server.fault(|faults| faults.late = Duration::from_millis(100));
    tokio::spawn(write_on(bench.store.clone(), TIMES));
    let is_last = |change: &crate::ports::Change| {
        change.value.as_ref().is_some_and(|versioned| versioned.value == lease(TIMES))
    };
    while !watch.next().await.unwrap().iter().any(is_last) {}
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_bookmarks_is_deaf() {
    let bench = bench();
    bench.server.fault(|faults| faults.deaf = true);
    let (_, mut watch) = listed(&bench).await;
    let begun = tokio::time::Instant::now();
    let told = told(&mut watch).await;
    assert!(told.contains("shown nothing for 90 s"), "{told}");
    assert_eq!(begun.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_connection_broke_goes_on_where_it_was() {
    let bench = bench();
    let (_, mut watch) = listed(&bench).await;
    let first = put(&bench.store, "a", 1, Revision(0)).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, first);
    bench.server.fault(|faults| faults.cut += 1);
    let second = put(&bench.store, "a", 2, first).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, second);
    let lists = bench.server.requests().iter().filter(|request| request.ends_with("/volumes")).count();
    assert_eq!(lists, 1, "nothing was listed again");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_restarts_is_not_asked_for_everything() {
    let bench = bench();
    let (_, mut watch) = listed(&bench).await;
    let down = || Refused::new(503, "ServiceUnavailable", "starting");
    bench.server.fault(|faults| {
        faults.cut += 1;
        faults.watches.extend((0..5).map(|_| down()));
    });
    tokio::task::yield_now().await;
    let revision = put(&bench.store, "a", 1, Revision(0)).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, revision);
    bench.server.fault(|faults| {
        faults.cut += 1;
        faults.watches.extend((0..100).map(|_| down()));
    });
    let told = told(&mut watch).await;
    assert!(told.contains("starting"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_forgotten_times_has_missed_changes() {
    let bench = bench();
    let (from, _) = listed(&bench).await;
    put(&bench.store, "a", 1, Revision(0)).await;
    bench.forget().await;
    let mut watch = bench.store.watch(from).await.unwrap();
    assert!(matches!(watch.next().await, Err(StoreError::Lagged)));
}

#[tokio::test]
async fn a_removal_that_is_not_shown_is_still_newer_than_what_was_there() {
    let bench = bench();
    let made = put(&bench.store, "a", 1, Revision(0)).await;
    bench.server.fault(|faults| faults.watches.push_back(Refused::new(500, "", "no")));
    let gone = bench.store.put(&key("a"), None, made).await.unwrap();
    assert_eq!(gone, Revision(made.0 + 1));
    assert!(put(&bench.store, "a", 2, Revision(0)).await > gone);
}

#[tokio::test]
async fn what_the_server_cannot_do_now_is_an_outage_and_is_not_tried_again_here() {
    let bench = bench();
    for (code, reason) in
        [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable"), (401, "Unauthorized")]
    {
        bench.server.fault(|faults| {
            faults.answers.entry(Method::POST).or_default().push_back(Refused::new(code, reason, "not now"));
        });
        let error = bench.store.put(&key("a"), Some(&lease(1)), Revision(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    put(&bench.store, "a", 1, Revision(0)).await;
}

#[tokio::test]
async fn definitions_that_are_not_there_are_named() {
    let bench = bench();
    bench.server.with(|objects| objects.forget_kind("drives"));
    let error = bench.store.list().await.unwrap_err();
    assert!(error.to_string().contains("deploy/crds"), "{error}");
}

#[tokio::test]
async fn listings_have_pages() {
    let bench = bench();
    for number in 0..501 {
        put(&bench.store, &format!("l{number}"), 1, Revision(0)).await;
    }
    bench.server.requests();
    assert_eq!(bench.store.list().await.unwrap().records.len(), 501);
    let leases = bench.server.requests().iter().filter(|request| request.ends_with("/leases")).count();
    assert_eq!(leases, 2);
}

/// Lists everything; once the first kind was listed, something happens before the others are.
async fn listed_while(
    bench: &Bench,
    happens: impl FnOnce(&mut server::Objects),
) -> Result<Listing, StoreError> {
    bench.server.requests();
    let meanwhile = async {
        while !bench.server.requests().iter().any(|request| request.ends_with("/volumes")) {
            tokio::task::yield_now().await;
        }
        bench.server.with(happens);
    };
    tokio::join!(biased; meanwhile, bench.store.list()).1
}

fn make_lease(objects: &mut server::Objects, name: &str) {
    let lease = json!({
        "metadata": { "name": name, "labels": { LABEL.0: LABEL.1 } },
        "spec": { "holderIdentity": "n1", "leaseDurationSeconds": 1 },
    });
    objects.create("leases", lease, "somebody", false).unwrap();
}

#[tokio::test]
async fn all_kinds_are_listed_as_of_one_moment() {
    let bench = bench();
    let made = put(&bench.store, "a", 1, Revision(0)).await;
    let listing = listed_while(&bench, |objects| make_lease(objects, "b")).await.unwrap();
    let listed: Vec<_> = listing.records.iter().map(|(key, _)| key.name.as_str()).collect();
    assert_eq!((listed, listing.revision), (vec!["a"], made), "what was made meanwhile comes with the watch");
    let mut watch = bench.store.watch(listing.revision).await.unwrap();
    assert_eq!(watch.next().await.unwrap()[0].key, key("b"));
}

#[tokio::test]
async fn a_listing_whose_moment_was_forgotten_is_begun_anew() {
    let bench = bench();
    put(&bench.store, "a", 1, Revision(0)).await;
    assert!(matches!(listed_and_forgotten(&bench, "b").await, Err(StoreError::Lagged)));
    assert_eq!(bench.store.list().await.unwrap().records.len(), 2);
}

/// Lists everything, while the moment that the first kind was listed at is forgotten.
async fn listed_and_forgotten(bench: &Bench, name: &str) -> Result<Listing, StoreError> {
    let happens = |objects: &mut server::Objects| {
        make_lease(objects, name);
        objects.forget_events();
    };
    listed_while(bench, happens).await
}

#[tokio::test]
async fn kinds_that_have_no_moment_in_common_are_in_several_etcds_and_that_is_told() {
    let bench = bench();
    assert!(matches!(listed_and_forgotten(&bench, "a").await, Err(StoreError::Lagged)), "once may be chance");
    let told = listed_and_forgotten(&bench, "b").await.unwrap_err().to_string();
    assert!(told.contains("--etcd-servers-overrides") && told.contains("as of revision"), "{told}");
    bench.store.list().await.unwrap();
    assert!(matches!(listed_and_forgotten(&bench, "c").await, Err(StoreError::Lagged)));
}

#[tokio::test]
async fn a_kind_that_is_behind_another_is_in_another_etcd_and_that_is_told() {
    let bench = bench();
    put(&bench.store, "a", 1, Revision(0)).await;
    let told = listed_while(&bench, |objects| objects.revision -= 1).await.unwrap_err().to_string();
    assert!(told.contains("--etcd-servers-overrides") && told.contains("Too large"), "{told}");
}

#[tokio::test]
async fn leases_of_others_are_not_ours() {
    let bench = bench();
    let (_, mut watch) = listed(&bench).await;
    create(
        &bench.store,
        Place::Lease,
        json!({ "metadata": { "name": "theirs" }, "spec": { "holderIdentity": "x" } }),
    )
    .await;
    let mine = put(&bench.store, "mine", 1, Revision(0)).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, mine);
    assert_eq!(bench.store.list().await.unwrap().records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_from_a_backup_is_followed_from_there() {
    let bench = bench();
    let first = put(&bench.store, "a", 1, Revision(0)).await;
    let backup = bench.server.with(|objects| objects.clone());
    let mut at = first;
    for renewals in 2..9 {
        at = put(&bench.store, "a", renewals, at).await;
    }
    bench.server.with(|objects| *objects = backup);
    let (from, mut watch) = listed(&bench).await;
    assert_eq!(from, first);
    let next = put(&bench.store, "a", 2, first).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, next);
    assert!(tokio::time::timeout(Duration::from_mins(1), watch.next()).await.is_err(), "it is not deaf");
}

/// A watch of a server with a past, and how the server was in that past.
async fn with_a_backup(bench: &Bench) -> (server::Objects, Revision, Box<dyn Watch>) {
    let first = put(&bench.store, "a", 1, Revision(0)).await;
    let backup = bench.server.with(|objects| objects.clone());
    let (_, mut watch) = listed(bench).await;
    let at = put(&bench.store, "a", 2, first).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, at);
    (backup, at, watch)
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_when_the_server_is_restored_does_not_wait_for_the_future() {
    let bench = bench();
    let (backup, _, mut watch) = with_a_backup(&bench).await;
    bench.server.with(|objects| *objects = backup);
    bench.server.fault(|faults| faults.cut += 1);
    assert!(matches!(watch.next().await, Err(StoreError::Lagged)));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_finds_an_earlier_revision_ends_the_watch() {
    let bench = bench();
    let (backup, at, mut watch) = with_a_backup(&bench).await;
    bench.server.with(|objects| *objects = backup);
    let error = bench.store.put(&key("a"), Some(&lease(3)), at).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { expected, found, .. } if found < expected), "{error}");
    assert!(matches!(watch.next().await, Err(StoreError::Lagged)));
}

/// What somebody makes of a lease's annotation.
async fn renewals(bench: &Bench, said: &str) -> Revision {
    let said = json!({ "metadata": { "annotations": { "mdfabric.io/renewals": said } } });
    revision(&edit(&bench.store, Place::Lease, "a", false, said).await)
}

#[tokio::test]
async fn what_cannot_be_read_any_more_is_told_once_and_disturbs_nobody_after_that() {
    let bench = bench();
    put(&bench.store, "a", 1, Revision(0)).await;
    let (_, mut watch) = listed(&bench).await;
    renewals(&bench, "many").await;
    assert!(matches!(watch.next().await, Err(StoreError::Lagged)));
    let listing = bench.store.list().await.unwrap();
    assert_eq!(listing.corrupt.len(), 1);
    let mut watch = bench.store.watch(listing.revision).await.unwrap();
    renewals(&bench, "more").await;
    let other = put(&bench.store, "b", 1, Revision(0)).await;
    assert_eq!(watch.next().await.unwrap()[0].revision, other);
    let mended = renewals(&bench, "7").await;
    let change = watch.next().await.unwrap().remove(0);
    assert_eq!((change.key, change.revision), (key("a"), mended));
    assert!(change.value.is_some());
    renewals(&bench, "many").await;
    assert!(matches!(watch.next().await, Err(StoreError::Lagged)), "it could be read meanwhile");
}
