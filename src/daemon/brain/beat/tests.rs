use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::*;
use crate::daemon::brain::{Ports, Written};
use crate::daemon::{Cache, StoreHealth};
use crate::domain::testing::{node_status, volume_spec};
use crate::domain::{Endpoint, Lease, NodeName, Versioned, VolumeStatus};
use crate::plan::{FailureKind, Lane, Observation, Outcome, Peers, Sample, Step, StepFailure};
use crate::ports::{Change, Heartbeats, InCalls, Kernel, Listing, PortFuture, Store, Watch};
use crate::telemetry::recorder::Recorder;

struct Nothing;

impl Kernel for Nothing {
    fn observe(&self) -> Result<Observation, String> {
        Ok(Observation::default())
    }

    fn sample(&self, _: &Observation) -> Result<Sample, String> {
        Ok(Sample::default())
    }

    fn unanswered(&self, _: &Endpoint) -> Result<u64, String> {
        Ok(0)
    }

    fn in_calls(&self) -> InCalls {
        InCalls::default()
    }

    fn abandon(&self, _: &Lane) {}

    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
        Err(StepFailure { kind: FailureKind::Retry, message: step.to_string() })
    }
}

impl Heartbeats for Nothing {
    fn follow(&self, _: BTreeMap<NodeName, (Endpoint, bool)>) {}

    fn heard(&self) -> Peers {
        Peers::default()
    }

    fn say_goodbye(&self) {}
}

/// What the store does with a kind of record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Takes it.
    Takes,
    /// Takes it once a beat came.
    Waits,
    Refuses,
    /// Has one that cannot be read.
    Garbled,
    /// Has one that is older than what is known.
    Older,
    /// Has it no more.
    Gone,
    Fails,
}

/// A store that does not do the same with everything.
#[derive(Default)]
struct Moody {
    ways: Mutex<BTreeMap<Kind, Way>>,
    beaten: Notify,
    taken: Mutex<Vec<Key>>,
}

impl Moody {
    fn set(&self, kind: Kind, way: Way) {
        self.ways.lock().unwrap().insert(kind, way);
    }

    async fn say(&self, key: &Key, expected: Revision) -> Said {
        let way = self.ways.lock().unwrap().get(&key.kind).copied().unwrap_or(Way::Takes);
        match way {
            Way::Takes => {}
            Way::Waits => self.beaten.notified().await,
            Way::Refuses => return Err(StoreError::Refused { key: key.clone(), why: "a rule".to_owned() }),
            Way::Garbled | Way::Older => {
                return Err(StoreError::Conflict { key: key.clone(), expected, found: Revision(9) });
            }
            Way::Gone => return Err(StoreError::Conflict { key: key.clone(), expected, found: Revision(0) }),
            Way::Fails => {
                let (store, why) = ("moody".to_owned(), "no".to_owned());
                return Err(StoreError::Unavailable { store, call: "put", why });
            }
        }
        if key.kind == Kind::NodeStatus {
            self.beaten.notify_one();
        }
        self.taken.lock().unwrap().push(key.clone());
        Ok(Revision(expected.0 + 1))
    }
}

impl Store for Moody {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let key = key.clone();
        let way = self.ways.lock().unwrap().get(&key.kind).copied();
        Box::pin(async move {
            match way {
                Some(Way::Older) => {
                    let value = Record::NodeStatus(node_status(Timestamp(1)));
                    Ok(Some(Versioned { revision: Revision(1), value }))
                }
                Some(Way::Gone) => Ok(None),
                Some(Way::Takes | Way::Waits | Way::Refuses | Way::Garbled | Way::Fails) | None => {
                    Err(StoreError::Corrupt { key, why: "garbled".to_owned() })
                }
            }
        })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async { Ok(Listing::default()) })
    }

    fn watch(&self, _: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async { Err(StoreError::Lagged) })
    }

    fn put(&self, key: &Key, _: Option<&Record>, expected: Revision) -> PortFuture<'_, Said> {
        let key = key.clone();
        Box::pin(async move { self.say(&key, expected).await })
    }

    fn name(&self) -> String {
        "moody".to_owned()
    }
}

fn brain(store: &Arc<Moody>) -> Brain {
    let ((_, records), (_, events), (_, standings)) = (mpsc::channel(1), mpsc::channel(1), mpsc::channel(1));
    let ports = Ports {
        store: Arc::<Moody>::clone(store),
        kernel: Arc::new(Nothing),
        records,
        events,
        peers: Arc::new(Nothing),
        standings,
        recorder: Recorder::none(),
    };
    Brain::new("n1".parse().unwrap(), node_status(Timestamp(0)), ports).0
}

