//! The volume: what its user asked for and what its owner made of it.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Attachment, Bytes, DriveId, Epoch, Force, Growth, NodeName, Published, Reason, ReplicaId, ReplicaState,
    ScrubRequest, ScrubStatus, Timestamp, VolumeName, VolumeUid, limits,
};

/// What a volume carries for its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// Nothing: a block device.
    Raw,
    /// ext4.
    Ext4,
    /// XFS.
    #[default]
    Xfs,
}

/// The sector size the file system is made for, in bytes. A drive with larger sectors cannot host the volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SectorSize {
    /// 512 bytes.
    #[serde(rename = "512")]
    B512,
    /// 4096 bytes.
    #[default]
    #[serde(rename = "4096")]
    B4096,
}

impl SectorSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

/// Whether the data goes where the owner is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Locality {
    /// An owner without a local replica builds one and drops a remote one in its favour.
    #[default]
    Follow,
    /// Replicas stay where they are.
    Fixed,
}

/// How a new copy is compared with the old ones before one of those is dropped in its favour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Both ends, places of the file system, and 64 MiB drawn at random: see `plan/windows.rs`.
    #[default]
    Sampled,
    /// All of it.
    Full,
    /// Nothing.
    Off,
}

/// What an owner that cannot reach the store does when a member is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreLoss {
    /// Writes wait until the store answers.
    #[default]
    Suspend,
    /// Writes go on without a record: a crash of this owner may then lose them.
    Continue,
}

/// One place of a placement list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementEntry {
    /// The node that shall host a replica.
    pub node: NodeName,
    /// The drive it shall be on; `None` lets placement choose.
    pub drive: Option<DriveId>,
}

/// The list of places a user edited (seed B). It is carried out once: when it, its `generation` or the number of replicas
/// is another than what was taken up last ([`Placed`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementRequest {
    /// Raised by every edit.
    pub generation: u64,
    /// Where replicas shall be.
    #[schemars(length(max = limits::MAX_PLACES))]
    pub entries: Vec<PlacementEntry>,
}

/// What the user asked for. Written by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Unique name.
    pub name: VolumeName,
    /// Identity.
    pub uid: VolumeUid,
    /// When it was asked for; also the creation time in every superblock.
    pub created_at: Timestamp,
    /// Usable size. Edited to make the volume larger; never carried out when it is smaller than what there is.
    pub size: Bytes,
    /// Copies. An edit of the list alone may make it more or fewer: [`VolumeStatus::copies`].
    pub replicas: u8,
    /// Columns.
    pub stripe_width: u8,
    /// What it carries.
    pub fs: FsType,
    /// Sector size of the file system.
    pub sector_size: SectorSize,
    /// Seconds a lost replica is waited for.
    pub member_missing_timeout_seconds: u32,
    /// Whether data follows the owner.
    pub locality: Locality,
    /// Comparison before an old copy is dropped.
    pub verify: Verify,
    /// Behaviour without a store.
    pub on_store_loss: OnStoreLoss,
    /// When its copies are compared.
    #[serde(default)]
    pub scrub: ScrubRequest,
    /// Where it shall be attached.
    pub attachment: Option<Attachment>,
    /// Where its replicas shall be.
    pub placement: PlacementRequest,
    /// Set once, never cleared: the volume goes.
    pub deleting: bool,
    /// The last start that was forced.
    #[serde(default)]
    pub forced: Option<Force>,
}

/// The phase words of seed A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum VolumePhase {
    /// Asked for, not placed.
    #[default]
    New,
    /// Placed; providers carve and zero.
    Requested,
    /// A copy is being filled.
    Syncing,
    /// Every copy holds every acknowledged write.
    Synced,
    /// Growing.
    Expanding,
    /// A filled copy takes over from another, which is dropped.
    Replacing,
    /// Going.
    Deleting,
}

impl fmt::Display for VolumePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "New",
            Self::Requested => "Requested",
            Self::Syncing => "Syncing",
            Self::Synced => "Synced",
            Self::Expanding => "Expanding",
            Self::Replacing => "Replacing",
            Self::Deleting => "Deleting",
        })
    }
}

