//! `mddrive`
#![allow(unreachable_pub, reason = "KubeSchema puts a copy of the struct into a function")]
#![allow(clippy::duplicated_attributes, reason = "columns may well have the same type")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{self, DriveId, NodeName, Timestamp};
use crate::store::kube::summary::DriveSummary;

/// What an admin decided. Empty for a drive that nobody added.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone)]
#[kube(
    group = "mdfabric.io",
    version = "v1alpha1",
    kind = "Drive",
    plural = "drives",
    shortname = "mddrive",
    category = "mdfabric",
    status = "DriveStatus",
    doc = "A whole disk of a node. Added by `mdfabric drive add`.",
    printcolumn(name = "Node", type_ = "string", json_path = ".status.node"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.model"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".status.summary.capacity"),
    printcolumn(name = "Allocated", type_ = "string", json_path = ".status.summary.allocated"),
    printcolumn(name = "Free", type_ = "string", json_path = ".status.summary.free"),
    printcolumn(name = "ReadOnly", type_ = "boolean", json_path = ".status.readOnly"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Largest", type_ = "string", json_path = ".status.summary.largest", priority = 1),
    printcolumn(name = "Sector", type_ = "integer", json_path = ".status.sectorSize", priority = 1),
    printcolumn(name = "Cordoned", type_ = "boolean", json_path = ".spec.cordoned", priority = 1),
    printcolumn(name = "Id", type_ = "string", json_path = ".spec.id", priority = 1)
)]
#[x_kube(
    validation = Rule::new(
        "!has(oldSelf.diskGuid) || !has(self.diskGuid) \
         || self.diskGuid == oldSelf.diskGuid && self.id == oldSelf.id \
         && self.node == oldSelf.node")
        .message("id, node and diskGuid are what the drive is known by: remove the drive and add it again"),
    validation = Rule::new("!has(self.diskGuid) || has(self.id) && has(self.node)")
        .message("a drive is added by `mdfabric drive add`, which knows its id, node and diskGuid"),
    validation = Rule::new(
        "has(self.diskGuid) || !(has(self.cordoned) || has(self.evicting) || has(self.removing))")
        .message("a drive that was not added cannot be cordoned, evicted or removed: `mdfabric drive add` adds it")
)]
#[serde(rename_all = "camelCase")]
pub struct DriveSpec {
    /// Serial number or WWN.
    pub id: Option<DriveId>,
    /// The node it was added on.
    pub node: Option<NodeName>,
    /// The GUID our partition table on it has.
    pub disk_guid: Option<Uuid>,
    /// The admin named this serial to be emptied, whatever was found on it.
    pub wipe: Option<bool>,
    /// No new copies.
    pub cordoned: Option<bool>,
    /// Its copies move to other drives.
    pub evicting: Option<bool>,
    /// Given back: the table goes once no copy is left.
    pub removing: Option<bool>,
    /// When it was added, milliseconds since 1970.
    pub added_at: Option<Timestamp>,
}

/// What the node sees of it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct DriveStatus {
    /// The record.
    #[serde(flatten)]
    pub record: domain::DriveStatus,
    /// The same for people.
    pub summary: Option<DriveSummary>,
}
