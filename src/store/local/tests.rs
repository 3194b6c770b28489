use super::*;
use crate::domain::Kind;
use crate::store::conformance::{self, Subject, lease, put};
use crate::store::feed::RING_BYTES;

impl Subject for LocalStore {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn plant(&self, key: &str, bytes: &[u8]) -> PortFuture<'_, ()> {
        let written = self.inner.write(key, Some(bytes), Revision(0));
        Box::pin(async move { assert!(matches!(written.unwrap(), Outcome::Written(_))) })
    }

    fn forget(&self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let key = Key::new(Kind::NodeStatus, "forget");
            let large = conformance::status(codec::MAX_RECORD_BYTES - 200);
            let mut revision = Revision(0);
            for _ in 0..=RING_BYTES / codec::MAX_RECORD_BYTES {
                revision = self.put(&key, Some(&large), revision).await.unwrap();
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    conformance::run(&LocalStore::open(&directory.path().join("store")).unwrap()).await;
}

#[tokio::test]
async fn a_watch_outlived_by_nothing_ends_with_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&directory.path().join("store")).unwrap();
    let mut watch = store.watch(Revision(0)).await.unwrap();
    let revision = put(&store, "a", 1, Revision(0)).await;
    drop(store);
    assert_eq!(watch.next().await.unwrap()[0].revision, revision);
    assert!(matches!(watch.next().await, Err(StoreError::Unavailable { call: "watch", .. })));
}

#[tokio::test]
async fn a_watch_reaches_back_to_the_opening_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LocalStore::open(&path).unwrap();
    let first = put(&store, "a", 1, Revision(0)).await;
    let second = put(&store, "a", 2, first).await;
    drop(store);
    let store = LocalStore::open(&path).unwrap();
    assert!(matches!(store.watch(first).await, Err(StoreError::Lagged)));
    assert!(store.watch(second).await.is_ok());
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    std::fs::write(&path, [7; 5000]).unwrap();
    assert!(matches!(LocalStore::open(&path), Err(StoreError::Unavailable { call: "open", .. })));
    assert_eq!(std::fs::read(&path).unwrap(), [7; 5000]);
    assert!(LocalStore::open(&directory.path().join("none/store")).is_err());
}

#[tokio::test]
async fn a_second_opener_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let _first = LocalStore::open(&path).unwrap();
    let error = LocalStore::open(&path).err().unwrap().to_string();
    assert!(error.contains("another process has it open"), "{error}");
}

#[tokio::test]
async fn records_and_revisions_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let key = Key::new(Kind::Lease, "a");
    let store = LocalStore::open(&path).unwrap();
    let first = store.put(&key, Some(&lease(1)), Revision(0)).await.unwrap();
    drop(store);

    let store = LocalStore::open(&path).unwrap();
    assert_eq!(store.get(&key).await.unwrap().unwrap().revision, first);
    assert_eq!(store.list().await.unwrap().revision, first);
    assert!(store.put(&key, Some(&lease(2)), first).await.unwrap() > first);
}

#[tokio::test]
async fn a_dump_reads_the_file_only_while_no_daemon_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    assert!(read_only(&path).is_err() && !path.exists());
    let store = LocalStore::open(&path).unwrap();
    let revision = put(&store, "a", 1, Revision(0)).await;
    let error = read_only(&path).unwrap_err().to_string();
    assert!(error.contains("store: open: "), "{error}");
    drop(store);
    let listing = read_only(&path).unwrap();
    assert_eq!((listing.revision, listing.records.len(), listing.corrupt.len()), (revision, 1, 0));
}
