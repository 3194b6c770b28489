//! `NodeStageVolume` and `NodeUnstageVolume`.

use std::collections::HashMap;

use tokio::time::Instant;
use tonic::Status;

use super::{EPOCH, here, known, until_gone, until_here};
use crate::capability::{Access, Capability};
use crate::cluster::{Cluster, Volume};
use crate::daemon::{Daemon, Seen};
use crate::failure::required;
use crate::wire::csi::{
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnstageVolumeRequest, NodeUnstageVolumeResponse,
};
use crate::wire::mdfabric::{MountVolumeRequest, UnmountVolumeRequest};

pub(super) async fn stage(
    daemon: &Daemon,
    request: NodeStageVolumeRequest,
    deadline: Instant,
) -> Result<NodeStageVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("staging_target_path", &request.staging_target_path)?;
    let capability = Capability::of(request.volume_capability.as_ref())?;
    let epoch = epoch(&request.publish_context)?;
    let node = daemon.node_of(id).await?;
    daemon.until(deadline, |cluster| is_known_to_be_ours(cluster, (id, &node), epoch)).await?;
    let cluster = daemon.cluster().await?;
    let fs = here(&cluster, id, &node)?.spec.fs();
    capability.suits(fs).map_err(|why| Status::invalid_argument(format!("volume {id}: {why}")))?;
    match capability.access {
        Access::Block => until_here(daemon, (id, &node), deadline, has_device).await?,
        Access::Mount { options, group, .. } => {
            let wish = MountVolumeRequest {
                name: id.to_owned(),
                path: path.to_owned(),
                read_only: false,
                options,
                group,
                node: node.clone(),
                dry_run: false,
            };
            daemon.tell(|mut client| async move { client.mount_volume(wish).await }).await?;
            until_here(daemon, (id, &node), deadline, |volume| is_mounted(volume, &node, path)).await?;
        }
    }
    Ok(NodeStageVolumeResponse {})
}

/// What the controller said of the ownership; 0 if it said nothing.
fn epoch(context: &HashMap<String, String>) -> Result<u64, Status> {
    let text = context.get(EPOCH).map_or("0", String::as_str);
    text.parse()
        .map_err(|_| Status::invalid_argument(format!("publish_context: {EPOCH}: {text:?} is no number")))
}

/// The attachment was made through another daemon: this one may hear of it later.
fn is_known_to_be_ours(cluster: &Cluster, (id, node): (&str, &str), epoch: u64) -> Seen<()> {
    let known = cluster.volume(id).and_then(|volume| volume.status).map_or(0, |status| status.epoch);
    if known < epoch {
        return Seen::NotYet(format!("{node} has not heard of ownership {epoch} of volume {id} yet"));
    }
    match here(cluster, id, node) {
        Ok(_) => Seen::There(()),
        Err(status) => Seen::Never(status),
    }
}

fn has_device(volume: Volume) -> Seen<()> {
    let node = volume.spec.attachment.as_ref().map_or("", |attachment| attachment.node.as_str());
    let status = volume.status_of_owner(node).filter(|status| status.formatted);
    match status.and_then(|status| status.array.as_ref()?.device.as_ref()) {
        Some(_) => Seen::There(()),
        None => Seen::NotYet(volume.why("its device is to be made")),
    }
}

fn is_mounted(volume: Volume, node: &str, path: &str) -> Seen<()> {
    if volume.status_of_owner(node).is_some() && volume.mounted_at() == Some(path) {
        return Seen::There(());
    }
    Seen::NotYet(volume.why(&format!("{} is to be mounted at {path}", volume.spec.name)))
}

/// What is published ends, too: nothing of it is left by then, or its owner lost count.
pub(super) async fn unstage(
    daemon: &Daemon,
    request: NodeUnstageVolumeRequest,
    deadline: Instant,
) -> Result<NodeUnstageVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("staging_target_path", &request.staging_target_path)?;
    known(daemon, id).await?;
    let node = daemon.node().await?;
    let wish = UnmountVolumeRequest {
        name: id.to_owned(),
        path: path.to_owned(),
        node: node.clone(),
        dry_run: false,
    };
    daemon.tell(|mut client| async move { client.unmount_volume(wish).await }).await?;
    daemon.node_of(id).await?;
    until_gone(daemon, (id, &node), deadline, |volume| is_unmounted(volume, path)).await?;
    Ok(NodeUnstageVolumeResponse {})
}

fn is_unmounted(volume: Volume, path: &str) -> bool {
    let Some(status) = volume.status else { return true };
    match status.mount_path.as_deref() {
        Some(mounted) => mounted != path,
        None => status.published.is_empty(),
    }
}
