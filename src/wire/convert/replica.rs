//! Replicas.

use super::{FieldError, Message, all, each, maybe, twins, words};
use crate::domain::{Bytes, Epoch, ExportTo, PartitionRecord, ReplicaSpec, ReplicaStatus, Timestamp};
use crate::wire::proto;

twins! {
    Wanted { Present, Removed }
    ReplicaState { Requested, Created, Spare, Syncing, Synced, Faulty, Missing, Replacing, Deleting }
}

impl From<ExportTo> for proto::ExportTo {
    fn from(value: ExportTo) -> Self {
        let ExportTo { node, host_nqn, epoch } = value;
        Self { node: node.into(), host_nqn, epoch: epoch.0 }
    }
}

impl TryFrom<proto::ExportTo> for ExportTo {
    type Error = FieldError;

    fn try_from(wire: proto::ExportTo) -> Result<Self, FieldError> {
        let node = Message("ExportTo").text("node", &wire.node)?;
        Ok(Self { node, host_nqn: wire.host_nqn, epoch: Epoch(wire.epoch) })
    }
}

impl From<ReplicaSpec> for proto::ReplicaSpec {
    fn from(value: ReplicaSpec) -> Self {
        Self {
            id: value.id.to_string(),
            volume: value.volume.into(),
            volume_uid: value.volume_uid.to_string(),
            node: value.node.into(),
            drives: words(value.drives),
            partition_size_bytes: value.partition_size.0,
            export: value.export.map(Into::into),
            wanted: proto::Wanted::from(value.wanted).into(),
        }
    }
}

impl TryFrom<proto::ReplicaSpec> for ReplicaSpec {
    type Error = FieldError;

    fn try_from(wire: proto::ReplicaSpec) -> Result<Self, FieldError> {
        let of = Message("ReplicaSpec");
        Ok(Self {
            id: of.text("id", &wire.id)?,
            volume: of.text("volume", &wire.volume)?,
            volume_uid: of.text("volume_uid", &wire.volume_uid)?,
            node: of.text("node", &wire.node)?,
            drives: of.texts("drives", &wire.drives)?,
            partition_size: Bytes(wire.partition_size_bytes),
            export: maybe(wire.export)?,
            wanted: of.chosen("wanted", wire.wanted)?,
        })
    }
}

impl From<PartitionRecord> for proto::PartitionRecord {
    fn from(value: PartitionRecord) -> Self {
        let PartitionRecord { guid, start, size, zeroed_to, room } = value;
        Self {
            guid: guid.to_string(),
            start_bytes: start.0,
            size_bytes: size.0,
            zeroed_to_bytes: zeroed_to.0,
            room_bytes: room.0,
        }
    }
}

impl TryFrom<proto::PartitionRecord> for PartitionRecord {
    type Error = FieldError;

    fn try_from(wire: proto::PartitionRecord) -> Result<Self, FieldError> {
        let guid = Message("PartitionRecord").text("guid", &wire.guid)?;
        Ok(Self {
            guid,
            start: Bytes(wire.start_bytes),
            size: Bytes(wire.size_bytes),
            zeroed_to: Bytes(wire.zeroed_to_bytes),
            room: Bytes(wire.room_bytes),
        })
    }
}

impl From<ReplicaStatus> for proto::ReplicaStatus {
    fn from(value: ReplicaStatus) -> Self {
        Self {
            state: proto::ReplicaState::from(value.state).into(),
            partitions: each(value.partitions),
            zeroed: value.zeroed,
            acked_epoch: value.acked_epoch.0,
            gone: value.gone,
            reason: value.reason.map(Into::into),
            of_drive: value.of_drive.map(Into::into),
            updated_at_millis: value.updated_at.0,
        }
    }
}

impl TryFrom<proto::ReplicaStatus> for ReplicaStatus {
    type Error = FieldError;

    fn try_from(wire: proto::ReplicaStatus) -> Result<Self, FieldError> {
        let of = Message("ReplicaStatus");
        Ok(Self {
            state: of.chosen("state", wire.state)?,
            partitions: all(wire.partitions)?,
            zeroed: wire.zeroed,
            acked_epoch: Epoch(wire.acked_epoch),
            gone: wire.gone,
            reason: maybe(wire.reason)?,
            of_drive: of.optional_text("of_drive", wire.of_drive.as_ref())?,
            updated_at: Timestamp(wire.updated_at_millis),
        })
    }
}
