//! The drive: one whole disk that mdfabric may partition.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Bytes, DriveId, NodeName, Timestamp};

/// What an admin decided about a drive. Written by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "what an admin decided about a drive are independent facts")]
pub struct DriveSpec {
    /// Serial number or WWN.
    pub id: DriveId,
    /// The node it was added on.
    pub node: NodeName,
    /// The GUID our partition table on it has: how it is recognised.
    pub disk_guid: Uuid,
    /// The admin named this serial to be emptied, whatever was found on it.
    pub wipe: bool,
    /// No new replicas.
    pub cordoned: bool,
    /// Its copies move to other drives; it is cordoned then, too.
    #[serde(default)]
    pub evicting: bool,
    /// Given back: the table goes once no replica is left.
    pub removing: bool,
    /// When it was added.
    pub added_at: Timestamp,
}

/// What a drive is to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DriveState {
    /// Empty, could be added.
    #[default]
    Available,
    /// Carries something that is not ours.
    Foreign,
    /// Added; the table is being written.
    Preparing,
    /// Hosts replicas, or can.
    Ready,
    /// Added once and not there now.
    Missing,
    /// Added, but its table cannot be trusted.
    Faulty,
    /// Ours, and it does not answer.
    Stuck,
}

impl fmt::Display for DriveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Available => "Available",
            Self::Foreign => "Foreign",
            Self::Preparing => "Preparing",
            Self::Ready => "Ready",
            Self::Missing => "Missing",
            Self::Faulty => "Faulty",
            Self::Stuck => "Stuck",
        })
    }
}

/// What the node sees of a drive. Written by the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriveStatus {
    /// The node it is in.
    pub node: NodeName,
    /// What it is to us.
    pub state: DriveState,
    /// Model text.
    pub model: String,
    /// Whole size.
    pub capacity: Bytes,
    /// In partitions.
    pub allocated: Bytes,
    /// Not in partitions and usable.
    pub free: Bytes,
    /// The largest replica column that fits.
    pub largest_free: Bytes,
    /// Logical sector size in bytes.
    pub sector_size: u32,
    /// The kernel refuses writes.
    pub read_only: bool,
    /// `Good`, or what SMART or the kernel complain about.
    pub health: String,
    /// What was found on it that is not ours.
    pub found: Vec<String>,
    /// What is wrong with it.
    pub message: Option<String>,
}

/// A drive: what was decided and what is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    /// What was decided; `None` for a drive nobody added.
    pub spec: Option<DriveSpec>,
    /// What is seen; `None` before the node reported.
    pub status: Option<DriveStatus>,
}
