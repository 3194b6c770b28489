//! The daemon's door: every verb reads the records, decides by [`crate::plan::verbs`], and writes what was decided by
//! compare-and-swap. Nothing is decided here, and nothing here touches the kernel.
//!
//! Reads are answered from the daemon's view of the records, which outlives a store that does not answer; the answer
//! then carries a notice ([`NOTICE`]).

mod change;
mod dump;
mod request;
mod socket;
mod status;
mod watch;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch as channel};
use tokio_stream::Stream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub use change::Rehearse;
pub use socket::{BoundSocket, SocketError, bind};
pub use status::{HINT, REASON};

use super::proto::{self, md_fabric_server::MdFabric};
use crate::daemon::{StoreHealth, View};
use crate::domain::{Publication, Timestamp, VolumeUid};
use crate::plan::capacity::{self, Capacity};
use crate::plan::{Used, explain, ledger, verbs};
use crate::ports::Store;
use crate::telemetry::dump::Place;

/// Metadata of an answer that is not fresh: why not.
pub const NOTICE: &str = "mdfabric-notice-bin";

/// Dumps that are made at once: a thread that hangs in the kernel keeps its place.
const DUMPS: usize = 4;

/// Looks at what the node has and lacks; blocks as long as the kernel does.
pub type Preflight = Arc<dyn Fn() -> Vec<proto::Check> + Send + Sync>;

type Answer<T> = Result<Response<T>, Status>;

/// The service on the socket.
#[derive(Clone)]
pub struct Api {
    store: Arc<dyn Store>,
    view: channel::Receiver<View>,
    preflight: Preflight,
    rehearse: Rehearse,
    place: Place,
    dumps: Arc<Semaphore>,
    now: fn() -> Timestamp,
}

impl Api {
    /// A service that shows `view`, writes to `store`, and makes dumps of `place`. `now` gives new records their times.
    pub fn new(
        store: Arc<dyn Store>,
        view: channel::Receiver<View>,
        preflight: Preflight,
        place: Place,
        now: fn() -> Timestamp,
    ) -> Self {
        let dumps = Arc::new(Semaphore::new(DUMPS));
        Self { store, view, preflight, rehearse: |_, _| Vec::new(), place, dumps, now }
    }

    /// Has `--dry-run` also show the steps that `rehearse` finds, after the records that would be written.
    #[must_use]
    pub fn rehearsed_by(self, rehearse: Rehearse) -> Self {
        Self { rehearse, ..self }
    }

    fn seen(&self) -> View {
        self.view.borrow().clone()
    }

    /// The view for a reader; before the first listing there is nothing to show.
    fn readable(&self) -> Result<View, Status> {
        let view = self.seen();
        match &view.node.store {
            StoreHealth::Starting => Err(status::starting(&self.store.name())),
            StoreHealth::Lost(why) if view.world.records().next().is_none() => {
                Err(status::unread(&self.store.name(), why))
            }
            StoreHealth::Good | StoreHealth::Lost(_) => Ok(view),
        }
    }
}

/// What is said of records that are not fresh.
#[must_use]
pub fn stale(why: &str) -> String {
    format!("the store does not answer ({why}); this is what was known before")
}

fn answer<T>(view: &View, body: T) -> Response<T> {
    let mut response = Response::new(body);
    if let StoreHealth::Lost(why) = &view.node.store {
        response.metadata_mut().insert_bin(NOTICE, MetadataValue::from_bytes(stale(why).as_bytes()));
    }
    response
}

