//! `mdnode`

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain;

/// What an admin decided.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Debug, Clone)]
#[kube(
    group = "mdfabric.io",
    version = "v1alpha1",
    kind = "StorageNode",
    plural = "storagenodes",
    shortname = "mdnode",
    category = "mdfabric",
    status = "NodeStatus",
    doc = "A machine that runs the daemon.",
    printcolumn(name = "Address", type_ = "string", json_path = ".status.endpoint.address"),
    printcolumn(name = "Cordoned", type_ = "boolean", json_path = ".spec.cordoned"),
    printcolumn(name = "Draining", type_ = "boolean", json_path = ".spec.draining"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Kernel", type_ = "string", json_path = ".status.kernel", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", priority = 1),
    printcolumn(name = "HostNQN", type_ = "string", json_path = ".status.hostNqn", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a node has at most 63 characters").field_path(".spec")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// No new copies. Attachments are asked for by name, and are not refused.
    pub cordoned: Option<bool>,
    /// Its copies move to other nodes.
    pub draining: Option<bool>,
}

/// What the node says of itself.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The record.
    #[serde(flatten)]
    pub record: domain::NodeStatus,
}
