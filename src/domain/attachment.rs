//! Where a volume is attached, mounted, and seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NodeName, limits};

/// Where a volume is mounted on its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MountRequest {
    /// An absolute directory.
    #[schemars(length(max = limits::MAX_PATH))]
    pub path: String,
    /// Mounted read-only.
    #[serde(default)]
    pub read_only: bool,
    /// As `mount -o` takes them.
    #[serde(default)]
    pub options: Vec<String>,
    /// The group that every file gets, by number, so that it may write.
    #[serde(default)]
    pub group: Option<u32>,
}

impl MountRequest {
    /// For writing, with nothing else to be said.
    #[must_use]
    pub fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), read_only: false, options: Vec::new(), group: None }
    }
}

/// One more place where a volume is to be seen on its owner: what is mounted, or the device of a raw volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// An absolute path.
    #[schemars(length(max = limits::MAX_PATH))]
    pub path: String,
    /// Nothing can be changed through it.
    #[serde(default)]
    pub read_only: bool,
}

/// A place where the owner shows a volume, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The place.
    pub path: String,
    /// It was seen there.
    pub shown: bool,
}

/// Where the user wants the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The node that shall own the volume.
    pub node: NodeName,
    /// The mount the daemon keeps, if it shall mount at all.
    pub mount: Option<MountRequest>,
    /// Where else it shall be seen.
    #[serde(default)]
    #[schemars(length(max = limits::MAX_PUBLISHED))]
    pub published: Vec<Publication>,
}

impl Attachment {
    /// Attached, and neither mounted nor published.
    #[must_use]
    pub const fn to(node: NodeName) -> Self {
        Self { node, mount: None, published: Vec::new() }
    }
}
