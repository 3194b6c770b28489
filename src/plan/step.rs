//! What may be done. A step is complete: whoever executes it decides nothing.

#![allow(
    missing_docs,
    reason = "the fields of Step are named by what they are, and each variant says what is done with them"
)]

use std::fmt;
use std::ops::Range;

use uuid::Uuid;

use super::holders::names;
use super::{Alone, Dev, Holder, Process};
use crate::domain::{
    Bytes, DriveId, Endpoint, Epoch, FsType, SectorSize, Timestamp, Verify, VolumeName, VolumeUid,
    partition_guid, subsystem_nqn,
};

/// A member of an array that is about to be made: what its superblock says.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMember {
    /// Partition GUID; becomes the MD device uuid.
    pub partition: Uuid,
    /// Where it is now.
    pub dev: Dev,
    /// Index in the role table, and first slot.
    pub dev_number: u32,
    /// Remote: read only when nothing else can be.
    pub write_mostly: bool,
}

/// How a member joins a running array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Join {
    /// Fresh superblock, everything is copied.
    Full,
    /// It held every write until it was lost: what changed since is copied.
    Bitmap,
}

/// What a step works on. Steps of one lane run one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A drive's partition table.
    Drive(DriveId),
    /// A partition or its export.
    Partition(Uuid),
    /// What is new at the end of a partition, and serves nobody yet.
    Tail(Uuid),
    /// A leg.
    Leg(Uuid),
    /// An array and what is on it.
    Volume(VolumeName),
    /// A file system of a lost volume that is cut off: the call may wait for as long as a leg holds I/O.
    ShutDown(VolumeName),
    /// What else ends the use of a lost volume. It waits for nothing that any other lane may be stuck in.
    Eviction(VolumeName),
}