/// The MDSTATE words of seed A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MdState {
    /// No array is running.
    #[default]
    Stopped,
    /// Running, last write not yet marked clean.
    Active,
    /// Running, nothing in flight.
    Clean,
    /// Fewer copies than asked for, and none being filled.
    Degraded,
    /// A copy is being filled.
    Recovering,
    /// Copies are being compared.
    Checking,
    /// Writes wait for a lost leg.
    Waiting,
    /// The kernel gave the array up.
    Broken,
}

impl fmt::Display for MdState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "-",
            Self::Active => "active",
            Self::Clean => "clean",
            Self::Degraded => "degraded",
            Self::Recovering => "recovering",
            Self::Checking => "checking",
            Self::Waiting => "waiting",
            Self::Broken => "broken",
        })
    }
}

/// A replica as its volume knows it. Written down before the replica's own record exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Identity.
    pub replica: ReplicaId,
    /// Provider.
    pub node: NodeName,
    /// One drive per column.
    pub drives: Vec<DriveId>,
    /// Index in the superblock's role table (below 1920); free again once the member is wiped and forgotten.
    pub dev_number: u32,
    /// How far it is.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// It may hold what no other copy has: an owner that did not release the volume could still write to it when it left the in-sync
    /// set, or it was never found to be the same as the others. It is never taken back by bitmap, which knows nothing of that.
    #[serde(default)]
    pub diverged: bool,
    /// Milliseconds it has been missing, as counted by the clocks of those who waited for it, each for its own part: at
    /// [`VolumeSpec::member_missing_timeout_seconds`] it is replaced. Back to 0 once it holds every write again.
    #[serde(default)]
    pub waited_millis: u64,
}

/// A replica's place in the array, as recorded by the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum MemberState {
    /// Not part of the array yet, or only as an empty spare.
    Joining,
    /// Being filled.
    Syncing,
    /// Holds every acknowledged write (it is in the in-sync set).
    Synced,
    /// Was in the in-sync set and lost contact; its content is an earlier state of this lineage.
    Missing,
    /// Failed; its content is not to be used.
    Faulty,
    /// Being dropped: it is out of the in-sync set for good.
    Leaving,
}

impl MemberState {
    /// The word users know.
    #[must_use]
    pub fn word(self) -> ReplicaState {
        match self {
            Self::Joining => ReplicaState::Spare,
            Self::Syncing => ReplicaState::Syncing,
            Self::Synced => ReplicaState::Synced,
            Self::Missing => ReplicaState::Missing,
            Self::Faulty => ReplicaState::Faulty,
            Self::Leaving => ReplicaState::Deleting,
        }
    }
}

/// Why a replica moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MoveCause {
    /// The placement list says so.
    Placement,
    /// The owner has no local replica.
    FollowOwner,
    /// The copy that goes was missing for too long, or failed.
    Heal,
    /// Its node or drive is being emptied.
    Evacuate,
    /// It has no room to grow where it is.
    Expand,
}

/// A drive on which a new copy of the volume was begun and could not be finished. It is not tried again while it is the
/// drive it was: one that is added anew is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The drive.
    pub drive: DriveId,
    /// Its disk GUID then.
    pub disk_guid: Uuid,
    /// What went wrong.
    pub why: String,
}

/// A change of the replica set that is under way: one joins, or one leaves, or one joins and then one leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relocation {
    /// The new replica.
    pub joining: Option<ReplicaId>,
    /// The replica that goes once the new one has taken over.
    pub leaving: Option<ReplicaId>,
    /// Its provider: told when it is gone.
    pub from: Option<NodeName>,
    /// Why.
    pub cause: MoveCause,
    /// When it began.
    pub started_at: Timestamp,
    /// The new copy was compared with the old ones.
    pub verified: bool,
}

/// How the last finished relocation went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoveReport {
    /// Provider of the dropped replica.
    pub from: Option<NodeName>,
    /// Provider of the new replica.
    pub to: Option<NodeName>,
    /// Milliseconds from the decision to the record that the old copy is gone.
    pub millis: u64,
    /// Bytes the new member received by recovery: all of the volume, whatever was written before.
    pub copied: Bytes,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// The placement request that was taken up last: what the user's record said then, and what that comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// Its generation.
    pub generation: u64,
    /// The number of replicas that stood beside the list.
    pub replicas: u8,
    /// The list.
    pub entries: Vec<PlacementEntry>,
    /// How many copies the volume shall have by it.
    pub copies: u8,
    /// How many it had before, until the request is carried out or given up.
    pub before: Option<u8>,
}