#[tonic::async_trait]
impl MdFabric for Api {
    async fn snapshot(&self, _: Request<proto::SnapshotRequest>) -> Answer<proto::World> {
        let view = self.readable()?;
        Ok(answer(&view, watch::complete(&view.world)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::World, Status>> + Send>>;

    async fn watch(&self, _: Request<proto::WatchRequest>) -> Answer<Self::WatchStream> {
        let view = self.readable()?;
        Ok(answer(&view, watch::stream(self.view.clone())))
    }

    async fn create_volume(&self, request: Request<proto::CreateVolumeRequest>) -> Answer<proto::Change> {
        let request = request.into_inner();
        let (wish, uid, now) = (request::create(&request)?, VolumeUid(Uuid::new_v4()), (self.now)());
        self.carry_out(request.dry_run, |world| verbs::create(world, &wish, uid, now)).await
    }

    async fn delete_volume(&self, request: Request<proto::DeleteVolumeRequest>) -> Answer<proto::Change> {
        let proto::DeleteVolumeRequest { name, dry_run } = request.into_inner();
        let name = request::parsed(&name)?;
        self.carry_out(dry_run, |world| verbs::delete(world, &name)).await
    }

    async fn attach_volume(&self, request: Request<proto::AttachVolumeRequest>) -> Answer<proto::Change> {
        let proto::AttachVolumeRequest { name, node, dry_run } = request.into_inner();
        let name = request::parsed(&name)?;
        let node = if node.is_empty() { self.seen().me } else { request::parsed(&node)? };
        self.carry_out(dry_run, |world| verbs::attach(world, &name, &node)).await
    }

    async fn detach_volume(&self, request: Request<proto::DetachVolumeRequest>) -> Answer<proto::Change> {
        let proto::DetachVolumeRequest { name, dry_run, node } = request.into_inner();
        let (name, at) = (request::parsed(&name)?, verbs::At::on(request::node(&node)?));
        self.carry_out(dry_run, |world| verbs::detach_at(world, &name, &at)).await
    }

    async fn mount_volume(&self, request: Request<proto::MountVolumeRequest>) -> Answer<proto::Change> {
        let request = request.into_inner();
        let (name, wish) = (request::parsed(&request.name)?, request::mount(&request));
        let node = request::node(&request.node)?;
        self.carry_out(request.dry_run, |world| verbs::mount_on(world, &name, node.as_ref(), wish.clone()))
            .await
    }

    async fn unmount_volume(&self, request: Request<proto::UnmountVolumeRequest>) -> Answer<proto::Change> {
        let proto::UnmountVolumeRequest { name, dry_run, path, node } = request.into_inner();
        let path = (!path.is_empty()).then_some(path);
        let (name, at) = (request::parsed(&name)?, verbs::At { node: request::node(&node)?, path });
        self.carry_out(dry_run, |world| verbs::unmount_at(world, &name, &at)).await
    }

    async fn publish_volume(&self, request: Request<proto::PublishVolumeRequest>) -> Answer<proto::Change> {
        let proto::PublishVolumeRequest { name, node, path, read_only, dry_run, alone } =
            request.into_inner();
        let (name, node) = (request::parsed(&name)?, request::parsed(&node)?);
        let wish = verbs::Publish { place: Publication { path, read_only }, alone };
        self.carry_out(dry_run, |world| verbs::publish(world, &name, &node, &wish)).await
    }

    async fn unpublish_volume(
        &self,
        request: Request<proto::UnpublishVolumeRequest>,
    ) -> Answer<proto::Change> {
        let proto::UnpublishVolumeRequest { name, node, path, dry_run } = request.into_inner();
        let (name, node) = (request::parsed(&name)?, request::node(&node)?);
        self.carry_out(dry_run, |world| verbs::unpublish(world, &name, node.clone(), &path)).await
    }

    async fn move_volume(&self, request: Request<proto::MoveVolumeRequest>) -> Answer<proto::Change> {
        let proto::MoveVolumeRequest { name, from, to, drive, dry_run } = request.into_inner();
        let (name, from, to) = (request::parsed(&name)?, request::parsed(&from)?, request::parsed(&to)?);
        let drive = drive.as_deref().map(request::parsed).transpose()?;
        self.carry_out(dry_run, |world| verbs::move_replica(world, &name, &from, &to, drive.as_ref())).await
    }

    async fn edit_volume(&self, request: Request<proto::EditVolumeRequest>) -> Answer<proto::Change> {
        let request = request.into_inner();
        let wish = request::edit(&request)?;
        self.carry_out(request.dry_run, |world| verbs::edit(world, &wish)).await
    }

    async fn force_start(&self, request: Request<proto::ForceStartRequest>) -> Answer<proto::Change> {
        let by = request::asker(&request);
        let proto::ForceStartRequest { name, from, accept_data_loss, dry_run } = request.into_inner();
        let wish = verbs::ForceStart { name: request::parsed(&name)?, from, accept_data_loss, by };
        let now = (self.now)();
        self.carry_out(dry_run, |world| verbs::force_start(world, &wish, now)).await
    }

    async fn grow_volume(&self, request: Request<proto::GrowVolumeRequest>) -> Answer<proto::Change> {
        let request = request.into_inner();
        let (name, to) = (request::parsed(&request.name)?, request::new_size(&request)?);
        self.carry_out(request.dry_run, |world| verbs::grow(world, &name, to)).await
    }

    async fn scrub_volume(&self, request: Request<proto::ScrubVolumeRequest>) -> Answer<proto::Change> {
        let request = request.into_inner();
        let (name, what) = (request::parsed(&request.name)?, request::scrub(&request)?);
        self.carry_out(request.dry_run, |world| verbs::scrub(world, &name, what)).await
    }

    async fn add_drive(&self, request: Request<proto::AddDriveRequest>) -> Answer<proto::Change> {
        let proto::AddDriveRequest { id, wipe, dry_run } = request.into_inner();
        let (id, guid, now) = (request::parsed(&id)?, Uuid::new_v4(), (self.now)());
        let wiped = wipe.then_some(&id);
        self.carry_out(dry_run, |world| verbs::add_drive(world, &id, wiped, guid, now)).await
    }

    async fn remove_drive(&self, request: Request<proto::RemoveDriveRequest>) -> Answer<proto::Change> {
        let proto::RemoveDriveRequest { id, dry_run } = request.into_inner();
        let id = request::parsed(&id)?;
        self.carry_out(dry_run, |world| verbs::remove_drive(world, &id)).await
    }

    async fn cordon_drive(&self, request: Request<proto::CordonDriveRequest>) -> Answer<proto::Change> {
        let proto::CordonDriveRequest { id, cordoned, empty, dry_run } = request.into_inner();
        let cordon = request::cordon(cordoned, empty);
        let id = request::parsed(&id)?;
        self.carry_out(dry_run, |world| verbs::cordon_drive(world, &id, cordon)).await
    }

    async fn cordon_node(&self, request: Request<proto::CordonNodeRequest>) -> Answer<proto::Change> {
        let proto::CordonNodeRequest { name, cordoned, empty, dry_run } = request.into_inner();
        let cordon = request::cordon(cordoned, empty);
        let name = request::parsed(&name)?;
        self.carry_out(dry_run, |world| verbs::cordon_node(world, &name, cordon)).await
    }

    async fn explain(&self, request: Request<proto::ExplainRequest>) -> Answer<proto::ExplainResponse> {
        let view = self.readable()?;
        let object = request.into_inner().object;
        let peers = view.node.peers.words();
        let foreign = ledger::foreign(&view.world, &view.node.seen);
        let facts = explain::Facts {
            me: &view.me,
            now: (self.now)(),
            running: &view.node.running,
            failing: &view.node.failing,
            reasons: &view.node.reasons,
            store_lost: match &view.node.store {
                StoreHealth::Lost(why) => Some(why),
                StoreHealth::Starting | StoreHealth::Good => None,
            },
            leads: view.node.leads,
            peers: &peers,
            foreign: &foreign,
        };
        let lines =
            explain::explain(&view.world, &facts, &object).map_err(|error| status::refused(&error))?;
        Ok(answer(&view, proto::ExplainResponse { lines }))
    }

    async fn get_info(&self, request: Request<proto::GetInfoRequest>) -> Answer<proto::GetInfoResponse> {
        let (view, volume) = (self.readable()?, request.into_inner().volume);
        if !view.node.told {
            return Err(status::untold(&view.me));
        }
        if let Some((_, why)) = view.node.frozen.iter().find(|(name, _)| name.as_str() == volume) {
            return Err(status::frozen(&volume, &view.me, why));
        }
        let (node, version) = (view.me.to_string(), env!("CARGO_PKG_VERSION").to_owned());
        Ok(answer(&view, proto::GetInfoResponse { node, version }))
    }

    async fn get_capacity(
        &self,
        request: Request<proto::GetCapacityRequest>,
    ) -> Answer<proto::GetCapacityResponse> {
        let (view, question) = (self.readable()?, request::capacity(request.get_ref())?);
        let Capacity { free, largest } = capacity::of(&view.world, &question);
        let (free_bytes, largest_bytes, smallest_bytes) = (free.0, largest.0, verbs::MIN_VOLUME.0);
        Ok(answer(&view, proto::GetCapacityResponse { free_bytes, largest_bytes, smallest_bytes }))
    }

    async fn get_usage(&self, request: Request<proto::GetUsageRequest>) -> Answer<proto::GetUsageResponse> {
        let (view, name) = (self.readable()?, request::parsed(&request.get_ref().name)?);
        let used = view.node.used.get(&name).ok_or_else(|| status::not_measured(&name, &view.me))?;
        Ok(answer(&view, usage(used)))
    }

    type DumpStream = Pin<Box<dyn Stream<Item = Result<proto::DumpChunk, Status>> + Send>>;

    async fn dump(&self, _: Request<proto::DumpRequest>) -> Answer<Self::DumpStream> {
        let busy = |_| Status::resource_exhausted("dumps are being made and hang in the kernel");
        let permit = Arc::clone(&self.dumps).try_acquire_owned().map_err(busy)?;
        let view = self.seen();
        let known = dump::knowledge(&view, watch::complete(&view.world), (self.now)());
        let stream = dump::stream(self.place.clone(), known, permit)?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn preflight(&self, _: Request<proto::PreflightRequest>) -> Answer<proto::PreflightResponse> {
        let preflight = Arc::clone(&self.preflight);
        let checks = tokio::task::spawn_blocking(move || preflight())
            .await
            .map_err(|error| Status::internal(format!("preflight: {error}")))?;
        Ok(Response::new(proto::PreflightResponse { checks }))
    }
}

fn usage(Used { usage, at }: &Used) -> proto::GetUsageResponse {
    proto::GetUsageResponse {
        used_bytes: usage.used.0,
        available_bytes: usage.available.0,
        total_bytes: usage.total.0,
        used_inodes: usage.inodes_used,
        available_inodes: usage.inodes_free,
        total_inodes: usage.inodes_used.saturating_add(usage.inodes_free),
        measured_at_millis: at.0,
    }
}

/// Serves until the future is dropped; streams end with it.
pub async fn serve(api: Api, socket: &BoundSocket) -> io::Result<()> {
    let service = proto::md_fabric_server::MdFabricServer::new(api);
    let incoming = socket.incoming()?;
    let server = tonic::transport::Server::builder().add_service(service);
    server.serve_with_incoming(incoming).await.map_err(io::Error::other)
}
