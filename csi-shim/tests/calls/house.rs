//! A cluster in which time passes by itself, and on each of its nodes a daemon's interface and a shim.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdfabric::api::server::{Api, bind, serve};
use mdfabric::daemon::{NodeView, StoreHealth, View};
use mdfabric::domain::{
    Bytes, DriveState, Key, NodeName, Reason, Record, Revision, Timestamp, Versioned, VolumeName, World,
};
use mdfabric::plan::verbs;
use mdfabric::plan::{Usage, Used, Write};
use mdfabric::ports::{Listing, PortFuture, Store, StoreError, Watch};
use mdfabric::sim::{Cluster, Config};
use mdfabric::telemetry::dump::Place;
use mdfabric_csi::daemon::Daemon;
use mdfabric_csi::wire::csi::controller_client::ControllerClient;
use mdfabric_csi::wire::csi::identity_client::IdentityClient;
use mdfabric_csi::wire::csi::node_client::NodeClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// Virtual milliseconds in one go.
const STRIDE: u64 = 100;
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_mins(2);

/// The cluster, shared by its clock and by whoever changes something.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Cluster>>);

impl Shared {
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Cluster) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }
}

impl Store for Shared {
    fn get(&self, key: &Key) -> PortFuture<'_, Result<Option<Versioned<Record>>, StoreError>> {
        let there = self.with(|cluster| {
            let mut records = cluster.world().records();
            records.find(|(known, _)| *known == key).map(|(_, value)| value.clone())
        });
        Box::pin(async { Ok(there) })
    }

    fn list(&self) -> PortFuture<'_, Result<Listing, StoreError>> {
        let world = self.with(|cluster| cluster.world().clone());
        let records: Vec<_> = world.records().map(|(key, value)| (key.clone(), value.clone())).collect();
        let revision = records.iter().map(|(_, value)| value.revision).max().unwrap_or_default();
        Box::pin(async move { Ok(Listing { records, revision, corrupt: Vec::new() }) })
    }

    fn watch(&self, _: Revision) -> PortFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async { Err(StoreError::Lagged) })
    }

    fn put(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> PortFuture<'_, Result<Revision, StoreError>> {
        let write = Write { key: key.clone(), record: record.cloned() };
        let result = self.with(|cluster| {
            let found = cluster.world().revision(&write.key);
            if found != expected {
                return Err(StoreError::Conflict { key: write.key, expected, found });
            }
            cluster.write(std::slice::from_ref(&write));
            Ok(cluster.world().revision(&write.key))
        });
        Box::pin(async { result })
    }

    fn name(&self) -> String {
        "simulated".to_owned()
    }
}

/// What callers have of a node.
pub(crate) struct Doors {
    pub(crate) identity: IdentityClient<Channel>,
    pub(crate) controller: ControllerClient<Channel>,
    pub(crate) node: NodeClient<Channel>,
    view: watch::Sender<View>,
    tasks: Vec<JoinHandle<()>>,
}

/// What of their nodes the daemons have recorded.
#[derive(Clone, Default)]
struct Recorded {
    told: bool,
    frozen: BTreeMap<VolumeName, Reason>,
}

/// See the module.
pub(crate) struct House {
    pub(crate) cluster: Shared,
    pub(crate) nodes: Vec<Doors>,
    recorded: Arc<Mutex<Recorded>>,
    clock: JoinHandle<()>,
    dir: tempfile::TempDir,
}

fn now() -> Timestamp {
    mdfabric::daemon::now()
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(Config::default());
    cluster.run_for(500);
    let ids: Vec<_> = cluster.world().drives().map(|(id, _)| id).collect();
    for (index, id) in (1u128..).zip(&ids) {
        cluster.request(|world, now| verbs::add_drive(world, id, None, Uuid::from_u128(index), now)).unwrap();
    }
    let ready =
        |drive: mdfabric::domain::Drive| drive.status.is_some_and(|status| status.state == DriveState::Ready);
    let all = |cluster: &Cluster| cluster.world().drives().all(|(_, drive)| ready(drive));
    assert!(cluster.run_until(30_000, all));
    cluster
}

/// What a daemon on this node shows. How full a file system is only its own memory knows: here, what the record says.
fn view(me: &NodeName, world: &Arc<World>, Recorded { told, frozen }: Recorded) -> View {
    let figure = |volume: mdfabric::domain::Volume| {
        let (name, status) = (volume.spec.name.clone(), volume.status?);
        status.array.mounted_at.as_ref()?;
        let used = status.used.unwrap_or(Bytes(1));
        let available = Bytes(volume.spec.size.0 - used.0);
        let usage = Usage { used, available, total: volume.spec.size, inodes_used: 3, inodes_free: 7 };
        Some((name, Used { usage, at: Timestamp(1) }))
    };
    let used: BTreeMap<_, _> = world.volumes().filter_map(figure).collect();
    let node = NodeView { store: StoreHealth::Good, told, frozen, used, ..NodeView::default() };
    View { me: me.clone(), world: Arc::clone(world), node: Arc::new(node) }
}