/// One thing to do in the kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Write an empty partition table with our disk GUID.
    PrepareDrive { drive: DriveId, dev: Dev, disk_guid: Uuid, wipe: bool },
    /// Write both copies of a table of ours again, from the good one.
    RepairTable { drive: DriveId, dev: Dev },
    /// Remove our empty table.
    ReleaseDrive { drive: DriveId, dev: Dev, disk_guid: Uuid },
    /// Make a partition.
    Carve { drive: DriveId, dev: Dev, partition: Uuid, name: String, size: Bytes },
    /// Zero a partition on its own drive and read it back.
    Zero { partition: Uuid, dev: Dev },
    /// Make a dropped replica unreadable: zero, read back.
    Erase { partition: Uuid, dev: Dev },
    /// Make a partition longer where it lies: the table first, then what the kernel knows of it.
    GrowPartition { drive: DriveId, dev: Dev, partition: Uuid, size: Bytes },
    /// Zero what is new of a partition in use and read it back. Never what an array has already.
    ZeroTail { partition: Uuid, dev: Dev, from: Bytes, to: Bytes },
    /// Tell whom a partition is served to that it has `size` now.
    Revalidate { partition: Uuid, epoch: Epoch, size: Bytes },
    /// Give a partition's space back.
    RemovePartition { drive: DriveId, dev: Dev, partition: Uuid },
    /// Serve a partition to one host.
    Export { partition: Uuid, epoch: Epoch, dev: Dev, host_nqn: String, endpoint: Endpoint },
    /// Cut everybody off a subsystem (allowed host, port, namespace, in that order, drained) and remove it.
    Fence { partition: Uuid, epoch: Epoch },
    /// Connect to a provider's subsystem.
    Connect { partition: Uuid, epoch: Epoch, endpoint: Endpoint, host_nqn: String, host_id: Uuid },
    /// Remove a controller of ours.
    Disconnect { partition: Uuid, epoch: Epoch, controller: String },
    /// Make the queueing map over a namespace.
    MapLeg { partition: Uuid, epoch: Epoch, path: Dev, size: Bytes },
    /// Give a map another path.
    ReloadLeg { partition: Uuid, epoch: Epoch, path: Dev, size: Bytes },
    /// Tell a map that its path works again.
    ReinstateLeg { partition: Uuid, epoch: Epoch, path: Dev },
    /// Tell a map that its path is gone: from here on it holds I/O, whatever becomes of the connection below.
    HoldLeg { partition: Uuid, epoch: Epoch, path: Dev },
    /// Let go of what a map holds: its I/O fails and MD drops the member. Only after the record says so. `cut`: the provider is
    /// gone; every connection to it is aborted, for its driver holds I/O as long as it believes in it.
    FailLeg { partition: Uuid, epoch: Epoch, path: Option<Dev>, cut: Option<Endpoint> },
    /// Write on this node's disk that a copy lacks writes: the store does not answer.
    NoteAlone { note: Alone },
    /// Remove that note.
    ForgetAlone { note: Alone },
    /// Remove a map.
    UnmapLeg { partition: Uuid, epoch: Epoch },
    /// Write the first superblocks of an array.
    WriteHeaders {
        volume: VolumeName,
        array: Uuid,
        column: u8,
        created_at: Timestamp,
        slots: u32,
        size: Bytes,
        members: Vec<NewMember>,
    },
    /// Read the superblock of a member of an array that does not run.
    ReadHeader { volume: VolumeName, array: Uuid, partition: Uuid, dev: Dev },
    /// Start an array from these members and no other. Each is checked by its device uuid.
    Assemble { volume: VolumeName, array: Uuid, device: String, members: Vec<(Uuid, Dev)> },
    /// Make a read-only array writable.
    SetWritable { volume: VolumeName, array: String },
    /// Change the number of slots.
    SetSlots { volume: VolumeName, array: String, slots: u32 },
    /// Add a member to a running array.
    AddMember { volume: VolumeName, array: String, member: NewMember, good: Dev, join: Join },
    /// Set or clear write-mostly.
    SetWriteMostly { volume: VolumeName, array: String, member: String, on: bool },
    /// Mark a member faulty. Only after the record says so.
    FailMember { volume: VolumeName, array: String, member: String },
    /// Remove a faulty member or a spare.
    RemoveMember { volume: VolumeName, array: String, member: String },
    /// Make an array as large as `size`. Only when every member has room for it that was zeroed.
    GrowArray { volume: VolumeName, array: String, members: Vec<String>, size: Bytes },
    /// Let go of an array that somebody held, or began to check, and did not live to let go.
    Thaw { volume: VolumeName, array: String },
    /// Compare a copy with another one of an array, in `windows` of 512-byte sectors. `how` full: by the kernel's own `check`.
    Compare {
        volume: VolumeName,
        array: String,
        partition: Uuid,
        dev: Dev,
        good: Dev,
        size: Bytes,
        windows: Vec<Range<u64>>,
        how: Verify,
    },
    /// Let the kernel compare the copies of an array for a moment, from `from` on, and make them equal if `repair`. `base`: what all columns
    /// before have. `run`, `since`: which scrub, and how far that is recorded to be.
    Check {
        volume: VolumeName,
        array: String,
        run: Timestamp,
        since: Bytes,
        base: Bytes,
        from: Bytes,
        size: Bytes,
        repair: bool,
    },
    /// Stop an array.
    StopArray { volume: VolumeName, array: String },
    /// Lay the stripes over the columns of a volume, or lay them anew over longer columns.
    MapTop { volume: VolumeName, uid: VolumeUid, columns: Vec<Dev>, size: Bytes },
    /// Take the stripes away.
    UnmapTop { volume: VolumeName, uid: VolumeUid },
    /// Make the file system.
    Format { volume: VolumeName, dev: Dev, fs: FsType, sector_size: SectorSize, uuid: Uuid, now: Timestamp },
    /// Make a mounted file system as large as its device, which has `size`.
    GrowFs { volume: VolumeName, uuid: Uuid, dev: Dev, path: String, size: Bytes },
    /// Mount.
    Mount {
        volume: VolumeName,
        dev: Dev,
        fs: FsType,
        path: String,
        read_only: bool,
        options: Vec<String>,
        group: Option<u32>,
    },
    /// Unmount.
    Unmount { volume: VolumeName, path: String },
    /// Show at `path` what is mounted `at`; without that, the device itself.
    Publish { volume: VolumeName, dev: Dev, at: Option<String>, path: String, read_only: bool },
    /// Show it there no more, and remove what it was shown over if that is empty.
    Unpublish { volume: VolumeName, path: String },
    /// Ask the file system of `dev`, mounted at `path`, how much of it is in use.
    MeasureUse { volume: VolumeName, dev: Dev, path: String },
    /// Cut the file system of `dev`, mounted at `path`, off from its users; neither log nor cache are written.
    ShutDown { volume: VolumeName, dev: Dev, path: String },
    /// Drop a member at once, whatever the array waits for. Never the last one that is in sync.
    CutMember { volume: VolumeName, array: String, member: String, dev: Dev },
    /// Find out who uses these devices, or file systems on them.
    FindHolders { volume: VolumeName, devs: Vec<Dev> },
    /// End processes (SIGKILL). Only of a volume that this node lost.
    EndProcesses { volume: VolumeName, processes: Vec<Process> },
}

