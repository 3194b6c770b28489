use super::*;
use crate::domain::{Kind, Lease};

fn lease(renewals: u64) -> Record {
    Record::Lease(Lease { holder: "n1".parse().unwrap(), renewals, term_millis: 10 })
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