async fn channel(path: &Path) -> Channel {
    Endpoint::from_shared(format!("unix://{}", path.display())).unwrap().connect().await.unwrap()
}

impl Doors {
    async fn new(me: &NodeName, cluster: &Shared, dir: &Path) -> Self {
        let world = Arc::new(cluster.with(|cluster| cluster.world().clone()));
        let (view, reader) = watch::channel(view(me, &world, Recorded { told: true, ..Recorded::default() }));
        let [inner, outer] = ["m", "csi"].map(|kind| dir.join(format!("{me}.{kind}")));
        let place = Place { recorder: dir.to_owned(), root: dir.to_owned(), config: "{}".to_owned() };
        let api = Api::new(Arc::new(cluster.clone()), reader, Arc::new(Vec::new), place, now);
        let socket = bind(&inner).unwrap();
        let api = tokio::spawn(async move { serve(api, &socket).await.unwrap() });
        let incoming = mdfabric_csi::serve::bind(&outer).unwrap();
        let shim = mdfabric_csi::serve::serve(Daemon::at(&inner).unwrap(), incoming, std::future::pending());
        let shim = tokio::spawn(async move { shim.await.unwrap() });
        let channel = channel(&outer).await;
        Self {
            identity: IdentityClient::new(channel.clone()),
            controller: ControllerClient::new(channel.clone()),
            node: NodeClient::new(channel),
            view,
            tasks: vec![api, shim],
        }
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        let cluster = Shared(Arc::new(Mutex::new(cluster())));
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for name in cluster.with(|cluster| cluster.node_names()) {
            nodes.push(Doors::new(&name, &cluster, dir.path()).await);
        }
        let shown: Vec<_> = nodes.iter().map(|node| node.view.clone()).collect();
        let recorded = Arc::new(Mutex::new(Recorded { told: true, ..Recorded::default() }));
        let clock = tokio::spawn(tick(cluster.clone(), shown, Arc::clone(&recorded)));
        Self { cluster, nodes, recorded, clock, dir }
    }

    /// The node of this number, from 1 on.
    pub(crate) fn on(&self, index: usize) -> &Doors {
        &self.nodes[index - 1]
    }

    /// Waits until the records are so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) {
        let mut view = self.nodes[0].view.subscribe();
        let so = view.wait_for(|view| is_so(&view.world));
        assert!(tokio::time::timeout(PATIENCE, so).await.is_ok(), "{what}");
    }

    /// Every daemon has begun anew, and not recorded yet what there is on its node.
    pub(crate) async fn begins_anew(&self) {
        self.recorded.lock().unwrap().told = false;
        self.shows(|view| !view.node.told).await;
    }

    /// What there is of these volumes is refused by the store.
    pub(crate) async fn freezes(&self, names: &[&str]) {
        let why = Reason::blocked("StoreRefused", "a rule is against it", "change the rule");
        let frozen: BTreeMap<_, _> = names.iter().map(|name| (name.parse().unwrap(), why.clone())).collect();
        self.recorded.lock().unwrap().frozen.clone_from(&frozen);
        self.shows(|view| view.node.frozen == frozen).await;
    }

    /// Waits until every daemon shows it.
    async fn shows(&self, is_so: impl Fn(&View) -> bool) {
        for node in &self.nodes {
            node.view.subscribe().wait_for(&is_so).await.unwrap();
        }
    }

    /// Ends everything; no promise was broken meanwhile.
    pub(crate) fn close(self) {
        self.clock.abort();
        for task in self.nodes.into_iter().flat_map(|node| node.tasks) {
            task.abort();
        }
        self.cluster.with(|cluster| assert!(cluster.violations().is_empty(), "{:?}", cluster.violations()));
        drop(self.dir);
    }
}

/// Time passes as fast as it can be played, and every daemon shows what it comes to.
async fn tick(cluster: Shared, views: Vec<watch::Sender<View>>, recorded: Arc<Mutex<Recorded>>) {
    loop {
        let world = Arc::new(cluster.with(|cluster| {
            cluster.run_for(STRIDE);
            cluster.world().clone()
        }));
        for sender in &views {
            let me = sender.borrow().me.clone();
            sender.send_replace(view(&me, &world, recorded.lock().unwrap().clone()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
