//! `GetCapacity`: of a node, with the room that the other copies need elsewhere.

use tonic::Status;

use crate::capability::Capability;
use crate::daemon::Daemon;
use crate::parameters::Parameters;
use crate::size::signed;
use crate::topology;
use crate::wire::csi::{GetCapacityRequest, GetCapacityResponse};
use crate::wire::mdfabric;

pub(super) async fn capacity(
    daemon: &Daemon,
    request: GetCapacityRequest,
) -> Result<GetCapacityResponse, Status> {
    if !request.volume_capabilities.is_empty() {
        Capability::all(&request.volume_capabilities)?;
    }
    let parameters = Parameters::of(&request.parameters, &std::collections::HashMap::new())?;
    let question = mdfabric::GetCapacityRequest {
        node: request.accessible_topology.as_ref().and_then(topology::node).unwrap_or_default().to_owned(),
        replicas: parameters.replicas.unwrap_or_default(),
        stripe_width: parameters.stripe_width.unwrap_or_default(),
        sector_size: parameters.sector_size.unwrap_or_default().into(),
    };
    let capacity = daemon.ask(|mut client| async move { client.get_capacity(question).await }).await?;
    Ok(GetCapacityResponse {
        available_capacity: signed(capacity.free_bytes),
        maximum_volume_size: Some(signed(capacity.largest_bytes)),
        minimum_volume_size: Some(signed(capacity.smallest_bytes)),
    })
}
