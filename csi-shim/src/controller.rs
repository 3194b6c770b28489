//! Volumes of the cluster. Every call can be repeated, and made by several at once: what it asks for is one of the daemon's verbs, each
//! of which is done already when it is asked for again, and is decided from records that nobody else changed meanwhile. A call
//! that was cut off left a record behind, or nothing.

mod attach;
mod capacity;
mod change;
mod create;
mod delete;
mod list;

use tonic::{Request, Response, Status};

use crate::capability::Capability;
use crate::cluster::{Cluster, Volume};
use crate::daemon::Daemon;
use crate::deadline;
use crate::failure::{Answer, no_volume, required, told};
use crate::parameters::Parameters;
use crate::wire::csi::controller_server::Controller;
use crate::wire::csi::controller_service_capability::{self, Rpc, rpc};
use crate::wire::csi::validate_volume_capabilities_response::Confirmed;
use crate::wire::csi::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetCapabilitiesRequest,
    ControllerGetCapabilitiesResponse, ControllerGetVolumeRequest, ControllerGetVolumeResponse,
    ControllerModifyVolumeRequest, ControllerModifyVolumeResponse, ControllerPublishVolumeRequest,
    ControllerPublishVolumeResponse, ControllerServiceCapability, ControllerUnpublishVolumeRequest,
    ControllerUnpublishVolumeResponse, CreateSnapshotRequest, CreateSnapshotResponse, CreateVolumeRequest,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, GetCapacityRequest, GetCapacityResponse, GetSnapshotRequest, GetSnapshotResponse,
    ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest, ListVolumesResponse,
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse,
};

/// What there is.
const CAPABILITIES: [rpc::Type; 10] = [
    rpc::Type::CreateDeleteVolume,
    rpc::Type::PublishUnpublishVolume,
    rpc::Type::ListVolumes,
    rpc::Type::ListVolumesPublishedNodes,
    rpc::Type::GetVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::GetCapacity,
    rpc::Type::ExpandVolume,
    rpc::Type::ModifyVolume,
    rpc::Type::SingleNodeMultiWriter,
];

/// A volume that is not going.
pub(crate) fn living<'a>(cluster: &'a Cluster, id: &str) -> Result<Volume<'a>, Status> {
    cluster.volume(id).filter(|volume| !volume.spec.deleting).ok_or_else(|| no_volume(id))
}

async fn confirm(
    daemon: &Daemon,
    request: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
    let id = required("volume_id", &request.volume_id)?;
    if request.volume_capabilities.is_empty() {
        return Err(crate::failure::missing("volume_capabilities"));
    }
    let cluster = daemon.cluster().await?;
    let volume = living(&cluster, id)?;
    let fits = |wanted| {
        let capability =
            Capability::of(Some(wanted)).map_err(|status: Status| status.message().to_owned())?;
        capability.suits(volume.spec.fs())
    };
    let parameters = Parameters::of(&request.parameters, &request.mutable_parameters);
    let unknown = parameters.map(drop).map_err(|status| status.message().to_owned());
    let message = request.volume_capabilities.iter().map(fits).chain([unknown]).find_map(Result::err);
    let confirmed = message.is_none().then_some(Confirmed {
        volume_context: request.volume_context,
        volume_capabilities: request.volume_capabilities,
        parameters: request.parameters,
        mutable_parameters: request.mutable_parameters,
    });
    Ok(ValidateVolumeCapabilitiesResponse { confirmed, message: message.unwrap_or_default() })
}

fn no_snapshots<T>() -> Answer<T> {
    Err(Status::unimplemented("there are no snapshots"))
}

#[tonic::async_trait]
impl Controller for Daemon {
    async fn create_volume(&self, request: Request<CreateVolumeRequest>) -> Answer<CreateVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let name = request.name.clone();
        told("CreateVolume", &name, create::create(self, request, deadline)).await
    }

    async fn delete_volume(&self, request: Request<DeleteVolumeRequest>) -> Answer<DeleteVolumeResponse> {
        let (deadline, id) = (deadline::of(request.metadata()), request.into_inner().volume_id);
        told("DeleteVolume", &id, delete::delete(self, &id, deadline)).await
    }

    async fn controller_publish_volume(
        &self,
        request: Request<ControllerPublishVolumeRequest>,
    ) -> Answer<ControllerPublishVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("ControllerPublishVolume", &id, attach::attach(self, request, deadline)).await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<ControllerUnpublishVolumeRequest>,
    ) -> Answer<ControllerUnpublishVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("ControllerUnpublishVolume", &id, attach::detach(self, request, deadline)).await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Answer<ValidateVolumeCapabilitiesResponse> {
        let request = request.into_inner();
        let id = request.volume_id.clone();
        told("ValidateVolumeCapabilities", &id, confirm(self, request)).await
    }

    async fn list_volumes(&self, request: Request<ListVolumesRequest>) -> Answer<ListVolumesResponse> {
        told("ListVolumes", "", list::list(self, request.into_inner())).await
    }

    async fn controller_get_volume(
        &self,
        request: Request<ControllerGetVolumeRequest>,
    ) -> Answer<ControllerGetVolumeResponse> {
        let id = request.into_inner().volume_id;
        told("ControllerGetVolume", &id, list::one(self, &id)).await
    }

    async fn get_capacity(&self, request: Request<GetCapacityRequest>) -> Answer<GetCapacityResponse> {
        told("GetCapacity", "", capacity::capacity(self, request.into_inner())).await
    }

    async fn controller_expand_volume(
        &self,
        request: Request<ControllerExpandVolumeRequest>,
    ) -> Answer<ControllerExpandVolumeResponse> {
        let (deadline, request) = (deadline::of(request.metadata()), request.into_inner());
        let id = request.volume_id.clone();
        told("ControllerExpandVolume", &id, change::expand(self, request, deadline)).await
    }

    async fn controller_modify_volume(
        &self,
        request: Request<ControllerModifyVolumeRequest>,
    ) -> Answer<ControllerModifyVolumeResponse> {
        let request = request.into_inner();
        let id = request.volume_id.clone();
        told("ControllerModifyVolume", &id, change::modify(self, request)).await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Answer<ControllerGetCapabilitiesResponse> {
        let capability = |kind: rpc::Type| ControllerServiceCapability {
            r#type: Some(controller_service_capability::Type::Rpc(Rpc { r#type: kind.into() })),
        };
        let capabilities = CAPABILITIES.map(capability).into();
        Ok(Response::new(ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn create_snapshot(&self, _: Request<CreateSnapshotRequest>) -> Answer<CreateSnapshotResponse> {
        no_snapshots()
    }

    async fn delete_snapshot(&self, _: Request<DeleteSnapshotRequest>) -> Answer<DeleteSnapshotResponse> {
        no_snapshots()
    }

    async fn list_snapshots(&self, _: Request<ListSnapshotsRequest>) -> Answer<ListSnapshotsResponse> {
        no_snapshots()
    }

    async fn get_snapshot(&self, _: Request<GetSnapshotRequest>) -> Answer<GetSnapshotResponse> {
        no_snapshots()
    }
}
