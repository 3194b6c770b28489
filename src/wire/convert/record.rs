//! Any record, and its name.

use super::{FieldError, Message, Problem, twins};
use crate::domain::{Key, Record};
use crate::wire::proto;
use crate::wire::proto::stored_record::Record as Wire;

/// `StoredRecord.format` as this version writes it, and the highest it reads.
pub const STORED_FORMAT: u32 = 1;

twins! {
    Kind {
        VolumeSpec, VolumeStatus, ReplicaSpec, ReplicaStatus, DriveSpec, DriveStatus, NodeSpec, NodeStatus, Lease,
    }
}

impl From<Key> for proto::Key {
    fn from(value: Key) -> Self {
        let Key { kind, name } = value;
        Self { kind: proto::Kind::from(kind).into(), name }
    }
}

impl TryFrom<proto::Key> for Key {
    type Error = FieldError;

    fn try_from(wire: proto::Key) -> Result<Self, FieldError> {
        let kind = Message("Key").chosen("kind", wire.kind)?;
        Ok(Self { kind, name: wire.name })
    }
}

impl From<Record> for proto::StoredRecord {
    fn from(value: Record) -> Self {
        let record = match value {
            Record::VolumeSpec(record) => Wire::VolumeSpec(record.into()),
            Record::VolumeStatus(record) => Wire::VolumeStatus(record.into()),
            Record::ReplicaSpec(record) => Wire::ReplicaSpec(record.into()),
            Record::ReplicaStatus(record) => Wire::ReplicaStatus(record.into()),
            Record::DriveSpec(record) => Wire::DriveSpec(record.into()),
            Record::DriveStatus(record) => Wire::DriveStatus(record.into()),
            Record::NodeSpec(record) => Wire::NodeSpec(record.into()),
            Record::NodeStatus(record) => Wire::NodeStatus(record.into()),
            Record::Lease(record) => Wire::Lease(record.into()),
        };
        Self { format: STORED_FORMAT, record: Some(record) }
    }
}

impl TryFrom<proto::StoredRecord> for Record {
    type Error = FieldError;

    fn try_from(wire: proto::StoredRecord) -> Result<Self, FieldError> {
        let of = Message("StoredRecord");
        match wire.format {
            0 => Err(of.error("format", Problem::Missing)),
            1..=STORED_FORMAT => from_wire(of.required("record", wire.record)?),
            newer => Err(of.error("format", Problem::Unknown { value: newer.into() })),
        }
    }
}

fn from_wire(wire: Wire) -> Result<Record, FieldError> {
    Ok(match wire {
        Wire::VolumeSpec(record) => Record::VolumeSpec(record.try_into()?),
        Wire::VolumeStatus(record) => Record::VolumeStatus(record.try_into()?),
        Wire::ReplicaSpec(record) => Record::ReplicaSpec(record.try_into()?),
        Wire::ReplicaStatus(record) => Record::ReplicaStatus(record.try_into()?),
        Wire::DriveSpec(record) => Record::DriveSpec(record.try_into()?),
        Wire::DriveStatus(record) => Record::DriveStatus(record.try_into()?),
        Wire::NodeSpec(record) => Record::NodeSpec(record.try_into()?),
        Wire::NodeStatus(record) => Record::NodeStatus(record.try_into()?),
        Wire::Lease(record) => Record::Lease(record.try_into()?),
    })
}
