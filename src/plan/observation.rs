//! What was seen of one node's kernel at one moment, in the machines' own words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::{Alone, Waiting};
use crate::domain::{Bytes, DriveId, Epoch, VolumeUid};

/// A device number: good for one observation, never an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dev {
    /// Driver.
    pub major: u32,
    /// Device of that driver.
    pub minor: u32,
}

impl Dev {
    /// Of a device that was removed from the machine while something still holds it.
    pub const GONE: Self = Self { major: 0, minor: 0 };
}

impl fmt::Display for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A node's block world.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Whole disks that have an identity.
    pub drives: BTreeMap<DriveId, DriveSeen>,
    /// Our nvmet subsystems, by partition and epoch.
    pub exports: BTreeMap<(Uuid, Epoch), ExportSeen>,
    /// Our NVMe-oF controllers, by partition and epoch.
    pub connections: BTreeMap<(Uuid, Epoch), ConnectionSeen>,
    /// Our multipath maps, by partition and epoch.
    pub maps: BTreeMap<(Uuid, Epoch), MapSeen>,
    /// MD arrays, by array uuid.
    pub arrays: BTreeMap<Uuid, ArraySeen>,
    /// Our stripes over the columns of volumes.
    pub tops: BTreeMap<VolumeUid, TopSeen>,
    /// Mounts of block devices.
    pub mounts: Vec<MountSeen>,
    /// Block device nodes that are shown at other paths, too.
    pub device_binds: Vec<MountSeen>,
    /// Notes of copies that were let go while the store did not answer.
    pub alone: BTreeSet<Alone>,
    /// What carries none of our names, beside arrays that have a uuid.
    pub strangers: BTreeSet<Stranger>,
}

/// What volumes are made of in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// An NVMe-oF controller.
    Connection,
    /// A subsystem of the NVMe target.
    Export,
    /// A device-mapper device.
    Map,
    /// An MD array.
    Array,
}

/// Somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stranger {
    /// What it is.
    pub thing: Thing,
    /// What the kernel calls it now.
    pub name: String,
    /// What it is known by to whoever made it: NQN, uuid; empty where it has nothing of the kind.
    pub identity: String,
}

impl Observation {
    /// The partition that carries `guid`, on whatever drive.
    #[must_use]
    pub fn partition(&self, drive: &DriveId, guid: Uuid) -> Option<&PartitionSeen> {
        match &self.drives.get(drive)?.table {
            TableSeen::Gpt { partitions, .. } => partitions.get(&guid),
            TableSeen::Absent | TableSeen::Corrupt(_) | TableSeen::Unread => None,
        }
    }

    /// The array that has `dev` as a member.
    #[must_use]
    pub fn array_holding(&self, dev: Dev) -> Option<(&Uuid, &ArraySeen)> {
        self.arrays.iter().find(|(_, array)| array.members.iter().any(|member| member.dev == dev))
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq)]
pub struct DriveSeen {
    /// Its number now.
    pub dev: Dev,
    /// Whole size.
    pub capacity: Bytes,
    /// Logical sector size in bytes.
    pub sector_size: u32,
    /// Model text.
    pub model: String,
    /// The kernel refuses writes.
    pub read_only: bool,
    /// `Good`, or what it complains about.
    pub health: String,
    /// Its partition table.
    pub table: TableSeen,
    /// What else was found on it, mounts and holders included; empty for an empty disk.
    pub found: Vec<String>,
    /// It does not answer: everything else is what was known before.
    pub unanswered: Option<Waiting>,
}

#[cfg(test)]
impl DriveSeen {
    /// One that answers and complains about nothing.
    pub(super) fn good(table: TableSeen, capacity: Bytes) -> Self {
        Self {
            dev: Dev { major: 259, minor: 0 },
            capacity,
            sector_size: 512,
            model: "QEMU".to_owned(),
            read_only: false,
            health: "Good".to_owned(),
            table,
            found: Vec::new(),
            unanswered: None,
        }
    }
}

/// A partition table.
#[derive(Debug, Clone, PartialEq)]
pub enum TableSeen {
    /// No GPT.
    Absent,
    /// A GPT: whose it is says its disk GUID.
    Gpt {
        /// Disk GUID.
        guid: Uuid,
        /// By partition GUID.
        partitions: BTreeMap<Uuid, PartitionSeen>,
        /// Not in partitions and usable.
        free: Bytes,
        /// The largest partition that fits.
        largest_free: Bytes,
        /// One copy of the table is damaged: which, and how.
        damaged: Option<String>,
    },
    /// Both copies are damaged.
    Corrupt(String),
    /// It could not be read yet: the drive has not answered since this daemon started.
    Unread,
}

