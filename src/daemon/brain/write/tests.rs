use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::domain::testing::{UID, put as there};
use crate::domain::{Bytes, ReplicaId, ReplicaSpec, ReplicaStatus, VolumeStatus, Wanted};
use crate::ports::{Listing, PortFuture, Watch};

/// How long each write takes.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Takes its time, and does not take what concerns `refuses`.
#[derive(Default)]
struct Slow {
    refuses: Option<&'static str>,
    at_once: AtomicUsize,
    most: AtomicUsize,
    taken: Mutex<Vec<String>>,
}

impl Store for Slow {
    fn get(&self, _: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async { Ok(Listing::default()) })
    }

    fn watch(&self, _: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async { Err(StoreError::Lagged) })
    }

    fn put(
        &self,
        key: &Key,
        _: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        let key = key.clone();
        Box::pin(async move {
            self.most.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(ROUND_TRIP).await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            if self.refuses == Some(key.name.as_str()) {
                return Err(StoreError::Conflict { key, expected, found: Revision(9) });
            }
            self.taken.lock().unwrap().push(format!("{key}@{}", expected.0));
            Ok(Revision(expected.0 + 1))
        })
    }

    fn name(&self) -> String {
        "slow".to_owned()
    }
}

fn volume(name: &str) -> Write {
    let record = Some(Record::VolumeStatus(VolumeStatus::default()));
    Write { key: Key::new(Kind::VolumeStatus, name), record }
}

fn replica(number: u128, volume: &str) -> (ReplicaId, ReplicaSpec) {
    let id = ReplicaId(uuid::Uuid::from_u128(number));
    let spec = ReplicaSpec {
        id,
        volume: volume.parse().unwrap(),
        volume_uid: UID,
        node: "n1".parse().unwrap(),
        drives: Vec::new(),
        partition_size: Bytes::gib(1),
        export: None,
        wanted: Wanted::Present,
    };
    (id, spec)
}

/// How many chains there were, and how long they took.
async fn written(store: &Arc<Slow>, chains: Vec<Chain>) -> (usize, Duration) {
    let begun = tokio::time::Instant::now();
    let store: Arc<dyn Store> = Arc::<Slow>::clone(store);
    (put_all(&store, chains).join_all().await.len(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn twenty_volumes_are_one_round_trip() {
    let store = Arc::<Slow>::default();
    let writes = (0..20).map(|number| volume(&format!("v{number}"))).collect();
    let (chains, took) = written(&store, chains(&World::default(), writes)).await;
    assert_eq!(chains, 20);
    assert_eq!(store.most.load(Ordering::SeqCst), 20);
    assert_eq!(took, ROUND_TRIP);
}

#[tokio::test(start_paused = true)]
async fn what_concerns_one_volume_keeps_its_order_and_ends_where_one_is_not_taken() {
    let mut world = World::default();
    let (id, spec) = replica(1, "a");
    there(&mut world, id, Record::ReplicaSpec(spec));
    let of_replica = Write {
        key: Key::new(Kind::ReplicaStatus, id),
        record: Some(Record::ReplicaStatus(ReplicaStatus::default())),
    };
    let (new, spec) = replica(2, "a");
    let asked = Write { key: Key::new(Kind::ReplicaSpec, new), record: Some(Record::ReplicaSpec(spec)) };
    let writes = vec![volume("a"), of_replica, volume("b"), asked, volume("a")];
    let store = Arc::<Slow>::default();
    written(&store, chains(&world, writes.clone())).await;
    let of_a = [
        "VolumeStatus/a@0".to_owned(),
        format!("ReplicaStatus/{id}@0"),
        format!("ReplicaSpec/{new}@0"),
        "VolumeStatus/a@1".to_owned(),
    ];
    let mut taken = store.taken.lock().unwrap().clone();
    taken.retain(|key| key != "VolumeStatus/b@0");
    assert_eq!(taken, of_a);
    let refuses = Arc::new(Slow { refuses: Some("a"), ..Slow::default() });
    written(&refuses, chains(&world, writes)).await;
    assert_eq!(*refuses.taken.lock().unwrap(), ["VolumeStatus/b@0"]);
}

/// Who owns the volume may be another one by then, and a copy none any more.
#[tokio::test(start_paused = true)]
async fn what_a_copy_is_asked_for_by_an_older_status_is_not_written() {
    let mut world = World::default();
    let (id, spec) = replica(1, "a");
    there(&mut world, id, Record::ReplicaSpec(spec.clone()));
    there(&mut world, "a", Record::VolumeStatus(VolumeStatus::default()));
    let key = Key::new(Kind::ReplicaSpec, id);
    for record in [Some(Record::ReplicaSpec(spec)), None] {
        let asked = Write { key: key.clone(), record };
        let store = Arc::<Slow>::default();
        let shared: Arc<dyn Store> = Arc::<Slow>::clone(&store);
        let said = put_all(&shared, chains(&world, vec![asked.clone()])).join_all().await.remove(0);
        let Err(StoreError::Conflict { key, found: Revision(0), .. }) = &said[0].1 else {
            panic!("{said:?}")
        };
        assert_eq!(*key, volume("a").key, "that is to be read");
        assert!(store.taken.lock().unwrap().is_empty());
        written(&store, chains(&world, vec![volume("a"), asked])).await;
        assert_eq!(store.taken.lock().unwrap().len(), 2, "who writes the status says so by that");
    }
}

#[test]
fn what_is_not_there_is_not_removed() {
    let gone = Write { key: Key::new(Kind::NodeSpec, "n1"), record: None };
    assert!(chains(&World::default(), vec![gone]).is_empty());
}

#[test]
fn what_was_to_be_removed_and_is_gone_is_removed() {
    let conflict = |found| {
        let key = Key::new(Kind::NodeSpec, "n1");
        Err(StoreError::Conflict { key, expected: Revision(7), found })
    };
    let removal = Write { key: Key::new(Kind::NodeSpec, "n1"), record: None };
    assert!(matches!(gone_is_gone(&removal, conflict(Revision(0))), Ok(Revision(8))));
    assert!(gone_is_gone(&removal, conflict(Revision(9))).is_err());
    assert!(gone_is_gone(&volume("a"), conflict(Revision(0))).is_err());
}

#[test]
fn a_plan_that_was_overtaken_is_so_whatever_else_became_of_it() {
    assert_eq!(Written::Unavailable.max(Written::Overtaken), Written::Overtaken);
    assert_eq!(Written::Some.max(Written::Unavailable), Written::Unavailable);
    assert_eq!(Written::Unavailable.max(Written::Refused), Written::Unavailable);
    assert_eq!(Written::Refused.max(Written::Some), Written::Some, "what was recorded is planned with");
}
