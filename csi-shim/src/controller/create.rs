//! `CreateVolume`.
//!
//! ```text
//! wish -recorded-> placed: the answer.    no place for it: taken back, so that nothing stays behind of what the caller gives up
//! ```
//! Copies are carved and zeroed after the answer; whoever attaches the volume waits for that.

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::capability::Capability;
use crate::cluster::{Cluster, Volume};
use crate::daemon::{Daemon, Seen};
use crate::failure::required;
use crate::parameters::Parameters;
use crate::size::{Range, signed};
use crate::wire::csi::{self, CreateVolumeRequest, CreateVolumeResponse};
use crate::wire::mdfabric::{self, DeleteVolumeRequest, FsType};
use crate::{topology, volume_id};

/// The reason that the daemon gives when a copy finds no place.
const NO_PLACE: &str = "NoPlace";

/// A request, understood.
struct Wish {
    range: Range,
    columns: u32,
    request: mdfabric::CreateVolumeRequest,
}

pub(super) async fn create(
    daemon: &Daemon,
    request: CreateVolumeRequest,
    deadline: Instant,
) -> Result<CreateVolumeResponse, Status> {
    let Wish { range, columns, mut request } = Wish::of(&request)?;
    let there = daemon.cluster().await?;
    // What is there and large enough is what is asked for.
    let there = there.volume(&request.name).map(|volume| volume.spec.size_bytes);
    request.size_bytes = match there.filter(|size| range.holds(*size)) {
        Some(size) => size,
        None => range.size(columns, None)?,
    };
    let id = request.name.clone();
    let made = daemon.tell(|mut client| async move { client.create_volume(request).await }).await;
    if let Err(refusal) = made {
        return Err(going_or(daemon, &id, refusal).await);
    }
    placed(daemon, &id, deadline).await
}

/// A name that is still in use by a volume that goes will be free: the same call helps, later.
async fn going_or(daemon: &Daemon, id: &str, refusal: Status) -> Status {
    let going = |cluster: &Cluster| cluster.volume(id).is_some_and(|volume| volume.spec.deleting);
    match daemon.cluster().await {
        Ok(cluster) if refusal.code() == Code::AlreadyExists && going(&cluster) => {
            Status::aborted(format!("{}; it goes on by itself, ask again", refusal.message()))
        }
        _ => refusal,
    }
}

async fn placed(daemon: &Daemon, id: &str, deadline: Instant) -> Result<CreateVolumeResponse, Status> {
    let answer = daemon.until(deadline, |cluster| is_placed(cluster, id)).await;
    if answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted) {
        let request = DeleteVolumeRequest { name: id.to_owned(), dry_run: false };
        daemon.tell(|mut client| async move { client.delete_volume(request).await }).await?;
    }
    answer.map(|volume| CreateVolumeResponse { volume: Some(volume) })
}

fn is_placed(cluster: &Cluster, id: &str) -> Seen<csi::Volume> {
    let Some(volume) = cluster.volume(id).filter(|volume| !volume.spec.deleting) else {
        return Seen::Never(Status::aborted(format!("volume {id} was deleted meanwhile")));
    };
    if volume.status.is_some_and(|status| !status.members.is_empty()) {
        return Seen::There(described(volume));
    }
    match volume.reasons().iter().find(|reason| reason.code == NO_PLACE) {
        Some(reason) => Seen::Never(Status::resource_exhausted(reason.message.clone())),
        None => Seen::NotYet(volume.why(&format!("volume {id} is to be placed"))),
    }
}

/// A volume as CSI has it. It can be used on every node: where it is to be found is no property of it.
pub(super) fn described(volume: Volume) -> csi::Volume {
    csi::Volume {
        capacity_bytes: signed(volume.usable()),
        volume_id: volume.spec.name.clone(),
        ..csi::Volume::default()
    }
}

impl Wish {
    fn of(request: &CreateVolumeRequest) -> Result<Self, Status> {
        let name = volume_id::of(required("name", &request.name)?);
        let capability = Capability::all(&request.volume_capabilities)?;
        if request.volume_content_source.is_some() {
            return Err(Status::invalid_argument(
                "volume_content_source: a volume begins empty, leave it out",
            ));
        }
        let parameters = Parameters::of(&request.parameters, &request.mutable_parameters)?;
        let columns = parameters.stripe_width.unwrap_or(1);
        let range = Range::of(request.capacity_range.as_ref())?;
        range.size(columns, None)?;
        let request = mdfabric::CreateVolumeRequest {
            name,
            replicas: parameters.replicas.unwrap_or_default(),
            stripe_width: columns,
            fs: fs(&capability, parameters.fs)?.into(),
            sector_size: parameters.sector_size.unwrap_or_default().into(),
            member_missing_timeout_seconds: parameters.member_missing_timeout,
            locality: parameters.locality.unwrap_or_default().into(),
            verify: parameters.verify.unwrap_or_default().into(),
            on_store_loss: parameters.on_store_loss.unwrap_or_default().into(),
            prefer: topology::wanted(request.accessibility_requirements.as_ref()),
            ..mdfabric::CreateVolumeRequest::default()
        };
        Ok(Self { range, columns, request })
    }
}

/// What the capability says, else the parameter, else the default. A block device has none, whatever a class says that serves both.
fn fs(capability: &Capability, parameter: Option<FsType>) -> Result<FsType, Status> {
    match (capability.fs(), parameter) {
        (Some(FsType::Raw), _) => Ok(FsType::Raw),
        (Some(asked), Some(class)) if asked != class => Err(Status::invalid_argument(format!(
            "parameters: fsType is {class:?} and volume_capability.mount.fs_type {asked:?}; leave one of them out"
        ))),
        (asked, class) => Ok(asked.or(class).unwrap_or_default()),
    }
}