/// A partition.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionSeen {
    /// First byte.
    pub start: Bytes,
    /// Length by the table.
    pub size: Bytes,
    /// The length it could have where it lies.
    pub room: Bytes,
    /// Its number, once the kernel knows it.
    pub dev: Option<Dev>,
    /// Length as the kernel knows it: less than by the table when a growth was interrupted, 0 without a number.
    pub known: Bytes,
}

/// A subsystem of our target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExportSeen {
    /// Hosts that may connect.
    pub hosts: BTreeSet<String>,
    /// Reachable through a port.
    pub linked: bool,
    /// Its namespace answers.
    pub enabled: bool,
    /// What it serves.
    pub dev: Option<Dev>,
}

/// State of an NVMe-oF controller.
#[doc(alias = "nvme_ctrl_state")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Works.
    Live,
    /// Lost; the kernel tries to reconnect.
    Connecting,
    /// Error recovery began.
    Resetting,
    /// Going.
    Deleting,
    /// Anything else the kernel says.
    Other(String),
}

/// One of our controllers.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionSeen {
    /// `nvme3`.
    pub controller: String,
    /// State.
    pub state: ConnectionState,
    /// Its namespace's block device (the multipath head).
    pub dev: Option<Dev>,
    /// Size of the namespace.
    pub size: Bytes,
}

/// One of our multipath maps.
#[derive(Debug, Clone, PartialEq)]
pub struct MapSeen {
    /// The map's own number: what MD has as member.
    pub dev: Dev,
    /// The path in its live table.
    pub path: Option<Dev>,
    /// The path is usable.
    pub path_active: bool,
    /// Without a path it holds I/O instead of failing it.
    pub queueing: bool,
    /// Its length.
    pub size: Bytes,
}

/// `md/array_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrayState {
    /// Nothing, or only members.
    Inactive,
    /// Read-only until somebody says otherwise.
    ReadOnly,
    /// Read-only until the first write; no recovery until then.
    ReadAuto,
    /// No write since the last mark.
    Clean,
    /// Written.
    Active,
    /// Given up.
    Broken,
    /// A word this version does not know.
    Other(String),
}

/// `md/sync_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAction {
    /// Nothing.
    Idle,
    /// Held.
    Frozen,
    /// All copies are made equal.
    Resync,
    /// A new or returned member is filled.
    Recover,
    /// Copies are compared.
    Check,
    /// Copies are compared and made equal.
    Repair,
    /// Either of them up to an end that somebody set, where it stands: a step does it, or a daemon that died did.
    Piece,
    /// Slots or layout change.
    Reshape,
}

/// A running resync, recovery or check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncSeen {
    /// Which.
    pub action: SyncAction,
    /// 512-byte sectors done.
    pub done: u64,
    /// 512-byte sectors in all, 0 while unknown.
    pub total: u64,
}

/// An MD array.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySeen {
    /// `md_…`.
    pub name: String,
    /// Its number.
    pub dev: Dev,
    /// State.
    pub state: ArrayState,
    /// Slots, filled or not.
    pub slots: u32,
    /// Members.
    pub members: Vec<MemberSeen>,
    /// What it does beside serving, and how it serves.
    pub sync: SyncSeen,
    /// Usable bytes.
    pub size: Bytes,
}

impl ArraySeen {
    /// The member that is `dev`.
    #[must_use]
    pub fn member(&self, dev: Dev) -> Option<&MemberSeen> {
        self.members.iter().find(|member| member.dev == dev)
    }

    /// Whether a copy is made or compared.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        !matches!(self.sync.action, SyncAction::Idle | SyncAction::Frozen)
    }

    /// Whether it takes writes.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self.state, ArrayState::Clean | ArrayState::Active)
    }
}

/// A word in `md/dev-*/state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberFlag {
    /// Holds every write.
    InSync,
    /// Kicked out.
    Faulty,
    /// Has no slot, or is being filled.
    Spare,
    /// Read only when nothing else can be.
    WriteMostly,
    /// Wants to be replaced.
    WantReplacement,
    /// Waits for userspace.
    Blocked,
}

/// A member of an array.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSeen {
    /// Its number.
    pub dev: Dev,
    /// `dev-nvme0n1p1`: the directory that stands for it in the array's sysfs.
    pub name: String,
    /// Its slot now.
    pub slot: Option<u32>,
    /// State words.
    pub flags: BTreeSet<MemberFlag>,
}

