//! What `kubectl get` shows of a record: the words and numbers of the command line's tables, as far as one record has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    Bytes, DriveStatus, MemberState, PartitionRecord, Replica, ReplicaState, ReplicaStatus, VolumeStatus,
    percent,
};

/// What is shown of a volume.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSummary {
    /// What the array does; `-` when none is running.
    pub md_state: String,
    /// Copies that hold every write, of how many.
    pub ready: String,
    /// There are fewer of them than there shall be.
    pub degraded: bool,
    /// How far a copy is filled, or how far the copies are compared.
    pub sync: Option<String>,
    /// Copies there are.
    pub total: usize,
    /// Copies that hold every write.
    pub active: usize,
    /// Copies that failed.
    pub failed: usize,
    /// Copies that are missing.
    pub down: usize,
}

/// How many copies there shall be, as far as the status says it.
pub(super) fn wanted(status: &VolumeStatus) -> usize {
    status.placed.as_ref().map_or(status.members.len(), |placed| placed.copies.into())
}

impl From<&VolumeStatus> for VolumeSummary {
    fn from(status: &VolumeStatus) -> Self {
        let count = |state| status.members.iter().filter(|member| member.state == state).count();
        let active = status.ready();
        let wanted = wanted(status);
        Self {
            md_state: status.array.state.to_string(),
            ready: format!("{active}/{wanted}"),
            degraded: status.created && active < status.due_of(wanted),
            sync: status.array.sync_permille.map(percent),
            total: status.members.len(),
            active,
            failed: count(MemberState::Faulty),
            down: count(MemberState::Missing),
        }
    }
}

/// What stands, as Kubernetes tells it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    pub r#type: String,
    /// `True` or `False`.
    pub status: String,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Since when.
    pub last_transition_time: String,
}

/// What is shown of a replica.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSummary {
    /// What is in use in the volume's file system, of a copy that has all of it.
    pub used: Option<String>,
    /// What its partitions take.
    pub allocated: String,
    /// Its provider's word, or its owner's.
    pub state: ReplicaState,
}

impl ReplicaSummary {
    /// Where nothing but its provider's word is known.
    #[must_use]
    pub fn alone(status: &ReplicaStatus) -> Self {
        Self { used: None, allocated: allocated(&status.partitions), state: status.state }
    }

    /// Of a replica and of its volume's status, as far as they are known.
    #[must_use]
    pub fn of(replica: &Replica, volume: Option<&VolumeStatus>) -> Self {
        let partitions = replica.status.as_ref().map_or(&[][..], |status| status.partitions.as_slice());
        Self {
            used: replica.used(volume).map(|used| used.to_string()),
            allocated: allocated(partitions),
            state: replica.word(volume),
        }
    }
}

fn allocated(partitions: &[PartitionRecord]) -> String {
    let sizes = partitions.iter().map(|partition| partition.size.0);
    Bytes(sizes.fold(0, u64::saturating_add)).to_string()
}

/// What is shown of a drive.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DriveSummary {
    /// Whole size.
    pub capacity: String,
    /// In partitions.
    pub allocated: String,
    /// Not in partitions and usable.
    pub free: String,
    /// The largest copy's column that fits.
    pub largest: String,
}

impl From<&DriveStatus> for DriveSummary {
    fn from(status: &DriveStatus) -> Self {
        Self {
            capacity: status.capacity.to_string(),
            allocated: status.allocated.to_string(),
            free: status.free.to_string(),
            largest: status.largest_free.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing;

    #[test]
    fn ready_and_degraded_are_those_of_the_command_line() {
        for (status, ready, degraded) in testing::readiness() {
            let summary = VolumeSummary::from(&status);
            assert_eq!((summary.ready.as_str(), summary.degraded), (ready, degraded), "{status:?}");
        }
    }
}
