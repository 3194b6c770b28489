//! `NodePublishVolume` and `NodeUnpublishVolume`.

use tokio::time::Instant;
use tonic::Status;

use super::{here, known, until_gone, until_here};
use crate::capability::Capability;
use crate::cluster::Volume;
use crate::daemon::{Daemon, Seen};
use crate::failure::required;
use crate::wire::csi::{
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse,
};
use crate::wire::mdfabric::{PublishVolumeRequest, UnpublishVolumeRequest};

pub(super) async fn publish(
    daemon: &Daemon,
    request: NodePublishVolumeRequest,
    deadline: Instant,
) -> Result<NodePublishVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("target_path", &request.target_path)?;
    let capability = Capability::of(request.volume_capability.as_ref())?;
    if request.staging_target_path.is_empty() {
        return Err(Status::failed_precondition("staging_target_path is missing: stage the volume first"));
    }
    let (node, cluster) = (daemon.node_of(id).await?, daemon.cluster().await?);
    let fs = here(&cluster, id, &node)?.spec.fs();
    capability.suits(fs).map_err(|why| Status::invalid_argument(format!("volume {id}: {why}")))?;
    let wish = PublishVolumeRequest {
        name: id.to_owned(),
        node: node.clone(),
        path: path.to_owned(),
        read_only: request.readonly || capability.read_only,
        alone: capability.alone,
        dry_run: false,
    };
    daemon.tell(|mut client| async move { client.publish_volume(wish).await }).await?;
    until_here(daemon, (id, &node), deadline, |volume| is_shown(volume, &node, path)).await?;
    Ok(NodePublishVolumeResponse {})
}

fn is_shown(volume: Volume, node: &str, path: &str) -> Seen<()> {
    let places = volume.status_of_owner(node).map_or(&[][..], |status| &status.published);
    if places.iter().any(|place| place.path == path && place.shown) {
        return Seen::There(());
    }
    Seen::NotYet(volume.why(&format!("{} is to be published at {path}", volume.spec.name)))
}

pub(super) async fn unpublish(
    daemon: &Daemon,
    request: NodeUnpublishVolumeRequest,
    deadline: Instant,
) -> Result<NodeUnpublishVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("target_path", &request.target_path)?;
    known(daemon, id).await?;
    let node = daemon.node().await?;
    let wish = UnpublishVolumeRequest {
        name: id.to_owned(),
        node: node.clone(),
        path: path.to_owned(),
        dry_run: false,
    };
    daemon.tell(|mut client| async move { client.unpublish_volume(wish).await }).await?;
    daemon.node_of(id).await?;
    let is_left = |volume: Volume| {
        volume.status.is_some_and(|status| status.published.iter().any(|place| place.path == path))
    };
    until_gone(daemon, (id, &node), deadline, |volume| !is_left(volume)).await?;
    Ok(NodeUnpublishVolumeResponse {})
}
