//! How large a volume is, and how large it is being made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, FsType, PartitionRecord, ReplicaStatus, Timestamp, VolumeSpec, VolumeStatus};

/// A growth that is under way. Written down by the owner before anything is made larger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Growth {
    /// Usable bytes it leads to.
    pub to: Bytes,
    /// When it was taken up.
    pub started_at: Timestamp,
}

impl VolumeStatus {
    /// Usable bytes of its array, or what the first one will have. Never more than every copy that counts has room for.
    #[must_use]
    pub fn usable(&self, spec: &VolumeSpec) -> Bytes {
        self.size.unwrap_or(spec.size)
    }

    /// Usable bytes that every copy is being made for: once a growth was taken up, what it leads to.
    #[must_use]
    pub fn target(&self, spec: &VolumeSpec) -> Bytes {
        self.growth.as_ref().map_or(self.usable(spec), |growth| growth.to)
    }

    /// Whether its array is to become larger.
    #[must_use]
    pub fn is_to_grow(&self, spec: &VolumeSpec) -> bool {
        self.usable(spec) < self.target(spec).max(spec.size)
    }

    /// Whether nothing but its file system is still to grow. That happens while it is mounted.
    #[must_use]
    pub fn waits_for_mount(&self, spec: &VolumeSpec) -> bool {
        let mount = spec.attachment.as_ref().and_then(|attachment| attachment.mount.as_ref());
        let mounted = mount.is_some_and(|mount| !mount.read_only);
        self.growth.is_some() && !self.is_to_grow(spec) && spec.fs != FsType::Raw && !mounted
    }

    /// Whether a growth goes on by itself.
    #[must_use]
    pub fn is_expanding(&self, spec: &VolumeSpec) -> bool {
        self.is_to_grow(spec) || self.growth.is_some() && !self.waits_for_mount(spec)
    }
}

impl PartitionRecord {
    /// Whether it cannot become `wanted` long where it lies.
    #[must_use]
    pub fn is_crowded(&self, wanted: Bytes) -> bool {
        self.size < wanted && self.room < wanted
    }
}

impl ReplicaStatus {
    /// How much of every partition may be used: carved, zeroed, and known to whoever it is served to.
    #[must_use]
    pub fn made_to(&self) -> Bytes {
        let made = self.partitions.iter().map(|partition| partition.zeroed_to).min();
        made.filter(|_| self.zeroed).unwrap_or_default()
    }
}
