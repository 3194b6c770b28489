//! A start from a copy that may lack acknowledged writes: asked for by name, and on record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Epoch, ReplicaId, Timestamp};

/// That an ownership which finds no copy with every write shall start from this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Force {
    /// The copy.
    pub replica: ReplicaId,
    /// The ownership it was asked of; no other one does it.
    pub epoch: Epoch,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
}
