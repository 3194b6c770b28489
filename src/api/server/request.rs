//! Requests as they come over the wire, parsed. What is wrong with one is a refusal in the user's words.

use std::str::FromStr;

use tonic::Status;

use super::status;
use crate::api::proto;
use crate::domain::{Bytes, DriveId, MountRequest, NodeName, PlacementEntry};
use crate::plan::verbs::{CreateVolume, Refusal};
use crate::wire::convert::{self, FieldError};

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
    let default = CreateVolume::new(parsed(&request.name)?, Bytes(request.size_bytes));
    Ok(CreateVolume {
        replicas: or_default(request.replicas, default.replicas),
        stripe_width: or_default(request.stripe_width, default.stripe_width),
        fs: chosen("fs", request.fs)?,
        sector_size: chosen("sector_size", request.sector_size)?,
        member_missing_timeout_seconds: request
            .member_missing_timeout_seconds
            .unwrap_or(default.member_missing_timeout_seconds),
        locality: chosen("locality", request.locality)?,
        verify: chosen("verify", request.verify)?,
        on_store_loss: chosen("on_store_loss", request.on_store_loss)?,
        placement: request.placement.iter().map(place).collect::<Result<_, _>>()?,
        ..default
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
