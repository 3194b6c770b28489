//! Requests as they come over the wire, parsed. What is wrong with one is a refusal in the user's words.

use std::str::FromStr;

use tonic::Status;
use tonic::transport::server::UdsConnectInfo;

use super::status;
use crate::api::proto;
use crate::domain::{Bytes, DriveId, MountRequest, NodeName, PlacementEntry, ScrubRequest};
use crate::plan::capacity::Question;
use crate::plan::verbs::{Cordon, CreateVolume, EditVolume, NewSize, Refusal, Scrub};
use crate::wire::convert::{self, FieldError};

const CREATE: &str = "CreateVolumeRequest";
const EDIT: &str = "EditVolumeRequest";

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
        fs: chosen(CREATE, "fs", request.fs)?.unwrap_or_default(),
        sector_size: chosen(CREATE, "sector_size", request.sector_size)?.unwrap_or_default(),
        member_missing_timeout_seconds: request
            .member_missing_timeout_seconds
            .unwrap_or(default.member_missing_timeout_seconds),
        locality: chosen(CREATE, "locality", request.locality)?.unwrap_or_default(),
        verify: chosen(CREATE, "verify", request.verify)?.unwrap_or_default(),
        on_store_loss: chosen(CREATE, "on_store_loss", request.on_store_loss)?.unwrap_or_default(),
        placement: places(&request.placement)?,
        prefer: request.prefer.iter().map(|node| parsed(node)).collect::<Result<_, _>>()?,
        ..default
    })
}

/// `volume edit`; what is not set stays as it is.
pub(super) fn edit(request: &proto::EditVolumeRequest) -> Result<EditVolume, Status> {
    Ok(EditVolume {
        name: parsed(&request.name)?,
        add: places(&request.add)?,
        remove: places(&request.remove)?,
        replicas: request.replicas,
        member_missing_timeout_seconds: request.member_missing_timeout_seconds,
        locality: chosen(EDIT, "locality", request.locality)?,
        verify: chosen(EDIT, "verify", request.verify)?,
        on_store_loss: chosen(EDIT, "on_store_loss", request.on_store_loss)?,
    })
}

/// `volume grow`.
pub(super) fn new_size(request: &proto::GrowVolumeRequest) -> Result<NewSize, Status> {
    match (request.size_bytes, request.more_bytes) {
        (size, 0) => Ok(NewSize::Of(Bytes(size))),
        (0, more) => Ok(NewSize::More(Bytes(more))),
        _ => Err(Status::invalid_argument(
            "GrowVolumeRequest: one of size_bytes and more_bytes is set, not both",
        )),
    }
}

/// `volume scrub`.
pub(super) fn scrub(request: &proto::ScrubVolumeRequest) -> Result<Scrub, Status> {
    match (request.every_seconds, request.stop, request.repair) {
        (Some(every_seconds), false, false) => {
            let asked = ScrubRequest { every_seconds, ..ScrubRequest::default() };
            let bad = |error| Status::invalid_argument(format!("ScrubVolumeRequest.every_seconds: {error}"));
            asked.schedule().map(|_| Scrub::Every(every_seconds)).map_err(bad)
        }
        (None, true, false) => Ok(Scrub::Stop),
        (None, false, repair) => Ok(Scrub::Begin { repair }),
        _ => {
            Err(Status::invalid_argument("ScrubVolumeRequest: one of every_seconds, stop and repair is set"))
        }
    }
}

/// `volume mount`.
pub(super) fn mount(request: &proto::MountVolumeRequest) -> MountRequest {
    let proto::MountVolumeRequest { path, read_only, options, group, .. } = request.clone();
    MountRequest { path, read_only, options, group }
}

/// The node a verb is bound to, if it is.
pub(super) fn node(text: &str) -> Result<Option<NodeName>, Status> {
    (!text.is_empty()).then(|| parsed(text)).transpose()
}

/// What there shall be room for; what is not set is as of a volume that is created.
pub(super) fn capacity(request: &proto::GetCapacityRequest) -> Result<Question, Status> {
    let default = CreateVolume::new(parsed("any")?, Bytes(0));
    let stripe_width = or_default(request.stripe_width, default.stripe_width);
    Ok(Question {
        node: node(&request.node)?,
        replicas: or_default(request.replicas, default.replicas),
        stripe_width: u8::try_from(stripe_width).unwrap_or(u8::MAX),
        sector_size: chosen("GetCapacityRequest", "sector_size", request.sector_size)?.unwrap_or_default(),
    })
}

fn or_default(number: u32, default: u32) -> u32 {
    if number == 0 { default } else { number }
}

fn chosen<T: convert::Twin>(
    message: &'static str,
    field: &'static str,
    value: i32,
) -> Result<Option<T>, Status> {
    let choice = convert::choice(message, field, value);
    choice.map_err(|error: FieldError| Status::invalid_argument(error.to_string()))
}

fn places(entries: &[proto::PlacementEntry]) -> Result<Vec<PlacementEntry>, Status> {
    entries.iter().map(place).collect()
}

fn place(entry: &proto::PlacementEntry) -> Result<PlacementEntry, Status> {
    let node: NodeName = parsed(&entry.node)?;
    let drive: Option<DriveId> = entry.drive.as_deref().map(parsed).transpose()?;
    Ok(PlacementEntry { node, drive })
}

/// Emptying is more than cordoning.
pub(super) fn cordon(cordoned: bool, empty: bool) -> Cordon {
    match (cordoned, empty) {
        (_, true) => Cordon::Empty,
        (true, false) => Cordon::On,
        (false, false) => Cordon::Off,
    }
}

/// Who is at the other end of the socket, as the kernel says.
pub(super) fn asker<T>(request: &tonic::Request<T>) -> String {
    let info = request.extensions().get::<UdsConnectInfo>();
    let cred = info.and_then(|info| info.peer_cred);
    cred.map_or_else(|| "nobody known".to_owned(), |cred| format!("uid {}", cred.uid()))
}
