//! `mdrep`

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{self, Bytes, DriveId, ExportTo, NodeName, VolumeName, VolumeUid, Wanted};
use crate::store::kube::summary::ReplicaSummary;

/// What a provider shall do. Its name is the replica's id. Written by whoever writes the volume's status.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Debug, Clone)]
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
    validation = Rule::new("self.spec.volume == oldSelf.spec.volume && self.spec.volumeUid == oldSelf.spec.volumeUid")
        .message("volume: a copy stays its volume's").field_path(".spec.volume"),
    validation = Rule::new("self.spec.node == oldSelf.spec.node")
        .message("node: a copy is not moved, another one is made: edit the volume's placement").field_path(".spec.node"),
    validation = Rule::new("self.spec.drives == oldSelf.spec.drives")
        .message("drives: a copy is not moved, another one is made: edit the volume's placement")
        .field_path(".spec.drives"),
    validation = Rule::new("size(self.spec.drives) >= 1")
        .message("drives: a copy has a drive per column").field_path(".spec.drives")
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
