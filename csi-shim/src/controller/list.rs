//! `ListVolumes` and `ControllerGetVolume`.

use tonic::Status;

use super::create::described;
use super::living;
use crate::cluster::Volume;
use crate::condition;
use crate::daemon::Daemon;
use crate::failure::required;
use crate::wire::csi::{
    ControllerGetVolumeResponse, ListVolumesRequest, ListVolumesResponse, controller_get_volume_response,
    list_volumes_response,
};

/// What stands before the name of the last volume that was listed.
const TOKEN: &str = "after/";

pub(super) async fn list(
    daemon: &Daemon,
    request: ListVolumesRequest,
) -> Result<ListVolumesResponse, Status> {
    let after = last_listed(&request.starting_token)?;
    let most = usize::try_from(request.max_entries).map_err(|_| {
        Status::invalid_argument(format!("max_entries: {} is no number of entries", request.max_entries))
    })?;
    let cluster = daemon.cluster().await?;
    let all = cluster.volumes().filter(|volume| !volume.spec.deleting);
    let mut rest =
        all.filter(|volume| after.is_none_or(|after| volume.spec.name.as_str() > after)).peekable();
    let most = if most == 0 { usize::MAX } else { most };
    let entries: Vec<_> = rest.by_ref().take(most).map(entry).collect();
    let last = entries.last().and_then(|entry| entry.volume.as_ref());
    let last = last.filter(|_| rest.peek().is_some());
    let next_token = last.map(|volume| format!("{TOKEN}{}", volume.volume_id)).unwrap_or_default();
    Ok(ListVolumesResponse { entries, next_token })
}

/// A volume that is gone by now is as good a place to go on from: the list is in the order of names.
fn last_listed(token: &str) -> Result<Option<&str>, Status> {
    match token.strip_prefix(TOKEN) {
        None if token.is_empty() => Ok(None),
        None => Err(Status::aborted(format!("starting_token: {token:?} is none of ours; begin without one"))),
        after => Ok(after),
    }
}

/// Where it is meant to be, as with the attachment itself: whether its owner has it already is its condition.
fn published_nodes(volume: Volume) -> Vec<String> {
    volume.spec.attachment.iter().map(|attachment| attachment.node.clone()).collect()
}

fn entry(volume: Volume) -> list_volumes_response::Entry {
    let status = list_volumes_response::VolumeStatus {
        published_node_ids: published_nodes(volume),
        volume_condition: Some(condition::of(volume)),
    };
    list_volumes_response::Entry { volume: Some(described(volume)), status: Some(status) }
}

pub(super) async fn one(daemon: &Daemon, id: &str) -> Result<ControllerGetVolumeResponse, Status> {
    let cluster = daemon.cluster().await?;
    let volume = living(&cluster, required("volume_id", id)?)?;
    let status = controller_get_volume_response::VolumeStatus {
        published_node_ids: published_nodes(volume),
        volume_condition: Some(condition::of(volume)),
    };
    Ok(ControllerGetVolumeResponse { volume: Some(described(volume)), status: Some(status) })
}
