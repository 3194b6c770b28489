//! The replica: one copy of a volume on one node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Bytes, DriveId, Epoch, MemberState, NodeName, Reason, ReplicaId, Timestamp, VolumeName, VolumeStatus,
    VolumeUid, partition_guid,
};

/// Whom a provider serves a replica to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportTo {
    /// The owner.
    pub node: NodeName,
    /// The NVMe host name it connects with.
    pub host_nqn: String,
    /// Its ownership; every earlier one is fenced.
    pub epoch: Epoch,
}

/// Whether a replica shall exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Wanted {
    /// It shall.
    #[default]
    Present,
    /// It shall go, its data unreadable and its space free.
    Removed,
}

/// What a provider shall do. Written by whoever writes the volume's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSpec {
    /// Identity.
    pub id: ReplicaId,
    /// Its volume.
    pub volume: VolumeName,
    /// Its volume's identity.
    pub volume_uid: VolumeUid,
    /// Provider.
    pub node: NodeName,
    /// One drive per column.
    pub drives: Vec<DriveId>,
    /// Size of each column's partition.
    pub partition_size: Bytes,
    /// Whom it is served to.
    pub export: Option<ExportTo>,
    /// Whether it shall exist.
    pub wanted: Wanted,
}

impl ReplicaSpec {
    /// The replica's partitions: GUID and drive, by column.
    pub fn partitions(&self) -> impl Iterator<Item = (Uuid, &DriveId)> {
        (0u8..).zip(&self.drives).map(|(column, drive)| (partition_guid(self.id, column), drive))
    }
}

/// The replica STATE words of seed A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ReplicaState {
    /// Written down, not carved.
    #[default]
    Requested,
    /// Carved and zeroed.
    Created,
    /// In the array, empty.
    Spare,
    /// Being filled.
    Syncing,
    /// Holds every acknowledged write.
    Synced,
    /// Failed.
    Faulty,
    /// Lost.
    Missing,
    /// Taking over from another, or being taken over.
    Replacing,
    /// Going.
    Deleting,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Requested => "Requested",
            Self::Created => "Created",
            Self::Spare => "Spare",
            Self::Syncing => "Syncing",
            Self::Synced => "Synced",
            Self::Faulty => "Faulty",
            Self::Missing => "Missing",
            Self::Replacing => "Replacing",
            Self::Deleting => "Deleting",
        })
    }
}

/// Where a provider's fabric target listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// IP address.
    pub address: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The UDP port of the node's heartbeats: the one after the target's, or before it where there is none.
    #[must_use]
    pub fn heartbeat_port(&self) -> u16 {
        self.port.checked_add(1).unwrap_or(self.port - 1)
    }
}

/// A carved partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionRecord {
    /// Partition GUID.
    pub guid: Uuid,
    /// First byte on the drive.
    pub start: Bytes,
    /// Length.
    pub size: Bytes,
    /// How much of it was zeroed and read back before anybody used it, and is known to whoever it is served to.
    #[serde(default)]
    pub zeroed_to: Bytes,
    /// The length it could have where it lies.
    #[serde(default)]
    pub room: Bytes,
}

/// What a provider made of it. Written by the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Requested, Created, Missing, Faulty or Deleting; the rest is the owner's knowledge ([`super::MemberState`]).
    pub state: ReplicaState,
    /// One per column, once carved.
    pub partitions: Vec<PartitionRecord>,
    /// Every column was zeroed and read back.
    pub zeroed: bool,
    /// The highest epoch this provider has fenced for: nobody of an earlier one can reach the replica.
    pub acked_epoch: Epoch,
    /// Wiped, and its partitions are gone.
    pub gone: bool,
    /// What is in the way.
    pub reason: Option<Reason>,
    /// The drive that this is about; `None` where it is about none in particular.
    #[serde(default)]
    pub of_drive: Option<DriveId>,
    /// When the state last changed.
    pub updated_at: Timestamp,
}

/// A replica: what it shall be and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// What it shall be.
    pub spec: ReplicaSpec,
    /// What it is; `None` until its provider wrote something.
    pub status: Option<ReplicaStatus>,
}

impl Replica {
    /// STATE: what the provider says of a replica that is not whole, else what the owner says of its member.
    #[must_use]
    pub fn word(&self, volume: Option<&VolumeStatus>) -> ReplicaState {
        if self.spec.wanted == Wanted::Removed {
            return ReplicaState::Deleting;
        }
        let provider = self.status.as_ref().map(|status| status.state).unwrap_or_default();
        match provider {
            ReplicaState::Requested
            | ReplicaState::Missing
            | ReplicaState::Faulty
            | ReplicaState::Deleting => provider,
            ReplicaState::Created
            | ReplicaState::Spare
            | ReplicaState::Syncing
            | ReplicaState::Synced
            | ReplicaState::Replacing => {
                volume.map_or(ReplicaState::Created, |volume| member_word(volume, self.spec.id))
            }
        }
    }

    /// USED: what is in use in the volume's file system, of a copy that has all of it. What one has that is being filled, or
    /// was left behind, nobody knows.
    #[must_use]
    pub fn used(&self, volume: Option<&VolumeStatus>) -> Option<Bytes> {
        volume.filter(|volume| volume.in_sync.contains(&self.spec.id))?.used
    }
}

fn member_word(volume: &VolumeStatus, replica: ReplicaId) -> ReplicaState {
    let Some(member) = volume.member(replica) else { return ReplicaState::Created };
    match member.state {
        MemberState::Joining if !volume.created || volume.owner.is_none() => ReplicaState::Created,
        MemberState::Leaving => ReplicaState::Replacing,
        MemberState::Joining
        | MemberState::Syncing
        | MemberState::Synced
        | MemberState::Missing
        | MemberState::Faulty => member.state.word(),
    }
}