fn volume(name: &str) -> Write {
    let record = Some(Record::VolumeStatus(VolumeStatus::default()));
    Write { key: Key::new(Kind::VolumeStatus, name), record }
}

fn lease() -> Write {
    let lease = Lease { holder: "n1".parse().unwrap(), renewals: 1, term_millis: 1 };
    Write { key: Key::new(Kind::Lease, "controller"), record: Some(Record::Lease(lease)) }
}

fn taken(store: &Moody) -> Vec<Kind> {
    store.taken.lock().unwrap().iter().map(|key| key.kind).collect()
}

async fn beats(brain: &mut Brain) {
    brain.beat();
    let said = brain.beats.said().await;
    brain.take_beat(said).await;
}

#[tokio::test]
async fn a_write_that_does_not_come_back_holds_up_no_beat() {
    let store = Arc::<Moody>::default();
    store.set(Kind::VolumeStatus, Way::Waits);
    let mut brain = brain(&store);
    let written = tokio::time::timeout(Duration::from_secs(20), brain.write_all(&[volume("v")])).await;
    assert_eq!(written.expect("the beat waits for the write"), Written::Some);
    assert_eq!(taken(&store), [Kind::NodeStatus, Kind::VolumeStatus]);
}

#[tokio::test]
async fn a_refused_write_is_told_and_neither_a_beat_nor_other_volumes_wait_for_it() {
    let store = Arc::<Moody>::default();
    store.set(Kind::VolumeStatus, Way::Refuses);
    let mut brain = brain(&store);
    let spec = Write {
        key: Key::new(Kind::NodeSpec, "n1"),
        record: Some(Record::NodeSpec(crate::domain::NodeSpec::default())),
    };
    assert_eq!(
        brain.write_all(&[volume("v"), spec]).await,
        Written::Some,
        "it is planned with what was taken"
    );
    beats(&mut brain).await;
    let mut kinds = taken(&store);
    kinds.dedup();
    assert!(kinds.contains(&Kind::NodeSpec) && kinds.contains(&Kind::NodeStatus), "{kinds:?}");
    assert_eq!(brain.refusals.reasons(clock::now())[0].code, "StoreRefused");
    assert_eq!(brain.store, StoreHealth::Good);
    store.set(Kind::VolumeStatus, Way::Takes);
    assert_eq!(brain.write_all(&[volume("v")]).await, Written::Refused, "it is not offered again at once");
}

#[tokio::test]
async fn a_beat_that_was_not_taken_is_due_again_before_its_period_is_over() {
    let store = Arc::<Moody>::default();
    for way in [Way::Fails, Way::Refuses] {
        store.set(Kind::NodeStatus, way);
        let mut brain = brain(&store);
        beats(&mut brain).await;
        let again = brain.beats.due().since(clock::now());
        assert!(again <= timing::STORE_RETRY_MILLIS, "{again}");
    }
    let pace = crate::ports::Pace::SPARING;
    assert!(timing::STORE_RETRY_MILLIS < pace.heartbeat_millis);
}

/// As where lists and watches fail and writes do not: who is not heard of then is not dead, and what readers are shown is old.
#[tokio::test]
async fn a_write_that_is_taken_is_no_news_of_others() {
    let store = Arc::<Moody>::default();
    let mut brain = brain(&store);
    let other = Key::new(Kind::NodeStatus, "n2");
    brain.memory.liveness.store_answered(Timestamp(1_000));
    brain.memory.liveness.heard([other.clone()], Timestamp(1_000));
    brain.take_records(Cache::Lost("lists are refused".to_owned()));
    beats(&mut brain).await;
    assert_eq!(taken(&store), [Kind::NodeStatus]);
    assert_eq!(brain.memory.liveness.age(&other, Timestamp(3_000)), Some(2_000), "nothing is known since");
    assert_eq!(brain.store, StoreHealth::Lost("lists are refused".to_owned()));
    assert_eq!(brain.memory.store.since(), None, "what is to be recorded can be");
    brain.take_records(Cache::Changed(Vec::new()));
    assert_eq!(brain.store, StoreHealth::Good);
}

