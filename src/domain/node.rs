//! The node: one machine that runs the daemon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Endpoint, Timestamp};

/// What an admin decided about a node. Written by the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// No new replicas. Attachments are asked for by name, and are not refused.
    pub cordoned: bool,
    /// Its copies move to other nodes; it is cordoned then, too.
    #[serde(default)]
    pub draining: bool,
}

/// What a node says of itself. Written by the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Where its fabric target listens.
    pub endpoint: Endpoint,
    /// The NVMe host name it connects with.
    pub host_nqn: String,
    /// The NVMe host id that belongs to it.
    pub host_id: Uuid,
    /// Kernel release.
    pub kernel: String,
    /// mdfabric version.
    pub version: String,
    /// Changes at every boot of the machine.
    pub boot_id: String,
    /// Kernel features it lacks.
    pub missing: Vec<String>,
    /// Last sign of life, by the node's own clock.
    pub heartbeat_at: Timestamp,
    /// Without a sign of life for this long it is taken for dead, ms: how often it gives one depends on its store. 0 in records of
    /// earlier versions.
    #[serde(default)]
    pub dead_after_millis: u64,
}

/// A node: what was decided and what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What was decided.
    pub spec: NodeSpec,
    /// What it says; `None` before its daemon ran.
    pub status: Option<NodeStatus>,
}
