//! The service over a real socket, with the embedded store and a kernel in which nothing happens.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use crate::api::client::{self, Client};
use crate::api::proto;
use crate::api::server::{Api, REASON, bind, serve};
use crate::cli::session::Session;
use crate::daemon::{self, Identity, Running, StoreHealth};
use crate::domain::{
    Bytes, DriveState, DriveStatus, Endpoint, Key, Kind, NodeName, NodeStatus, Record, ReplicaState,
    ReplicaStatus, Revision, Timestamp, Verify, Versioned, VolumeName, VolumeSpec, World, host_id, host_nqn,
};
use crate::plan::{FailureKind, Lane, Observation, Outcome, Peers, Sample, Step, StepFailure};
use crate::ports::{InCalls, Kernel, Listing, PortFuture, Store, StoreError, Watch};
use crate::store::LocalStore;
use crate::telemetry::dump::Place;
use crate::telemetry::recorder::Recorder;
use crate::wire::convert::take_in;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};
use uuid::Uuid;

/// A kernel in which nothing is and nothing can be done.
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
        Err(StepFailure { kind: FailureKind::Retry, message: format!("cannot {step}") })
    }
}

fn node_name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn node_status(name: &NodeName) -> NodeStatus {
    NodeStatus {
        endpoint: Endpoint { address: "127.0.0.1".to_owned(), port: 4420 },
        host_nqn: host_nqn(name),
        host_id: host_id(name),
        kernel: "6.12".to_owned(),
        version: "0.1.0".to_owned(),
        boot_id: "b".to_owned(),
        missing: Vec::new(),
        heartbeat_at: daemon::now(),
        dead_after_millis: 0,
    }
}

fn drive_status(node: &str) -> DriveStatus {
    DriveStatus {
        node: node_name(node),
        state: DriveState::Ready,
        model: "QEMU NVMe".to_owned(),
        capacity: Bytes::gib(10),
        allocated: Bytes(0),
        free: Bytes::gib(10),
        largest_free: Bytes::gib(10),
        sector_size: 512,
        read_only: false,
        health: "Good".to_owned(),
        found: Vec::new(),
        message: None,
    }
}

async fn put(store: &dyn Store, name: impl std::fmt::Display, record: Record) {
    let key = Key::new(record.kind(), name);
    let expected = store.get(&key).await.unwrap().map_or(Revision(0), |there| there.revision);
    store.put(&key, Some(&record), expected).await.unwrap();
}

/// Two strangers' nodes with a drive each: this daemon's brain leaves their records alone.
async fn furnish(store: &dyn Store) {
    for (node, drive) in [("n2", "S2"), ("n3", "S3")] {
        put(store, node, Record::NodeStatus(node_status(&node_name(node)))).await;
        put(store, drive, Record::DriveStatus(drive_status(node))).await;
        let spec = crate::domain::DriveSpec {
            id: drive.parse().unwrap(),
            node: node_name(node),
            disk_guid: Uuid::from_u128(7),
            wipe: false,
            cordoned: false,
            evicting: false,
            removing: false,
            added_at: Timestamp(1),
        };
        put(store, drive, Record::DriveSpec(spec)).await;
    }
}

/// The whole of it is there: a drive is listed from its first record on, and usable only with both.
fn is_furnished(world: &World) -> bool {
    world.drives().filter(|(_, drive)| drive.spec.is_some() && drive.status.is_some()).count() == 2
}

struct House {
    store: Arc<dyn Store>,
    client: Client,
    running: Running,
    server: JoinHandle<io::Result<()>>,
    dir: tempfile::TempDir,
}