impl MemberSeen {
    /// Whether a state word is set.
    #[must_use]
    pub fn is(&self, flag: MemberFlag) -> bool {
        self.flags.contains(&flag)
    }
}

/// The stripes over the columns of a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct TopSeen {
    /// Its number.
    pub dev: Dev,
    /// The columns of its live table, in order; none while it has no table.
    pub columns: Vec<Dev>,
    /// The length of its live table.
    pub size: Bytes,
    /// What is sent to it waits: a table could not be put in force.
    pub suspended: bool,
}

/// A mounted device.
#[derive(Debug, Clone, PartialEq)]
pub struct MountSeen {
    /// What.
    pub dev: Dev,
    /// Where.
    pub path: String,
    /// Mounted read-only.
    pub read_only: bool,
}

/// The state of what changes without an event: controllers, and what arrays do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Controllers by partition and epoch; one that is gone is missing.
    pub connections: BTreeMap<(Uuid, Epoch), ConnectionState>,
    /// Arrays by uuid; one that is gone is missing.
    pub arrays: BTreeMap<Uuid, SyncSeen>,
}

impl Observation {
    /// Whether something is there whose changes the kernel does not announce.
    #[must_use]
    pub fn needs_sampling(&self) -> bool {
        !self.connections.is_empty() || self.arrays.values().any(ArraySeen::is_syncing)
    }

    /// Takes in what a sample says of the same objects. `true` when something came, went or changed its state: then
    /// everything has to be looked at again.
    pub fn take(&mut self, sample: &Sample) -> bool {
        let states =
            |seen: &Self| -> Vec<_> { seen.arrays.values().map(|array| array.sync.action).collect() };
        let before = states(self);
        for (array, sync) in
            self.arrays.iter_mut().filter_map(|(uuid, array)| Some((array, sample.arrays.get(uuid)?)))
        {
            array.sync = *sync;
        }
        let connections = self.connections.iter().map(|(key, seen)| (key, &seen.state));
        !connections.eq(&sample.connections)
            || self.arrays.len() != sample.arrays.len()
            || before != states(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: Uuid = Uuid::from_u128(1);
    const IDLE: SyncSeen = SyncSeen { action: SyncAction::Idle, done: 0, total: 0 };

    fn seen() -> (Observation, Sample) {
        let array = ArraySeen {
            name: "md_1".to_owned(),
            dev: Dev { major: 9, minor: 1 },
            state: ArrayState::Clean,
            slots: 2,
            members: Vec::new(),
            sync: IDLE,
            size: Bytes(0),
        };
        let connection = ConnectionSeen {
            controller: "nvme1".to_owned(),
            state: ConnectionState::Live,
            dev: None,
            size: Bytes(0),
        };
        let key = (Uuid::from_u128(2), Epoch(1));
        let seen = Observation {
            arrays: [(ARRAY, array)].into(),
            connections: [(key, connection)].into(),
            ..Observation::default()
        };
        let sample =
            Sample { connections: [(key, ConnectionState::Live)].into(), arrays: [(ARRAY, IDLE)].into() };
        (seen, sample)
    }

    #[test]
    fn progress_is_taken_in_and_asks_for_no_look() {
        let (mut seen, mut sample) = seen();
        let recovers = SyncSeen { action: SyncAction::Recover, done: 5, total: 9 };
        seen.arrays.get_mut(&ARRAY).unwrap().sync = recovers;
        let further = SyncSeen { done: 7, ..recovers };
        sample.arrays.insert(ARRAY, further);
        assert!(!seen.take(&sample));
        assert_eq!(seen.arrays[&ARRAY].sync, further);
    }

    #[test]
    fn whatever_changes_its_state_comes_or_goes_asks_for_a_look() {
        let (seen, calm) = seen();
        let mut recovers = calm.clone();
        let sync = SyncSeen { action: SyncAction::Recover, done: 0, total: 9 };
        recovers.arrays.insert(ARRAY, sync);
        let gone = Sample { arrays: BTreeMap::new(), ..calm.clone() };
        let lost = calm.connections.keys().map(|key| (*key, ConnectionState::Connecting)).collect();
        let lost = Sample { connections: lost, ..calm.clone() };
        let cut = Sample { connections: BTreeMap::new(), ..calm };
        for sample in [recovers, gone, lost, cut] {
            assert!(seen.clone().take(&sample), "{sample:?}");
        }
    }
}