impl Placed {
    /// What a record says that asks for nothing new.
    #[must_use]
    pub fn carried_out(spec: &VolumeSpec) -> Self {
        let PlacementRequest { generation, entries } = spec.placement.clone();
        Self { generation, replicas: spec.replicas, entries, copies: spec.replicas, before: None }
    }

    /// The places that bind: a list that is longer than there shall be copies does not.
    #[must_use]
    pub fn places(&self) -> &[PlacementEntry] {
        if self.entries.len() > usize::from(self.copies) { &[] } else { &self.entries }
    }

    fn is_of(&self, spec: &VolumeSpec) -> bool {
        let asked = (spec.placement.generation, spec.replicas, &spec.placement.entries);
        (self.generation, self.replicas, &self.entries) == asked
    }
}

/// The running array as the owner last saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArrayReport {
    /// MDSTATE.
    pub state: MdState,
    /// Progress of a recovery or check, in tenths of a percent.
    pub sync_permille: Option<u16>,
    /// The device on the owner (`/dev/md_…`).
    pub device: Option<String>,
    /// Where it is mounted on the owner.
    pub mounted_at: Option<String>,
}

/// Something that happened to a volume, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// What became of the volume. Written by the owner of `epoch`; by the controller while nobody owns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "what has happened to a volume once are independent facts")]
pub struct VolumeStatus {
    /// Phase.
    pub phase: VolumePhase,
    /// Number of the current or last ownership.
    pub epoch: Epoch,
    /// Who owns it now.
    pub owner: Option<NodeName>,
    /// When the current ownership was claimed.
    pub claimed_at: Timestamp,
    /// The owner before did not release the volume; it may still write to copies that have not acknowledged this epoch.
    #[serde(default)]
    pub taken_over: bool,
    /// Replicas that hold every acknowledged write. R1 to R4 of ARCHITECTURE.md hang on it.
    pub in_sync: BTreeSet<ReplicaId>,
    /// Every replica that is part of the volume or becomes so.
    pub members: Vec<Member>,
    /// How many members the volume has had in its life: a replica's id is made of its place in that count.
    pub members_made: u32,
    /// The superblocks were written and the array has been started once.
    pub created: bool,
    /// The last ownership for which a forced start was asked and settled: it was carried out, or the array ran without.
    #[serde(default)]
    pub forced: Epoch,
    /// Usable bytes of the array. `None` in records of earlier versions: what the spec says.
    #[serde(default)]
    pub size: Option<Bytes>,
    /// The growth that is under way.
    #[serde(default)]
    pub growth: Option<Growth>,
    /// The file system was made.
    pub formatted: bool,
    /// The last placement edit that was carried out.
    pub placement_generation: u64,
    /// The placement request that was taken up last. `None` in records of earlier versions.
    #[serde(default)]
    pub placed: Option<Placed>,
    /// The owner shall get a local replica.
    pub follow_owner: bool,
    /// Where the owner mounts it: written before the mount, so that it is known for ours whatever happens in between.
    #[serde(default)]
    pub mount_path: Option<String>,
    /// Where the owner shows it: written before it is shown there, for the same reason, and removed afterwards.
    #[serde(default)]
    pub published: Vec<Published>,
    /// Bytes in use in the file system when that was last recorded; `None` of a raw volume, and before the first mount.
    pub used: Option<Bytes>,
    /// What is under way.
    pub relocation: Option<Relocation>,
    /// How the last relocation went.
    pub last_move: Option<MoveReport>,
    /// Where new copies were begun in vain since one last got finished, or none was wanted.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// How the copies compare.
    #[serde(default)]
    pub scrub: ScrubStatus,
    /// The array.
    pub array: ArrayReport,
    /// What is being waited for, or refused, and why.
    pub reasons: Vec<Reason>,
    /// The last events.
    pub events: Vec<Event>,
}

