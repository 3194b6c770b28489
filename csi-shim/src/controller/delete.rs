//! `DeleteVolume`. Space comes back when every provider has erased its copy; one that is down does that when it is back. Nobody waits.

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::cluster::Cluster;
use crate::daemon::{Daemon, Seen};
use crate::failure::required;
use crate::volume_id;
use crate::wire::csi::DeleteVolumeResponse;
use crate::wire::mdfabric::DeleteVolumeRequest;

/// What is not there is deleted. One that its last owner has not released yet is waited for; one that is attached is refused.
pub(super) async fn delete(
    daemon: &Daemon,
    id: &str,
    deadline: Instant,
) -> Result<DeleteVolumeResponse, Status> {
    if !volume_id::is_label(required("volume_id", id)?) {
        return Ok(DeleteVolumeResponse {});
    }
    loop {
        let request = DeleteVolumeRequest { name: id.to_owned(), dry_run: false };
        match daemon.tell(|mut client| async move { client.delete_volume(request).await }).await {
            Err(refusal) if refusal.code() == Code::FailedPrecondition => {
                daemon.until(deadline, |cluster| is_released(cluster, id, &refusal)).await?;
            }
            done => return done.map(|_| DeleteVolumeResponse {}),
        }
    }
}

fn is_released(cluster: &Cluster, id: &str, refusal: &Status) -> Seen<()> {
    let Some(volume) = cluster.volume(id) else { return Seen::There(()) };
    if volume.spec.attachment.is_some() {
        return Seen::Never(refusal.clone());
    }
    match volume.status.and_then(|status| status.owner.as_ref()) {
        None => Seen::There(()),
        Some(owner) => Seen::NotYet(volume.why(&format!("{owner} has not released volume {id} yet"))),
    }
}
