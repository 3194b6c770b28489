//! `ControllerExpandVolume` and `ControllerModifyVolume`.

use tokio::time::Instant;
use tonic::Status;

use super::living;
use crate::cluster::Cluster;
use crate::daemon::{Daemon, Seen};
use crate::failure::{missing, no_volume, required};
use crate::parameters::Parameters;
use crate::size::{Range, signed};
use crate::wire::csi::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerModifyVolumeRequest,
    ControllerModifyVolumeResponse,
};
use crate::wire::mdfabric::{EditVolumeRequest, GrowVolumeRequest};

/// Done when the device is as large. Its file system follows, on the node that has it mounted.
pub(super) async fn expand(
    daemon: &Daemon,
    request: ControllerExpandVolumeRequest,
    deadline: Instant,
) -> Result<ControllerExpandVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let range = request.capacity_range.ok_or_else(|| missing("capacity_range"))?;
    let cluster = daemon.cluster().await?;
    let volume = living(&cluster, id)?;
    let (has, columns) = (volume.spec.size_bytes, volume.spec.stripe_width);
    let size_bytes = Range::of(Some(&range))?.size(columns, Some(has))?;
    if size_bytes > has {
        let wish = GrowVolumeRequest { name: id.to_owned(), size_bytes, more_bytes: 0, dry_run: false };
        daemon.tell(|mut client| async move { client.grow_volume(wish).await }).await?;
    }
    let usable = daemon.until(deadline, |cluster| has_grown(cluster, id, size_bytes)).await?;
    let node_expansion_required = !volume.is_raw();
    Ok(ControllerExpandVolumeResponse { capacity_bytes: signed(usable), node_expansion_required })
}

fn has_grown(cluster: &Cluster, id: &str, size: u64) -> Seen<u64> {
    let Ok(volume) = living(cluster, id) else { return Seen::Never(no_volume(id)) };
    // Without a status nothing is made yet, and will be made that large.
    if volume.usable() >= size {
        return Seen::There(volume.usable());
    }
    Seen::NotYet(volume.why(&format!("volume {id} grows from {} to {size} bytes", volume.usable())))
}

/// Done when it is recorded. That a copy more is filled, or one is dropped, may take hours, and is told by the volume's condition.
pub(super) async fn modify(
    daemon: &Daemon,
    request: ControllerModifyVolumeRequest,
) -> Result<ControllerModifyVolumeResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    let changes = Parameters::changes(&request.mutable_parameters)?;
    living(&daemon.cluster().await?, id)?;
    let wish = EditVolumeRequest {
        name: id.to_owned(),
        replicas: changes.replicas,
        member_missing_timeout_seconds: changes.member_missing_timeout,
        locality: changes.locality.unwrap_or_default().into(),
        verify: changes.verify.unwrap_or_default().into(),
        on_store_loss: changes.on_store_loss.unwrap_or_default().into(),
        ..EditVolumeRequest::default()
    };
    if changes != Parameters::default() {
        daemon.tell(|mut client| async move { client.edit_volume(wish).await }).await?;
    }
    Ok(ControllerModifyVolumeResponse {})
}