impl House {
    async fn with(store: impl FnOnce(PathBuf) -> Arc<dyn Store>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path().join("store.redb"));
        let me = node_name("n1");
        let identity = Identity { name: me.clone(), status: node_status(&me) };
        let (_, events) = mpsc::channel(1);
        let running = daemon::start(
            identity,
            Arc::clone(&store),
            Arc::new(Nothing),
            Peers::default(),
            events,
            Recorder::none(),
        );
        let path = dir.path().join("m.sock");
        let socket = bind(&path).unwrap();
        let check = || vec![proto::Check { name: "md".to_owned(), ok: true, detail: String::new() }];
        let root = dir.path().to_owned();
        let place = Place { recorder: root.join("recorder"), root, config: "{}".to_owned() };
        let api = Api::new(Arc::clone(&store), running.view.clone(), Arc::new(check), place, daemon::now);
        let server = tokio::spawn(async move { serve(api, &socket).await });
        let client = client::connect(&path).await.unwrap();
        Self { store, client, running, server, dir }
    }

    async fn new() -> Self {
        let house = Self::with(|path| Arc::new(LocalStore::open(&path).unwrap())).await;
        furnish(&*house.store).await;
        house.until(|world| world.nodes().count() == 3 && is_furnished(world)).await;
        house
    }

    async fn until(&self, is_so: impl Fn(&World) -> bool) {
        let mut view = self.running.view.clone();
        let so = view.wait_for(|view| is_so(&view.world));
        tokio::time::timeout(Duration::from_secs(20), so).await.expect("in time").unwrap();
    }

    async fn create(&mut self, name: &str, dry_run: bool) -> Result<proto::Change, Status> {
        let request = proto::CreateVolumeRequest {
            name: name.to_owned(),
            size_bytes: Bytes::gib(1).0,
            dry_run,
            ..proto::CreateVolumeRequest::default()
        };
        self.client.create_volume(request).await.map(Response::into_inner)
    }

    async fn close(self) {
        self.server.abort();
        self.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_is_created_watched_explained_and_given_up() {
    let mut house = House::new().await;
    let mut watch = house.client.watch(proto::WatchRequest {}).await.unwrap().into_inner();
    let mut seen = World::default();
    take_in(&mut seen, watch.message().await.unwrap().unwrap()).unwrap();
    assert_eq!(seen.nodes().count(), 3);

    let planned = house.create("a", true).await.unwrap();
    assert_eq!((planned.object.as_str(), planned.already_so), ("volume/a", false));
    assert_eq!(planned.steps, ["write VolumeSpec/a"]);
    let name = "a".parse().unwrap();
    assert!(house.running.view.borrow().world.volume(&name).is_none());

    let made = house.create("a", false).await.unwrap();
    assert!(!made.already_so);
    // Read your writes: the answer came after this daemon's own view.
    let (world, notice) = client::snapshot(&mut house.client).await.unwrap();
    assert!(world.volume(&name).is_some() && notice.is_none());
    assert!(house.create("a", false).await.unwrap().already_so);

    // The brain places it; the providers are played by the test.
    house.until(|world| world.replicas().count() == 2).await;
    let replicas: Vec<_> =
        house.running.view.borrow().world.replicas().map(|replica| replica.spec.id).collect();
    for id in replicas {
        let status = ReplicaStatus { state: ReplicaState::Created, zeroed: true, ..ReplicaStatus::default() };
        put(&*house.store, id, Record::ReplicaStatus(status)).await;
    }
    let is_synced = |world: &World| {
        world.volume_status(&"a".parse().unwrap()).is_some_and(|status| status.phase.to_string() == "Synced")
    };
    while !is_synced(&seen) {
        let update = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.expect("in time");
        take_in(&mut seen, update.unwrap().unwrap()).unwrap();
    }

    let object = "a".to_owned();
    let lines = house.client.explain(proto::ExplainRequest { object }).await.unwrap().into_inner().lines;
    assert!(lines.iter().any(|line| line.contains("Copy on n2 (drive S2)")), "{lines:#?}");

    let gone = proto::DeleteVolumeRequest { name: "a".to_owned(), dry_run: false };
    assert!(!house.client.delete_volume(gone.clone()).await.unwrap().into_inner().already_so);
    assert!(house.client.delete_volume(gone).await.unwrap().into_inner().already_so);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_the_object_and_the_next_step() {
    let mut house = House::new().await;
    let attach = |name: &str, node: &str| proto::AttachVolumeRequest {
        name: name.to_owned(),
        node: node.to_owned(),
        dry_run: false,
    };
    let status = house.client.attach_volume(attach("x", "")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "there is no volume x; list them with `mdfabric volume ls`");
    assert_eq!(status.metadata().get(REASON).unwrap(), "NotFound");
    let error = client::ClientError::from(status);
    assert_eq!(error.to_string(), "there is no volume x");
    assert_eq!(error.hint(), "list them with `mdfabric volume ls`");

    let status = house.client.attach_volume(attach("No/Good", "n1")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for (size_bytes, fs) in [(0, 0), (Bytes::mib(100).0, 0), (Bytes::gib(1).0, 77)] {
        let name = "b".to_owned();
        let request = proto::CreateVolumeRequest { name, size_bytes, fs, ..Default::default() };
        let status = house.client.create_volume(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let add = proto::AddDriveRequest { id: "S9".to_owned(), wipe: false, dry_run: false };
    assert_eq!(house.client.add_drive(add).await.unwrap_err().code(), Code::NotFound);
    let checks = house.client.preflight(proto::PreflightRequest {}).await.unwrap().into_inner().checks;
    assert_eq!(checks.len(), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_says_what_it_changes() {
    let mut house = House::new().await;
    let cordon =
        |dry_run| proto::CordonDriveRequest { id: "S2".to_owned(), cordoned: true, empty: false, dry_run };
    let planned = house.client.cordon_drive(cordon(true)).await.unwrap().into_inner();
    assert_eq!(planned.steps, ["change DriveSpec/S2: cordoned from false to true"]);
    house.client.cordon_drive(cordon(false)).await.unwrap();
    assert!(house.running.view.borrow().world.drive_spec(&"S2".parse().unwrap()).unwrap().cordoned);
    assert!(house.client.cordon_drive(cordon(false)).await.unwrap().into_inner().already_so);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_says_what_was_chosen_and_leaves_the_rest() {
    let mut house = House::new().await;
    house.create("a", false).await.unwrap();
    house.until(|world| world.replicas().count() == 2).await;
    let edit = proto::EditVolumeRequest { name: "a".to_owned(), replicas: Some(1), ..Default::default() };
    let change = house.client.edit_volume(edit.clone()).await.unwrap().into_inner();
    assert!(change.chosen[0].contains(" goes: all copies are equally good"), "{:?}", change.chosen);
    assert!(house.client.edit_volume(edit.clone()).await.unwrap().into_inner().already_so);
    let name: VolumeName = "a".parse().unwrap();
    let spec = house.running.view.borrow().world.volume_spec(&name).unwrap().clone();
    assert_eq!((spec.replicas, spec.placement.generation, spec.verify), (1, 1, Verify::Sampled));
    let verify = proto::Verify::Full.into();
    let how = proto::EditVolumeRequest { name: "a".to_owned(), verify, ..Default::default() };
    house.client.edit_volume(how).await.unwrap();
    let edited = house.running.view.borrow().world.volume_spec(&name).unwrap().clone();
    assert_eq!(edited, VolumeSpec { verify: Verify::Full, ..spec });
    let none = proto::EditVolumeRequest { replicas: Some(0), ..edit };
    assert_eq!(house.client.edit_volume(none).await.unwrap_err().code(), Code::InvalidArgument);
    house.close().await;
}

/// A store that can be taken away, and that lets others write just before us.
struct Frail {
    inner: LocalStore,
    away: Arc<AtomicBool>,
    overtaken: AtomicU32,
    /// The record that it does not take.
    refused: Option<Key>,
    /// How often everything was asked for.
    lists: Arc<AtomicU32>,
}

impl From<LocalStore> for Frail {
    fn from(inner: LocalStore) -> Self {
        let (away, overtaken, refused, lists) = (Arc::default(), AtomicU32::new(0), None, Arc::default());
        Self { inner, away, overtaken, refused, lists }
    }
}

impl Frail {
    fn check(&self, call: &'static str) -> Result<(), StoreError> {
        if self.away.load(SeqCst) {
            let (store, why) = ("frail".to_owned(), "unplugged".to_owned());
            return Err(StoreError::Unavailable { store, call, why });
        }
        Ok(())
    }
}

impl Store for Frail {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let key = key.clone();
        Box::pin(async move {
            self.check("get")?;
            self.inner.get(&key).await
        })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move {
            self.check("list")?;
            self.lists.fetch_add(1, SeqCst);
            self.inner.list().await
        })
    }

    fn watch(&self, from: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            self.check("watch")?;
            self.inner.watch(from).await
        })
    }

    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        let (key, record) = (key.clone(), record.cloned());
        Box::pin(async move {
            self.check("put")?;
            if self.refused.as_ref() == Some(&key) {
                return Err(StoreError::Refused { key, why: "a rule is against it".to_owned() });
            }
            let ours = matches!(record, Some(Record::DriveSpec(_)));
            if ours && self.overtaken.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                let there = self.inner.get(&key).await?.unwrap();
                self.inner.put(&key, Some(&there.value), there.revision).await?;
            }
            self.inner.put(&key, record.as_ref(), expected).await
        })
    }

    fn name(&self) -> String {
        "frail".to_owned()
    }
}

async fn frail(away: &Arc<AtomicBool>) -> House {
    let away = Arc::clone(away);
    House::with(|path| {
        let inner = LocalStore::open(&path).unwrap();
        Arc::new(Frail { away, ..Frail::from(inner) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_reads_are_answered_and_writes_say_why_not() {
    let away = Arc::new(AtomicBool::new(false));
    let mut house = frail(&away).await;
    furnish(&*house.store).await;
    house.until(is_furnished).await;
    away.store(true, SeqCst);

    let status = house.create("a", false).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("frail: put: unplugged"), "{status:?}");

    let mut view = house.running.view.clone();
    let lost = view.wait_for(|view| matches!(view.node.store, StoreHealth::Lost(_)));
    tokio::time::timeout(Duration::from_secs(20), lost).await.expect("in time").unwrap();
    let (world, notice) = client::snapshot(&mut house.client).await.unwrap();
    assert_eq!(world.drives().count(), 2);
    assert!(notice.unwrap().contains("unplugged"));
    let object = "node/n1".to_owned();
    let lines = house.client.explain(proto::ExplainRequest { object }).await.unwrap().into_inner().lines;
    assert!(lines.last().unwrap().contains("The store does not answer"), "{lines:#?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_never_reached_its_store_says_so() {
    let mut house = frail(&Arc::new(AtomicBool::new(true))).await;
    let status = house.client.snapshot(proto::SnapshotRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("frail"), "{status:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_overtaken_is_decided_again() {
    for (overtaken, expected) in [(3, Ok(())), (100, Err(Code::Aborted))] {
        let dir = tempfile::tempdir().unwrap();
        let inner = LocalStore::open(&dir.path().join("s")).unwrap();
        furnish(&inner).await;
        let frail = Frail { overtaken: overtaken.into(), ..Frail::from(inner) };
        let lists = Arc::clone(&frail.lists);
        let mut house = House::with(|_| Arc::new(frail)).await;
        house.until(is_furnished).await;
        let request =
            proto::CordonDriveRequest { id: "S2".to_owned(), cordoned: true, empty: false, dry_run: false };
        let result = house.client.cordon_drive(request).await;
        assert_eq!(result.map(drop).map_err(|status| status.code()), expected);
        assert_eq!(lists.load(SeqCst), 1, "everything was listed once, when the daemon began");
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_answers_as_the_daemon_did_and_changes_nothing() {
    let mut house = House::new().await;
    house.create("v1", false).await.unwrap();
    house.until(|world| world.volumes().count() == 1).await;
    let path = house.dir.path().join("dump.tar");
    let mut chunks = house.client.dump(proto::DumpRequest {}).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend(chunk.data);
    }
    std::fs::write(&path, &bytes).unwrap();
    let mut dumped = Session::of_dump(&path).unwrap();
    let (live, _) = client::snapshot(&mut house.client).await.unwrap();
    let of = |world: &World| world.volumes().map(|volume| volume.spec).collect::<Vec<_>>();
    assert_eq!(of(&dumped.world().await.unwrap()), of(&live));
    assert_eq!(live.volumes().count(), 1);
    let lines = dumped.explain("volume/v1".to_owned()).await.unwrap();
    assert!(lines[0].starts_with("Volume v1: 1 GiB, 2 copies"), "{lines:#?}");
    let refused = [dumped.client().map(drop), dumped.worlds().await.map(drop)];
    for refusal in refused.map(|result| result.unwrap_err().text()) {
        assert!(refusal.contains("dump.tar: a dump of n1 only shows what was"), "{refusal}");
    }
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cut = Session::of_dump(&path).err().unwrap().text();
    assert!(cut.contains("dump.tar"), "{cut}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_for_good_freezes_its_volume_and_not_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let inner = LocalStore::open(&dir.path().join("s")).unwrap();
    furnish(&inner).await;
    for name in ["a", "b"] {
        put(&inner, name, Record::VolumeSpec(crate::domain::testing::volume_spec(name))).await;
    }
    let refused = Some(Key::new(Kind::VolumeStatus, "a"));
    let store = Frail { refused, ..Frail::from(inner) };
    let mut house = House::with(|_| Arc::new(store)).await;
    let mut view = house.running.view.clone();
    let ready = view.wait_for(|view| view.node.told && !view.node.frozen.is_empty());
    tokio::time::timeout(Duration::from_secs(20), ready).await.expect("the node is ready").unwrap();
    house.until(|world| world.volume_status(&"b".parse().unwrap()).is_some()).await;
    for volume in ["", "b"] {
        let request = proto::GetInfoRequest { volume: volume.to_owned() };
        assert_eq!(house.client.get_info(request).await.unwrap().into_inner().node, "n1");
    }
    let request = proto::GetInfoRequest { volume: "a".to_owned() };
    let status = house.client.get_info(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get(REASON).unwrap(), "StoreRefused");
    assert!(status.message().contains("a rule is against it"), "{status:?}");
    house.close().await;
}