impl Step {
    /// What it works on.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::PrepareDrive { drive, .. }
            | Self::RepairTable { drive, .. }
            | Self::ReleaseDrive { drive, .. }
            | Self::Carve { drive, .. }
            | Self::GrowPartition { drive, .. }
            | Self::RemovePartition { drive, .. } => Lane::Drive(drive.clone()),
            Self::Zero { partition, .. }
            | Self::Erase { partition, .. }
            | Self::Export { partition, .. }
            | Self::Revalidate { partition, .. }
            | Self::Fence { partition, .. } => Lane::Partition(*partition),
            Self::ZeroTail { partition, .. } => Lane::Tail(*partition),
            Self::Connect { partition, .. }
            | Self::Disconnect { partition, .. }
            | Self::MapLeg { partition, .. }
            | Self::ReloadLeg { partition, .. }
            | Self::ReinstateLeg { partition, .. }
            | Self::HoldLeg { partition, .. }
            | Self::FailLeg { partition, .. }
            | Self::UnmapLeg { partition, .. } => Lane::Leg(*partition),
            Self::WriteHeaders { volume, .. }
            | Self::ReadHeader { volume, .. }
            | Self::Assemble { volume, .. }
            | Self::SetWritable { volume, .. }
            | Self::SetSlots { volume, .. }
            | Self::AddMember { volume, .. }
            | Self::SetWriteMostly { volume, .. }
            | Self::FailMember { volume, .. }
            | Self::RemoveMember { volume, .. }
            | Self::GrowArray { volume, .. }
            | Self::Thaw { volume, .. }
            | Self::Compare { volume, .. }
            | Self::Check { volume, .. }
            | Self::StopArray { volume, .. }
            | Self::MapTop { volume, .. }
            | Self::UnmapTop { volume, .. }
            | Self::Format { volume, .. }
            | Self::GrowFs { volume, .. }
            | Self::Mount { volume, .. }
            | Self::Unmount { volume, .. }
            | Self::Publish { volume, .. }
            | Self::Unpublish { volume, .. }
            | Self::MeasureUse { volume, .. } => Lane::Volume(volume.clone()),
            Self::NoteAlone { note } | Self::ForgetAlone { note } => {
                Lane::Leg(partition_guid(note.replica, 0))
            }
            Self::ShutDown { volume, .. } => Lane::ShutDown(volume.clone()),
            Self::CutMember { volume, .. }
            | Self::FindHolders { volume, .. }
            | Self::EndProcesses { volume, .. } => Lane::Eviction(volume.clone()),
        }
    }

    /// Whether it comes again and again by itself: nobody is told that it was done.
    #[must_use]
    pub const fn is_routine(&self) -> bool {
        matches!(self, Self::MeasureUse { .. } | Self::FindHolders { .. } | Self::Check { .. })
    }

    /// Whether nothing that is seen is different while it runs: nothing has to be looked at afterwards.
    #[must_use]
    pub const fn is_unseen(&self) -> bool {
        matches!(self, Self::MeasureUse { .. } | Self::FindHolders { .. })
    }
}

