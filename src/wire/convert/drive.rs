//! Drives.

use super::{FieldError, Message, twins};
use crate::domain::{Bytes, DriveSpec, DriveStatus, Timestamp};
use crate::wire::proto;

twins! {
    DriveState { Available, Foreign, Preparing, Ready, Missing, Faulty, Stuck }
}

impl From<DriveSpec> for proto::DriveSpec {
    fn from(value: DriveSpec) -> Self {
        Self {
            id: value.id.into(),
            node: value.node.into(),
            disk_guid: value.disk_guid.to_string(),
            wipe: value.wipe,
            cordoned: value.cordoned,
            evicting: value.evicting,
            removing: value.removing,
            added_at_millis: value.added_at.0,
        }
    }
}

impl TryFrom<proto::DriveSpec> for DriveSpec {
    type Error = FieldError;

    fn try_from(wire: proto::DriveSpec) -> Result<Self, FieldError> {
        let of = Message("DriveSpec");
        Ok(Self {
            id: of.text("id", &wire.id)?,
            node: of.text("node", &wire.node)?,
            disk_guid: of.text("disk_guid", &wire.disk_guid)?,
            wipe: wire.wipe,
            cordoned: wire.cordoned,
            evicting: wire.evicting,
            removing: wire.removing,
            added_at: Timestamp(wire.added_at_millis),
        })
    }
}

impl From<DriveStatus> for proto::DriveStatus {
    fn from(value: DriveStatus) -> Self {
        Self {
            node: value.node.into(),
            state: proto::DriveState::from(value.state).into(),
            model: value.model,
            capacity_bytes: value.capacity.0,
            allocated_bytes: value.allocated.0,
            free_bytes: value.free.0,
            largest_free_bytes: value.largest_free.0,
            sector_size: value.sector_size,
            read_only: value.read_only,
            health: value.health,
            found: value.found,
            message: value.message,
        }
    }
}

impl TryFrom<proto::DriveStatus> for DriveStatus {
    type Error = FieldError;

    fn try_from(wire: proto::DriveStatus) -> Result<Self, FieldError> {
        let of = Message("DriveStatus");
        Ok(Self {
            node: of.text("node", &wire.node)?,
            state: of.chosen("state", wire.state)?,
            model: wire.model,
            capacity: Bytes(wire.capacity_bytes),
            allocated: Bytes(wire.allocated_bytes),
            free: Bytes(wire.free_bytes),
            largest_free: Bytes(wire.largest_free_bytes),
            sector_size: wire.sector_size,
            read_only: wire.read_only,
            health: wire.health,
            found: wire.found,
            message: wire.message,
        })
    }
}
