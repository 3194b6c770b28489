//! Requests as they come over the wire, parsed. What is wrong with one is a refusal in the user's words.

use std::str::FromStr;

use tonic::Status;

use super::status;
use crate::api::proto;
use crate::domain::{Bytes, DriveId, MountRequest, NodeName, PlacementEntry};
use crate::plan::verbs::{CreateVolume, Refusal};
use crate::wire::convert::{self, FieldError};

/// Seconds a lost replica is waited for unless the user says otherwise.
const MEMBER_MISSING_TIMEOUT_SECONDS: u32 = 900;
/// Copies unless the user says otherwise.
const REPLICAS: u32 = 2;

/// A name.
pub(super) fn parsed<T>(text: &str) -> Result<T, Status>
where
    T: FromStr,
    Refusal: From<T::Err>,
{
    text.parse().map_err(|error| status::refused(&Refusal::from(error)))
}

/// `volume create`; what is not set takes its default.
pub(super) fn create(request: &proto::CreateVolumeRequest) -> Result<CreateVolume, Status> {
    Ok(CreateVolume {
        name: parsed(&request.name)?,
        size: Bytes(request.size_bytes),
        replicas: or_default(request.replicas, REPLICAS),
        stripe_width: or_default(request.stripe_width, 1),
        fs: chosen("fs", request.fs)?,
        sector_size: chosen("sector_size", request.sector_size)?,
        member_missing_timeout_seconds: request
            .member_missing_timeout_seconds
            .unwrap_or(MEMBER_MISSING_TIMEOUT_SECONDS),
        locality: chosen("locality", request.locality)?,
        verify: chosen("verify", request.verify)?,
        on_store_loss: chosen("on_store_loss", request.on_store_loss)?,
        placement: request.placement.iter().map(place).collect::<Result<_, _>>()?,
    })
}

/// `volume mount`.
pub(super) fn mount(request: &proto::MountVolumeRequest) -> MountRequest {
    MountRequest { path: request.path.clone(), read_only: request.read_only }
}

fn or_default(number: u32, default: u32) -> u32 {
    if number == 0 { default } else { number }
}

fn chosen<T: convert::Twin + Default>(field: &'static str, value: i32) -> Result<T, Status> {
    let choice = convert::choice("CreateVolumeRequest", field, value);
    choice
        .map(Option::unwrap_or_default)
        .map_err(|error: FieldError| Status::invalid_argument(error.to_string()))
}

fn place(entry: &proto::PlacementEntry) -> Result<PlacementEntry, Status> {
    let node: NodeName = parsed(&entry.node)?;
    let drive: Option<DriveId> = entry.drive.as_deref().map(parsed).transpose()?;
    Ok(PlacementEntry { node, drive })
}