/// A record of this node that it cannot read: it is planned with that before anything is done, and once it is, nobody waits for it.
#[tokio::test]
async fn what_turns_out_to_be_unreadable_is_planned_with() {
    let store = Arc::<Moody>::default();
    store.set(Kind::VolumeStatus, Way::Garbled);
    let mut brain = brain(&store);
    assert_eq!(brain.write_all(&[volume("v")]).await, Written::Some);
    assert!(brain.records.world().is_unreadable(&volume("v").key));
    let again = brain.take_answer(&volume("v"), store.say(&volume("v").key, Revision(0)).await).await;
    assert_eq!(again, Written::Refused);
}

/// A copy's spec goes before its status: a provider that knew only of the status would write another one, which nobody removes.
#[tokio::test]
async fn what_is_gone_is_gone_with_its_other_half() {
    let store = Arc::<Moody>::default();
    let mut brain = brain(&store);
    for (kind, value) in [
        (Kind::VolumeSpec, Record::VolumeSpec(volume_spec("v"))),
        (Kind::VolumeStatus, Record::VolumeStatus(VolumeStatus::default())),
    ] {
        store.set(kind, Way::Gone);
        let value = Some(Versioned { revision: Revision(1), value });
        brain.records.take_change(Change { key: Key::new(kind, "v"), value, revision: Revision(1) });
    }
    assert_eq!(brain.write_all(&[volume("v")]).await, Written::Overtaken);
    assert_eq!(brain.records.world().records().count(), 0);
}

/// A status says what time it is: it is another one each time.
#[tokio::test]
async fn what_was_refused_is_not_offered_at_once_as_something_else() {
    let store = Arc::<Moody>::default();
    let mut brain = brain(&store);
    let spec = |cordoned| Write {
        key: Key::new(Kind::NodeSpec, "n1"),
        record: Some(Record::NodeSpec(crate::domain::NodeSpec { cordoned, draining: false })),
    };
    let later = clock::now().plus(3_600_000);
    brain.refusals.note(&spec(false), None, "a rule is against it", later);
    assert_eq!(brain.write_all(&[spec(true)]).await, Written::Refused);
    assert!(taken(&store).is_empty());
    assert_eq!(brain.offer_at, later.plus(timing::REFUSED_ANEW_MILLIS), "it is planned again then");
}

/// As after a restore from a backup: everything is listed again then, and until that is so nothing is tried hundreds of times.
#[tokio::test]
async fn what_is_overtaken_by_nothing_new_is_not_written_again_at_once() {
    let store = Arc::<Moody>::default();
    store.set(Kind::NodeStatus, Way::Older);
    let mut brain = brain(&store);
    let value =
        Some(Versioned { revision: Revision(9), value: Record::NodeStatus(node_status(Timestamp(2))) });
    brain.records.take_change(Change { key: Key::new(Kind::NodeStatus, "n1"), value, revision: Revision(9) });
    let before = clock::now();
    beats(&mut brain).await;
    assert!(brain.beats.due() >= before.plus(timing::OVERTAKEN_MILLIS));
    (brain.overtaken_until, brain.offer_at) = (clock::now().plus(3_600_000), Timestamp(u64::MAX));
    assert_eq!(brain.write_all(&[volume("v")]).await, Written::Overtaken);
    assert!(taken(&store).is_empty());
    assert_eq!(brain.offer_at, brain.overtaken_until, "it is planned again then");
}

#[tokio::test]
async fn a_lease_that_cannot_be_written_is_in_nobody_s_way() {
    for way in [Way::Refuses, Way::Garbled] {
        let store = Arc::<Moody>::default();
        store.set(Kind::Lease, way);
        let mut brain = brain(&store);
        assert_eq!(brain.write_all(&[lease(), volume("v")]).await, Written::Some);
        assert!(taken(&store).contains(&Kind::VolumeStatus));
        assert_eq!(brain.write_all(&[lease()]).await, Written::Refused);
        assert!(brain.refusals.reasons(clock::now())[0].message.contains("Lease/controller"));
    }
}

#[tokio::test]
async fn while_the_store_does_not_take_the_lease_nothing_is_written_by_it() {
    let store = Arc::<Moody>::default();
    store.set(Kind::Lease, Way::Fails);
    let mut brain = brain(&store);
    assert_eq!(brain.write_all(&[lease(), volume("v")]).await, Written::Unavailable);
    assert!(!taken(&store).contains(&Kind::VolumeStatus));
}
