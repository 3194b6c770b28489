//! `NodeGetVolumeStats` and `NodeExpandVolume`.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::{here, until_here};
use crate::cluster::Volume;
use crate::condition;
use crate::daemon::{Daemon, Seen};
use crate::failure::required;
use crate::size::{Range, signed};
use crate::wire::csi::volume_usage::Unit;
use crate::wire::csi::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    VolumeUsage,
};
use crate::wire::mdfabric::{GetUsageRequest, GetUsageResponse};

/// Between two looks whether a file system that was just mounted has been measured.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn stats(
    daemon: &Daemon,
    request: NodeGetVolumeStatsRequest,
    deadline: Instant,
) -> Result<NodeGetVolumeStatsResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("volume_path", &request.volume_path)?;
    let (node, cluster) = (daemon.node().await?, daemon.cluster().await?);
    let volume = seen_at(&cluster, id, &node, path)?;
    let usage = if volume.is_raw() {
        vec![VolumeUsage {
            total: signed(volume.usable()),
            unit: Unit::Bytes.into(),
            ..VolumeUsage::default()
        }]
    } else {
        of_file_system(&measured(daemon, id, deadline).await?)
    };
    Ok(NodeGetVolumeStatsResponse { usage, volume_condition: Some(condition::of(volume)) })
}

/// A volume that is seen at `path` on this node; `NotFound` for any other.
fn seen_at<'a>(
    cluster: &'a crate::cluster::Cluster,
    id: &str,
    node: &str,
    path: &str,
) -> Result<Volume<'a>, Status> {
    let nowhere = || Status::not_found(format!("volume {id} is not at {path} on {node}"));
    let volume = here(cluster, id, node).map_err(|status| match status.code() {
        Code::FailedPrecondition => nowhere(),
        _ => status,
    })?;
    let attachment = volume.attachment_on(node).ok_or_else(nowhere)?;
    let mounted = attachment.mount.iter().map(|mount| &mount.path);
    let mut places = mounted.chain(attachment.published.iter().map(|publication| &publication.path));
    places.any(|place| place == path).then_some(volume).ok_or_else(nowhere)
}

/// The first figure comes right after the mount.
async fn measured(daemon: &Daemon, id: &str, deadline: Instant) -> Result<GetUsageResponse, Status> {
    loop {
        let question = GetUsageRequest { name: id.to_owned() };
        match daemon.ask(|mut client| async move { client.get_usage(question).await }).await {
            Err(status) if status.code() == Code::FailedPrecondition && Instant::now() + LOOK < deadline => {
                sleep(LOOK).await;
            }
            answer => return answer,
        }
    }
}

fn of_file_system(usage: &GetUsageResponse) -> Vec<VolumeUsage> {
    let bytes = VolumeUsage {
        available: signed(usage.available_bytes),
        total: signed(usage.total_bytes),
        used: signed(usage.used_bytes),
        unit: Unit::Bytes.into(),
    };
    let inodes = VolumeUsage {
        available: signed(usage.available_inodes),
        total: signed(usage.total_inodes),
        used: signed(usage.used_inodes),
        unit: Unit::Inodes.into(),
    };
    vec![bytes, inodes]
}

/// The daemon has the file system follow its device by itself: here it is waited for.
pub(super) async fn expand(
    daemon: &Daemon,
    request: NodeExpandVolumeRequest,
    deadline: Instant,
) -> Result<NodeExpandVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let path = required("volume_path", &request.volume_path)?;
    let range = Range::of(request.capacity_range.as_ref())?;
    let (node, cluster) = (daemon.node().await?, daemon.cluster().await?);
    let volume = seen_at(&cluster, id, &node, path)?;
    if request.capacity_range.is_some() {
        let size = range.size(volume.spec.stripe_width, None)?;
        if size > volume.spec.size_bytes {
            return Err(Status::failed_precondition(format!(
                "volume {id} has {} bytes, and {size} are asked for; the controller makes it larger first",
                volume.spec.size_bytes
            )));
        }
    }
    let usable = until_here(daemon, (id, &node), deadline, has_grown).await?;
    Ok(NodeExpandVolumeResponse { capacity_bytes: signed(usable) })
}

fn has_grown(volume: Volume) -> Seen<u64> {
    let grows = volume.status.is_some_and(|status| status.growth.is_some());
    if !grows && volume.usable() >= volume.spec.size_bytes {
        return Seen::There(volume.usable());
    }
    Seen::NotYet(volume.why(&format!("the file system of {} is to grow", volume.spec.name)))
}
