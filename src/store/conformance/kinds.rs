//! Every kind of record, and that two records which share an object are records of their own.

use uuid::Uuid;

use super::conflict;
use crate::domain::testing::{UID, drive_status, member, node_status, volume_spec};
use crate::domain::{
    Bytes, DriveSpec, DriveState, Epoch, Key, Kind, Lease, MemberState, NodeName, NodeSpec, Record,
    ReplicaId, ReplicaSpec, ReplicaStatus, Revision, Timestamp, Versioned, VolumeStatus, Wanted,
};
use crate::ports::Store;

/// A record as it is made and as it is changed.
struct Life {
    key: Key,
    first: Record,
    then: Record,
}

fn life(name: impl std::fmt::Display, first: Record, then: Record) -> Life {
    Life { key: Key::new(first.kind(), name), first, then }
}

fn node() -> NodeName {
    "kinds-n1".parse().unwrap()
}

fn volume() -> [Life; 2] {
    let first = volume_spec("kinds-v1");
    let then = crate::domain::VolumeSpec { size: Bytes::gib(2), ..first.clone() };
    let status = |epoch| VolumeStatus {
        epoch: Epoch(epoch),
        members: vec![member(1, "kinds-n1", MemberState::Joining, Timestamp(5))],
        ..VolumeStatus::default()
    };
    [
        life("kinds-v1", Record::VolumeSpec(first), Record::VolumeSpec(then)),
        life("kinds-v1", Record::VolumeStatus(status(1)), Record::VolumeStatus(status(2))),
    ]
}

fn replica() -> [Life; 2] {
    let id = ReplicaId(Uuid::from_u128(77));
    let spec = |partition_size| ReplicaSpec {
        id,
        volume: "kinds-v1".parse().unwrap(),
        volume_uid: UID,
        node: node(),
        drives: vec!["KINDS_1".parse().unwrap()],
        partition_size,
        export: None,
        wanted: Wanted::Present,
    };
    // One that is not gone is not taken away.
    let status = |epoch| ReplicaStatus { acked_epoch: Epoch(epoch), gone: true, ..ReplicaStatus::default() };
    [
        life(id, Record::ReplicaSpec(spec(Bytes::gib(1))), Record::ReplicaSpec(spec(Bytes::gib(2)))),
        life(id, Record::ReplicaStatus(status(1)), Record::ReplicaStatus(status(2))),
    ]
}

fn drive() -> [Life; 2] {
    let spec = |cordoned| DriveSpec {
        id: "KINDS_1".parse().unwrap(),
        node: node(),
        disk_guid: Uuid::from_u128(3),
        wipe: false,
        cordoned,
        evicting: false,
        removing: false,
        added_at: Timestamp(9),
    };
    let status = |state| Record::DriveStatus(drive_status(&node(), state));
    [
        life("KINDS_1", status(DriveState::Available), status(DriveState::Ready)),
        life("KINDS_1", Record::DriveSpec(spec(false)), Record::DriveSpec(spec(true))),
    ]
}

fn lives() -> Vec<Life> {
    let spec = |cordoned| Record::NodeSpec(NodeSpec { cordoned, draining: false });
    let status = |at| Record::NodeStatus(node_status(Timestamp(at)));
    let lease = |renewals| Record::Lease(Lease { holder: node(), renewals, term_millis: 1500 });
    let others = [
        life(node(), status(1), status(2)),
        life(node(), spec(false), spec(true)),
        life("kinds-lease", lease(1), lease(2)),
    ];
    volume().into_iter().chain(replica()).chain(drive()).chain(others).collect()
}

/// Makes all, changes all, each with the revision it was made at, and removes all, those that depend on others first.
pub(super) async fn every_kind_is_kept(store: &dyn Store) {
    let lives = lives();
    let mut made = Vec::new();
    for Life { key, first, .. } in &lives {
        made.push(store.put(key, Some(first), Revision(0)).await.unwrap());
    }
    let mut changed = Vec::new();
    for (Life { key, first, then }, made) in lives.iter().zip(&made) {
        assert_eq!(store.get(key).await.unwrap().unwrap().value, *first, "{key}");
        changed.push(store.put(key, Some(then), *made).await.unwrap_or_else(|error| panic!("{error}")));
        assert_ne!(conflict(store.put(key, Some(first), *made).await), Revision(0), "{key}");
        assert_eq!(store.get(key).await.unwrap().unwrap().value, *then, "{key}");
    }
    let listing = store.list().await.unwrap();
    for Life { key, then, .. } in &lives {
        let listed =
            listing.records.iter().find(|(listed, _)| listed == key).map(|(_, record)| &record.value);
        assert_eq!(listed, Some(then), "{key}");
    }
    for (Life { key, first, .. }, changed) in lives.iter().zip(&changed).rev() {
        store.put(key, None, *changed).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(store.get(key).await.unwrap(), None, "{key}");
        assert_eq!(conflict(store.put(key, Some(first), *changed).await), Revision(0), "{key}");
    }
}

/// Who follows knows of every kind what there is, and of what is removed that it is gone.
pub(super) async fn every_kind_is_shown(store: &dyn Store) {
    let from = store.list().await.unwrap().revision;
    let mut watch = store.watch(from).await.unwrap();
    let mut due = std::collections::BTreeMap::new();
    let mut made = Vec::new();
    for Life { key, first, .. } in lives() {
        let revision = store.put(&key, Some(&first), Revision(0)).await.unwrap();
        due.insert(key.clone(), first);
        made.push((key, revision));
    }
    while !due.is_empty() {
        for change in watch.next().await.unwrap() {
            let shown = change.value.as_ref().map(|Versioned { value, .. }| value);
            if shown.is_some() && due.get(&change.key) == shown {
                due.remove(&change.key);
            }
        }
    }
    let mut left: std::collections::BTreeSet<Key> = made.iter().map(|(key, _)| key.clone()).collect();
    for (key, revision) in made.into_iter().rev() {
        store.put(&key, None, revision).await.unwrap_or_else(|error| panic!("{error}"));
    }
    while !left.is_empty() {
        for change in watch.next().await.unwrap().iter().filter(|change| change.value.is_none()) {
            left.remove(&change.key);
        }
    }
}

#[test]
fn no_kind_is_forgotten() {
    let kinds: std::collections::BTreeSet<Kind> = lives().iter().map(|life| life.key.kind).collect();
    assert_eq!(kinds.len(), 9);
}
