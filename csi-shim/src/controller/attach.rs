//! `ControllerPublishVolume` and its counterpart: a node becomes the owner, or is it no more. Every ownership has a number that is never used
//! again; providers serve the owner of the highest, and nobody else.

use tokio::time::Instant;
use tonic::Status;

use super::living;
use crate::capability::Capability;
use crate::cluster::{Cluster, Volume};
use crate::daemon::{Daemon, Seen};
use crate::failure::{gone_is_done, no_volume, required};
use crate::node::EPOCH;
use crate::volume_id;
use crate::wire::csi::{
    ControllerPublishVolumeRequest, ControllerPublishVolumeResponse, ControllerUnpublishVolumeRequest,
    ControllerUnpublishVolumeResponse,
};
use crate::wire::mdfabric::{AttachVolumeRequest, DetachVolumeRequest, VolumeStatus};

pub(super) async fn attach(
    daemon: &Daemon,
    request: ControllerPublishVolumeRequest,
    deadline: Instant,
) -> Result<ControllerPublishVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let node = required("node_id", &request.node_id)?;
    let capability = Capability::of(request.volume_capability.as_ref())?;
    if request.readonly {
        return Err(Status::invalid_argument(
            "readonly: a node gets a volume for writing, and shows it read-only where that is asked for",
        ));
    }
    let cluster = daemon.cluster().await?;
    let fs = living(&cluster, id)?.spec.fs();
    capability.suits(fs).map_err(|why| Status::invalid_argument(format!("volume {id}: {why}")))?;
    if !volume_id::is_label(node) {
        return Err(Status::not_found(format!("there is no node {node}")));
    }
    let wish = AttachVolumeRequest { name: id.to_owned(), node: node.to_owned(), dry_run: false };
    daemon.tell(|mut client| async move { client.attach_volume(wish).await }).await?;
    let epoch = daemon.until(deadline, |cluster| is_owner(cluster, id, node)).await?;
    let publish_context = [(EPOCH.to_owned(), epoch.to_string())].into();
    Ok(ControllerPublishVolumeResponse { publish_context })
}

/// The number of the ownership, once there is one.
fn is_owner(cluster: &Cluster, id: &str, node: &str) -> Seen<u64> {
    let Ok(volume) = living(cluster, id) else { return Seen::Never(no_volume(id)) };
    if volume.attachment_on(node).is_none() {
        return Seen::Never(Status::aborted(format!("volume {id} was detached from {node} meanwhile")));
    }
    match volume.status_of_owner(node) {
        Some(status) => Seen::There(status.epoch),
        None => Seen::NotYet(volume.why(&format!("{node} is to become the owner of volume {id}"))),
    }
}

/// Nothing of the kind is there any more: that is what was asked for.
pub(super) async fn detach(
    daemon: &Daemon,
    request: ControllerUnpublishVolumeRequest,
    deadline: Instant,
) -> Result<ControllerUnpublishVolumeResponse, Status> {
    let (id, node) = (required("volume_id", &request.volume_id)?, request.node_id.as_str());
    if volume_id::is_label(id) && (node.is_empty() || volume_id::is_label(node)) {
        let wish = DetachVolumeRequest { name: id.to_owned(), node: node.to_owned(), dry_run: false };
        let told = daemon.tell(|mut client| async move { client.detach_volume(wish).await }).await;
        if gone_is_done(told)?.is_some() {
            daemon.until(deadline, |cluster| is_detached(cluster, id, node)).await?;
        }
    }
    Ok(ControllerUnpublishVolumeResponse {})
}

/// Its owner has let go of it, or is taken for dead and fenced off. One that goes on owning it to look after its copies has it mounted nowhere;
/// whoever gets it next takes it over from there.
fn is_detached(cluster: &Cluster, id: &str, node: &str) -> Seen<()> {
    let Some(volume) = cluster.volume(id) else { return Seen::There(()) };
    let attached = volume.spec.attachment.as_ref().map(|attachment| attachment.node.as_str());
    match attached {
        Some(other) if node.is_empty() || other == node => {
            return Seen::Never(Status::aborted(format!("volume {id} was attached on {other} meanwhile")));
        }
        Some(_) | None => {}
    }
    match volume.status.filter(|status| is_used(status, node)) {
        None => Seen::There(()),
        Some(_) => Seen::NotYet(still_used(volume, id)),
    }
}

fn is_used(status: &VolumeStatus, node: &str) -> bool {
    let owns = status.owner.as_ref().is_some_and(|owner| node.is_empty() || owner == node);
    owns && (status.mount_path.is_some() || !status.published.is_empty())
}

fn still_used(volume: Volume, id: &str) -> String {
    let owner = volume.status.and_then(|status| status.owner.as_deref()).unwrap_or("nobody");
    volume.why(&format!("{owner} still has volume {id} mounted"))
}