impl VolumeStatus {
    /// The member that is `replica`.
    #[must_use]
    pub fn member(&self, replica: ReplicaId) -> Option<&Member> {
        self.members.iter().find(|member| member.replica == replica)
    }

    /// The member on `node`.
    #[must_use]
    pub fn member_on(&self, node: &NodeName) -> Option<&Member> {
        self.members.iter().find(|member| member.node == *node)
    }

    /// READY, and ACTIVE: the copies that hold every acknowledged write. Until the array ran for the first time there are none before
    /// all of them are made, nor in a volume that is being deleted.
    #[must_use]
    pub fn ready(&self) -> usize {
        let made = match self.phase {
            VolumePhase::New | VolumePhase::Requested | VolumePhase::Deleting => self.created,
            VolumePhase::Syncing | VolumePhase::Synced | VolumePhase::Expanding | VolumePhase::Replacing => {
                true
            }
        };
        if made { self.in_sync.len() } else { 0 }
    }

    /// How many columns the volume has: those its copies were made with, whatever was written into the spec since.
    #[must_use]
    pub fn columns(&self, spec: &VolumeSpec) -> u8 {
        let made = self.members.first().and_then(|member| u8::try_from(member.drives.len()).ok());
        made.unwrap_or(spec.stripe_width)
    }

    /// The members that are not being dropped.
    pub fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.state != MemberState::Leaving)
    }

    /// How many copies the volume shall have.
    #[must_use]
    pub fn copies(&self, spec: &VolumeSpec) -> usize {
        self.placed.as_ref().map_or(spec.replicas, |placed| placed.copies).into()
    }

    /// How many copies have to hold every write for the volume to be as safe as was asked for: while it gets more of
    /// them, as many as before.
    #[must_use]
    pub fn copies_due(&self, spec: &VolumeSpec) -> usize {
        self.due_of(self.copies(spec))
    }

    /// The same of the `copies` that there shall be.
    #[must_use]
    pub fn due_of(&self, copies: usize) -> usize {
        let before = self.placed.as_ref().and_then(|placed| placed.before).map(usize::from);
        copies.min(before.unwrap_or(usize::MAX))
    }

    /// Whether the user's record says what was taken up last.
    #[must_use]
    pub fn has_taken_up(&self, spec: &VolumeSpec) -> bool {
        match &self.placed {
            Some(placed) => placed.is_of(spec),
            None => self.placement_generation >= spec.placement.generation,
        }
    }

    /// Whether nothing of what the user asked for is left to be placed or dropped.
    #[must_use]
    pub fn is_placed(&self, spec: &VolumeSpec) -> bool {
        self.has_taken_up(spec) && self.placed.as_ref().is_none_or(|placed| placed.before.is_none())
    }

    /// Notes for how long a copy has been missing.
    pub fn set_waited(&mut self, replica: ReplicaId, millis: u64) {
        if let Some(member) = self.members.iter_mut().find(|member| member.replica == replica) {
            member.waited_millis = millis;
        }
    }

    /// Whether a lost copy is being replaced.
    #[must_use]
    pub fn is_healing(&self) -> bool {
        self.relocation.as_ref().is_some_and(|relocation| relocation.cause == MoveCause::Heal)
    }

    /// Whether the replica set is about to lose a copy: one has taken over from it, or there shall be fewer.
    #[must_use]
    pub fn is_replacing(&self) -> bool {
        let joined = |joining: ReplicaId| self.in_sync.contains(&joining);
        let fewer = |placed: &Placed| placed.before.is_some_and(|before| before > placed.copies);
        self.relocation.as_ref().is_some_and(|relocation| relocation.joining.is_none_or(joined))
            || self.placed.as_ref().is_some_and(fewer)
    }
}

/// A volume: what was asked for and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What was asked for.
    pub spec: VolumeSpec,
    /// What it is; `None` until it was placed.
    pub status: Option<VolumeStatus>,
}

impl Volume {
    /// How many copies it shall have.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.status.as_ref().map_or(self.spec.replicas.into(), |status| status.copies(&self.spec))
    }
}
