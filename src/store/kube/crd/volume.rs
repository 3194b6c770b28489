//! `mdvol`
#![allow(unreachable_pub, reason = "KubeSchema puts a copy of the struct into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{
    self, Attachment, Force, FsType, Locality, OnStoreLoss, PlacementRequest, ScrubRequest, SectorSize,
    Timestamp, Verify, VolumeUid, limits,
};
use crate::store::kube::summary::{Condition, VolumeSummary};

/// What a user asks for.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone)]
#[kube(
    group = "mdfabric.io",
    version = "v1alpha1",
    kind = "Volume",
    plural = "volumes",
    shortname = "mdvol",
    category = "mdfabric",
    status = "VolumeStatus",
    doc = "A replicated block volume.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "MDState", type_ = "string", json_path = ".status.summary.mdState"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.summary.ready"),
    printcolumn(name = "Degraded", type_ = "boolean", json_path = ".status.summary.degraded"),
    printcolumn(name = "Sync", type_ = "string", json_path = ".status.summary.sync"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.owner"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.summary.total", priority = 1),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.summary.active", priority = 1),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.summary.failed", priority = 1),
    printcolumn(name = "Down", type_ = "integer", json_path = ".status.summary.down", priority = 1),
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a volume has at most 63 characters").field_path(".spec"),
    validation = Rule::new(
        "!has(oldSelf.status) || size(oldSelf.status.inSync) == 0 || oldSelf.status.phase == 'Deleting' \
         || has(self.status) && (size(self.status.inSync) > 0 || self.status.phase == 'Deleting')")
        .message("inSync: the last copy that holds every write cannot be removed while the volume is not being deleted")
        .field_path(".status"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(self.status) || self.status.epoch >= oldSelf.status.epoch")
        .message("epoch: the number of an ownership never goes back").field_path(".status"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(self.status) || !oldSelf.status.created || self.status.created")
        .message("created: a volume that has data is never made anew").field_path(".status")
)]
#[x_kube(
    validation = Rule::new("quantity(self.size).compareTo(quantity('300Mi')) >= 0")
        .message("size: the smallest volume has 300Mi").field_path(".size"),
    validation = Rule::new("quantity(self.size).compareTo(quantity('1Pi')) <= 0")
        .message("size: the largest volume has 1Pi").field_path(".size"),
    validation = Rule::new(
        "!quantity(self.size).isInteger() \
         || quantity(self.size).asInteger() % (1048576 * self.stripeWidth) == 0")
        .message("size: every column is whole MiB, so use a multiple of stripeWidth MiB").field_path(".size"),
    validation = Rule::new("quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
        .message("size: a volume is never made smaller").field_path(".size"),
    validation = Rule::new("self.stripeWidth == oldSelf.stripeWidth")
        .message("stripeWidth cannot be changed: make another volume and copy the data").field_path(".stripeWidth"),
    validation = Rule::new("self.fs == oldSelf.fs")
        .message("fs cannot be changed: make another volume and copy the data").field_path(".fs"),
    validation = Rule::new("self.sectorSize == oldSelf.sectorSize")
        .message("sectorSize cannot be changed: make another volume and copy the data").field_path(".sectorSize"),
    validation = Rule::new("!has(oldSelf.uid) || has(self.uid) && self.uid == oldSelf.uid")
        .message("uid is the volume's identity and cannot be changed").field_path(".uid"),
    validation = Rule::new(
        "!has(oldSelf.createdAt) || has(self.createdAt) && self.createdAt == oldSelf.createdAt")
        .message("createdAt stands in every superblock and cannot be changed").field_path(".createdAt"),
    validation = Rule::new("!oldSelf.deleting || self.deleting")
        .message("a volume that is being deleted cannot be kept").field_path(".deleting"),
    validation = Rule::new("!self.deleting || !has(self.attachment)")
        .message("deleting: a volume that is attached is in use: take its attachment away first")
        .field_path(".deleting"),
    validation = Rule::new(
        "self.placement.entries.all(one, self.placement.entries.exists_one(other, other.node == one.node))")
        .message("placement: two copies on one node are lost together").field_path(".placement.entries"),
    validation = Rule::new(
        "!has(self.attachment) || !has(self.attachment.mount) || self.fs != 'raw'")
        .message("attachment: a raw volume has nothing to mount: use its device, or publish it")
        .field_path(".attachment"),
    validation = Rule::new(
        "!has(self.attachment) || !has(self.attachment.mount) \
         || self.attachment.mount.path.matches('^(/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+))+$')")
        .message("attachment: mount at an absolute path other than /, without `.`, `..` and a slash too many")
        .field_path(".attachment"),
    validation = Rule::new(
        "!has(self.attachment) || !has(self.attachment.published) \
         || self.attachment.published.all(place, \
            place.path.matches('^(/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+))+$'))")
        .message("attachment: publish at absolute paths other than /, without `.`, `..` and a slash too many")
        .field_path(".attachment"),
    validation = Rule::new(
        "!has(self.attachment) || !has(self.attachment.published) \
         || size(self.attachment.published) == 0 || has(self.attachment.mount) || self.fs == 'raw'")
        .message("attachment: what is not mounted cannot be published: give it a mount")
        .field_path(".attachment")
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Identity. The object's own unless the command line made the volume.
    pub uid: Option<VolumeUid>,
    /// When it was asked for, milliseconds since 1970. The object's own unless the command line made the volume.
    pub created_at: Option<Timestamp>,
    /// Usable size: `10Gi`. Made larger by editing it; never made smaller.
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,18}(Ki|Mi|Gi|Ti|Pi)?$"), length(max = 24))]
    pub size: String,
    /// Copies.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = limits::MAX_REPLICAS))]
    pub replicas: u8,
    /// Columns, each on drives of its own.
    #[serde(default = "stripe_width")]
    #[schemars(range(min = 1, max = limits::MAX_COLUMNS))]
    pub stripe_width: u8,
    /// What it carries.
    #[serde(default)]
    pub fs: FsType,
    /// Sector size of the file system, bytes.
    #[serde(default)]
    pub sector_size: SectorSize,
    /// Seconds a lost copy is waited for.
    #[serde(default = "timeout")]
    #[schemars(range(min = limits::MEMBER_MISSING_TIMEOUT_LEAST))]
    pub member_missing_timeout_seconds: u32,
    /// Whether data follows the owner.
    #[serde(default)]
    pub locality: Locality,
    /// Comparison before an old copy is dropped.
    #[serde(default)]
    pub verify: Verify,
    /// Behaviour without a store.
    #[serde(default)]
    pub on_store_loss: OnStoreLoss,
    /// When its copies are compared.
    #[serde(default)]
    pub scrub: ScrubRequest,
    /// Where it shall be attached.
    pub attachment: Option<Attachment>,
    /// Where its copies shall be.
    #[serde(default)]
    pub placement: PlacementRequest,
    /// Set once, never cleared: the volume goes. Deleting the object says the same.
    #[serde(default)]
    pub deleting: bool,
    /// The last start that was forced.
    pub forced: Option<Force>,
}

fn replicas() -> u8 {
    limits::REPLICAS
}

fn stripe_width() -> u8 {
    1
}

fn timeout() -> u32 {
    limits::MEMBER_MISSING_TIMEOUT_SECONDS
}

/// What its owner made of it; the controller's while nobody owns it.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// The record.
    #[serde(flatten)]
    pub record: domain::VolumeStatus,
    /// The same for people.
    pub summary: Option<VolumeSummary>,
    /// Whether every copy holds every write, and each reason that stands.
    pub conditions: Option<Vec<Condition>>,
}
