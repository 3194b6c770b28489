//! Volumes on this node. The daemon mounts and shows them; here it is told to, and waited for.
//!
//! ```text
//! stage: mounted at the staging path, once; a raw volume: its device is there      publish: shown at a target path, any number of times
//! ```
//! What a node takes away is only ever its own: a volume that is attached elsewhere by now is left alone.

mod publish;
mod stage;
mod stats;

use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::cluster::{Cluster, Volume};
use crate::controller::living;
use crate::daemon::{Daemon, Seen};
use crate::deadline;
use crate::failure::{Answer, no_volume, told};
use crate::topology;
use crate::wire::csi::node_server::Node;
use crate::wire::csi::node_service_capability::{self, Rpc, rpc};
use crate::wire::csi::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability,
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse,
};

/// What the controller tells the node of an attachment: the number of the ownership.
pub const EPOCH: &str = "mdfabric.io/epoch";

/// What there is.
const CAPABILITIES: [rpc::Type; 6] = [
    rpc::Type::StageUnstageVolume,
    rpc::Type::GetVolumeStats,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::SingleNodeMultiWriter,
    rpc::Type::VolumeMountGroup,
];

/// A volume that is attached on this node.
fn here<'a>(cluster: &'a Cluster, id: &str, node: &str) -> Result<Volume<'a>, Status> {
    let volume = living(cluster, id)?;
    if volume.attachment_on(node).is_some() {
        return Ok(volume);
    }
    Err(Status::failed_precondition(format!("volume {id} is not attached on {node}")))
}

/// Waits until `look` finds what it looks for of a volume that has to stay attached here meanwhile.
async fn until_here<T: Send>(
    daemon: &Daemon,
    (id, node): (&str, &str),
    deadline: Instant,
    look: impl Fn(Volume) -> Seen<T> + Send + Sync,
) -> Result<T, Status> {
    let seen = |cluster: &Cluster| match here(cluster, id, node) {
        Ok(volume) => look(volume),
        Err(status) => Seen::Never(status),
    };
    daemon.until(deadline, seen).await
}

/// Waits until `is_gone` of a volume as long as this node has anything of it.
async fn until_gone(
    daemon: &Daemon,
    (id, node): (&str, &str),
    deadline: Instant,
    is_gone: impl Fn(Volume) -> bool + Send + Sync,
) -> Result<(), Status> {
    let seen = |cluster: &Cluster| match cluster.volume(id) {
        Some(volume) if volume.status_of_owner(node).is_some() && !is_gone(volume) => {
            Seen::NotYet(volume.why(&format!("{node} still has volume {id} in use")))
        }
        _ => Seen::There(()),
    };
    daemon.until(deadline, seen).await
}

/// A volume that there is: what is asked of any other one is an error, not done.
async fn known(daemon: &Daemon, id: &str) -> Result<(), Status> {
    daemon.cluster().await?.volume(id).map(drop).ok_or_else(|| no_volume(id))
}

#[tonic::async_trait]
impl Node for Daemon {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Answer<NodeStageVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodeStageVolume", &id, stage::stage(self, request, deadline)).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Answer<NodeUnstageVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodeUnstageVolume", &id, stage::unstage(self, request, deadline)).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Answer<NodePublishVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodePublishVolume", &id, publish::publish(self, request, deadline)).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Answer<NodeUnpublishVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodeUnpublishVolume", &id, publish::unpublish(self, request, deadline)).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<NodeGetVolumeStatsRequest>,
    ) -> Answer<NodeGetVolumeStatsResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodeGetVolumeStats", &id, stats::stats(self, request, deadline)).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<NodeExpandVolumeRequest>,
    ) -> Answer<NodeExpandVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("NodeExpandVolume", &id, stats::expand(self, request, deadline)).await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Answer<NodeGetCapabilitiesResponse> {
        let capability = |kind: rpc::Type| NodeServiceCapability {
            r#type: Some(node_service_capability::Type::Rpc(Rpc { r#type: kind.into() })),
        };
        Ok(Response::new(NodeGetCapabilitiesResponse { capabilities: CAPABILITIES.map(capability).into() }))
    }

    async fn node_get_info(&self, _: Request<NodeGetInfoRequest>) -> Answer<NodeGetInfoResponse> {
        let node_id = self.node().await?;
        let accessible_topology = Some(topology::of(&node_id));
        Ok(Response::new(NodeGetInfoResponse { node_id, max_volumes_per_node: 0, accessible_topology }))
    }
}
