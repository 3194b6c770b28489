//! `mdrep`
#![allow(unreachable_pub, reason = "KubeSchema puts a copy of the struct into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{self, Bytes, DriveId, ExportTo, NodeName, VolumeName, VolumeUid, Wanted};
use crate::store::kube::summary::ReplicaSummary;

/// What a provider shall do. Its name is the replica's id. Written by whoever writes the volume's status.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone)]
#[kube(
    group = "mdfabric.io",
    version = "v1alpha1",
    kind = "Replica",
    plural = "replicas",
    shortname = "mdrep",
    category = "mdfabric",
    status = "ReplicaStatus",
    doc = "One copy of a volume on one node. Made and removed by mdfabric: edit the volume instead.",
    printcolumn(name = "Volume", type_ = "string", json_path = ".spec.volume"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Drive", type_ = "string", json_path = ".spec.drives[0]"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.summary.used"),
    printcolumn(name = "Allocated", type_ = "string", json_path = ".status.summary.allocated"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.summary.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Drives", type_ = "string", json_path = ".spec.drives", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.ackedEpoch", priority = 1),
    validation = Rule::new("!has(oldSelf.status) || has(self.status) || oldSelf.status.gone")
        .message("status: a copy without one counts as not made yet, so it stays until the copy is gone").field_path(".status"),
    validation = Rule::new("!has(oldSelf.status) || !has(self.status) || !oldSelf.status.zeroed || self.status.zeroed")
        .message("zeroed: a copy that was made is never made anew").field_path(".status"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(self.status) || self.status.ackedEpoch >= oldSelf.status.ackedEpoch")
        .message("ackedEpoch: whom a provider has cut off is not let in again").field_path(".status")
)]
#[x_kube(
    validation = Rule::new("self.volume == oldSelf.volume && self.volumeUid == oldSelf.volumeUid")
        .message("volume: a copy stays its volume's").field_path(".volume"),
    validation = Rule::new("self.node == oldSelf.node")
        .message("node: a copy is not moved, another one is made: edit the volume's placement").field_path(".node"),
    validation = Rule::new("self.drives == oldSelf.drives")
        .message("drives: a copy is not moved, another one is made: edit the volume's placement")
        .field_path(".drives"),
    validation = Rule::new("size(self.drives) >= 1")
        .message("drives: a copy has a drive per column").field_path(".drives"),
    validation = Rule::new("self.partitionSize >= oldSelf.partitionSize")
        .message("partitionSize: a copy is never made smaller").field_path(".partitionSize"),
    validation = Rule::new("!has(oldSelf.export) || !has(self.export) || self.export.epoch >= oldSelf.export.epoch")
        .message("export: the number of an ownership never goes back").field_path(".export")
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaSpec {
    /// Its volume.
    pub volume: VolumeName,
    /// Its volume's identity.
    pub volume_uid: VolumeUid,
    /// Provider.
    pub node: NodeName,
    /// One drive per column.
    #[schemars(length(max = domain::limits::MAX_COLUMNS))]
    pub drives: Vec<DriveId>,
    /// Size of each column's partition, bytes.
    pub partition_size: Bytes,
    /// Whom it is served to.
    pub export: Option<ExportTo>,
    /// Whether it shall exist.
    pub wanted: Wanted,
}

/// What a provider made of it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// The record.
    #[serde(flatten)]
    pub record: domain::ReplicaStatus,
    /// The same for people.
    pub summary: Option<ReplicaSummary>,
}