impl fmt::Display for Step {
    /// One line a person can read; also what the step is known by in [`super::Memory`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrepareDrive { drive, wipe: false, .. } => {
                write!(f, "write an empty partition table on drive {drive}")
            }
            Self::PrepareDrive { drive, .. } => {
                write!(f, "wipe drive {drive} and write an empty partition table")
            }
            Self::RepairTable { drive, .. } => write!(f, "repair the partition table of drive {drive}"),
            Self::ReleaseDrive { drive, .. } => write!(f, "remove our partition table from drive {drive}"),
            Self::Carve { drive, partition, size, .. } => {
                write!(f, "carve {size} on drive {drive} as {partition}")
            }
            Self::Zero { partition, .. } => write!(f, "zero and read back {partition}"),
            Self::Erase { partition, .. } => write!(f, "erase {partition}"),
            Self::GrowPartition { drive, partition, size, .. } => {
                write!(f, "make {partition} on drive {drive} {size} long")
            }
            Self::ZeroTail { partition, from, to, .. } => {
                write!(f, "zero and read back {partition} from {from} to {to}")
            }
            Self::Revalidate { partition, epoch, size } => {
                write!(f, "tell the host of {} that it has {size}", subsystem_nqn(*partition, *epoch))
            }
            Self::RemovePartition { drive, partition, .. } => {
                write!(f, "give the space of {partition} on drive {drive} back")
            }
            Self::Export { partition, epoch, host_nqn, .. } => {
                write!(f, "export {} to {host_nqn}", subsystem_nqn(*partition, *epoch))
            }
            Self::Fence { partition, epoch } => write!(f, "fence {}", subsystem_nqn(*partition, *epoch)),
            Self::Connect { partition, epoch, endpoint, .. } => {
                let (address, port) = (&endpoint.address, endpoint.port);
                write!(f, "connect {} at {address}:{port}", subsystem_nqn(*partition, *epoch))
            }
            Self::Disconnect { controller, partition, .. } => {
                write!(f, "disconnect {controller} from {partition}")
            }
            Self::MapLeg { partition, path, .. } => write!(f, "map leg {partition} over {path}"),
            Self::ReloadLeg { partition, path, .. } => write!(f, "give leg {partition} the path {path}"),
            Self::ReinstateLeg { partition, path, .. } => {
                write!(f, "reinstate path {path} of leg {partition}")
            }
            Self::HoldLeg { partition, path, .. } => {
                write!(f, "let leg {partition} hold: its path {path} is gone")
            }
            Self::FailLeg { partition, .. } => write!(f, "let leg {partition} fail"),
            Self::NoteAlone { note } => write!(f, "note that {} lacks writes", note.replica),
            Self::ForgetAlone { note } => write!(f, "forget that {} lacks writes", note.replica),
            Self::UnmapLeg { partition, .. } => write!(f, "unmap leg {partition}"),
            Self::WriteHeaders { volume, column, members, .. } => {
                write!(f, "write superblocks of {volume} column {column} on {} members", members.len())
            }
            Self::ReadHeader { partition, .. } => write!(f, "read the superblock of {partition}"),
            Self::Assemble { device, members, .. } => {
                write!(f, "assemble {device} from {} members", members.len())
            }
            Self::SetWritable { array, .. } => write!(f, "make {array} writable"),
            Self::SetSlots { array, slots, .. } => write!(f, "give {array} {slots} slots"),
            Self::AddMember { array, member, join, .. } => {
                write!(f, "add {} to {array} ({join:?} recovery)", member.partition)
            }
            Self::SetWriteMostly { array, member, on, .. } => {
                write!(f, "{} write-mostly on {member} of {array}", if *on { "set" } else { "clear" })
            }
            Self::FailMember { array, member, .. } => write!(f, "mark {member} of {array} faulty"),
            Self::RemoveMember { array, member, .. } => write!(f, "remove {member} from {array}"),
            Self::GrowArray { array, size, .. } => write!(f, "make {array} {size} large"),
            Self::Thaw { array, .. } => write!(f, "let {array} recover"),
            Self::Compare { array, partition, .. } => {
                write!(f, "compare {partition} with the other copies of {array}")
            }
            Self::Check { array, from, repair: false, .. } => write!(f, "check {array} from {from}"),
            Self::Check { array, from, .. } => write!(f, "check and repair {array} from {from}"),
            Self::StopArray { array, .. } => write!(f, "stop {array}"),
            Self::MapTop { volume, columns, size, .. } => {
                write!(f, "stripe {volume} over {} columns, {size}", columns.len())
            }
            Self::UnmapTop { volume, .. } => write!(f, "take the stripes of {volume} away"),
            Self::Format { volume, fs, .. } => write!(f, "make {fs:?} on {volume}"),
            Self::GrowFs { volume, path, size, .. } => {
                write!(f, "grow the file system of {volume} at {path} to {size}")
            }
            Self::Mount { volume, path, .. } => write!(f, "mount {volume} at {path}"),
            Self::Unmount { volume, path } => write!(f, "unmount {volume} from {path}"),
            Self::Publish { volume, path, .. } => write!(f, "publish {volume} at {path}"),
            Self::Unpublish { volume, path } => write!(f, "publish {volume} at {path} no more"),
            Self::MeasureUse { volume, path, .. } => {
                write!(f, "measure what is in use of {volume} at {path}")
            }
            Self::ShutDown { volume, path, .. } => {
                write!(f, "shut the file system of {volume} at {path} down")
            }
            Self::CutMember { array, member, .. } => write!(f, "cut {member} off from {array}"),
            Self::FindHolders { volume, .. } => write!(f, "find who uses {volume}"),
            Self::EndProcesses { volume, processes } => {
                write!(f, "end whoever uses {volume}, which is lost: {}", names(processes))
            }
        }
    }
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use.
    pub used: Bytes,
    /// Bytes that everybody may still write.
    pub available: Bytes,
    /// Bytes in all. What is free to nobody but root is neither in use nor available.
    pub total: Bytes,
    /// Inodes in use.
    pub inodes_used: u64,
    /// Inodes that are left.
    pub inodes_free: u64,
}

/// What a done step has to say beyond "done".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; what changed is to be seen in the kernel.
    Done,
    /// [`Step::Compare`]: bytes compared, and 512-byte sectors that differed.
    Compared { bytes: Bytes, mismatched_sectors: u64 },
    /// [`Step::Check`]: what is behind it in its column, and 512-byte sectors that differed.
    Checked { to: Bytes, mismatched_sectors: u64 },
    /// [`Step::MeasureUse`]: how full it is.
    Used(Usage),
    /// [`Step::FindHolders`]: who uses it.
    Holders(Vec<Holder>),
}

/// What a failure means to the machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// May go better next time.
    Retry,
    /// A member's superblock is not what it should be: whose, and why.
    BadHeader(Uuid),
    /// A member's superblock cannot be read or written: whose.
    Unreadable(Uuid),
    /// The kernel does not take the member back by bitmap.
    BitmapRefused,
    /// The object is in use by somebody else.
    Busy,
    /// It was told to give way, and left nothing behind.
    Abandoned,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// What it means.
    pub kind: FailureKind,
    /// What was tried and what the kernel said (call, path, errno).
    pub message: String,
}
