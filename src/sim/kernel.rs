//! What a power cut takes: exports, connections, maps, arrays, mounts.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::disk::{Disk, blocks_in};
use super::drives::DriveFault;
use super::stripes::Top;
use crate::domain::{Bytes, DriveId, Epoch, FsType, NodeName, VolumeUid};
use crate::plan::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, ExportSeen, MapSeen, MemberFlag, MemberSeen,
    MountSeen, Observation, SyncAction, SyncSeen,
};

/// A partition in one epoch.
pub(super) type Key = (Uuid, Epoch);

#[derive(Debug, Clone, Default)]
pub(super) struct Export {
    pub(super) hosts: BTreeSet<String>,
    pub(super) linked: bool,
    pub(super) enabled: bool,
    pub(super) partition: Uuid,
    pub(super) dev: Option<Dev>,
    pub(super) size: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) controller: String,
    pub(super) state: ConnectionState,
    pub(super) provider: NodeName,
    pub(super) head: Dev,
    pub(super) size: Bytes,
    /// When the state changes by itself: keep-alive runs out, or the next reconnect is tried.
    pub(super) due: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) dev: Dev,
    pub(super) path: Option<Dev>,
    pub(super) active: bool,
    pub(super) queueing: bool,
    pub(super) size: Bytes,
}

#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "the kernel's state words are independent")]
pub(super) struct ArrayMember {
    pub(super) dev: Dev,
    pub(super) name: String,
    pub(super) device: Uuid,
    pub(super) dev_number: u32,
    pub(super) slot: Option<u32>,
    pub(super) faulty: bool,
    pub(super) in_sync: bool,
    pub(super) write_mostly: bool,
    /// Blocks that recovery still has to copy; only while it has a slot and is not in sync.
    pub(super) left: BTreeSet<u8>,
    /// It came back with its bitmap.
    pub(super) by_bitmap: bool,
    /// Its superblock is behind the array's.
    pub(super) header_due: bool,
    /// The array's events as its superblock has them.
    pub(super) recorded: u64,
    /// What it offers, as its superblock says.
    pub(super) room: Bytes,
}

impl ArrayMember {
    pub(super) fn takes_writes(&self) -> bool {
        !self.faulty && self.slot.is_some()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) block: u8,
    pub(super) version: u64,
    pub(super) waiting: BTreeSet<Uuid>,
    pub(super) issued: bool,
    pub(super) landed: bool,
    /// It missed a slot: its bit stays (`R1BIO_Degraded`).
    pub(super) missed: bool,
}

impl Write {
    pub(super) fn new(block: u8, version: u64) -> Self {
        Self { block, version, waiting: BTreeSet::new(), issued: false, landed: false, missed: false }
    }
}

#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "the kernel's states of an array are independent")]
pub(super) struct Array {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) dev: Dev,
    pub(super) state: ArrayState,
    pub(super) slots: u32,
    pub(super) members: Vec<ArrayMember>,
    pub(super) events: u64,
    pub(super) events_cleared: u64,
    pub(super) roles: BTreeMap<u32, super::disk::Role>,
    pub(super) dirty: BTreeSet<u8>,
    /// Bits that stay until what they stand for has been copied (`NEEDED`, drivers/md/md-bitmap.c).
    pub(super) needed: BTreeSet<u8>,
    pub(super) clean: bool,
    pub(super) last_write: u64,
    pub(super) pending: Vec<Write>,
    pub(super) resync: BTreeSet<u8>,
    pub(super) sync_at: u64,
    /// When its users do something next, and when a bit goes.
    pub(super) io_at: u64,
    pub(super) forget_at: u64,
    pub(super) size: Bytes,
    /// An application has it open.
    pub(super) open: bool,
    /// A call waits inside `mddev_suspend`: nothing else moves.
    pub(super) frozen: bool,
    /// The file system on it is shut down: which.
    pub(super) shut_down: Option<FsType>,
    /// A member was cut off from it.
    pub(super) cut: bool,
    /// `sync_action` is `frozen`: no recovery begins and no member loses its slot.
    pub(super) held: bool,
}

impl Array {
    pub(super) fn member(&self, device: Uuid) -> Option<&ArrayMember> {
        self.members.iter().find(|member| member.device == device)
    }

    pub(super) fn member_mut(&mut self, device: Uuid) -> Option<&mut ArrayMember> {
        self.members.iter_mut().find(|member| member.device == device)
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self.state, ArrayState::Clean | ArrayState::Active)
    }

    pub(super) fn is_degraded(&self) -> bool {
        let whole = self.members.iter().filter(|member| member.in_sync && !member.faulty).count();
        whole < usize::try_from(self.slots).unwrap_or(usize::MAX)
    }

    /// Whether a slot is vacant, or has somebody faulty: what is written or copied then may be asked for again (`still_degraded` of `raid1_sync_request`).
    pub(super) fn misses_slot(&self) -> bool {
        let held = self.members.iter().filter(|member| member.takes_writes()).count();
        held < usize::try_from(self.slots).unwrap_or(usize::MAX)
    }

    pub(super) fn free_slot(&self) -> Option<u32> {
        (0..self.slots).find(|slot| !self.members.iter().any(|member| member.slot == Some(*slot)))
    }

    fn is_recovering(&self) -> bool {
        self.members.iter().any(|member| member.slot.is_some() && !member.in_sync)
    }

    /// A recovery or a resync is under way.
    pub(super) fn is_copying(&self) -> bool {
        self.is_recovering() || !self.resync.is_empty()
    }

    fn sync(&self) -> SyncSeen {
        if self.held {
            return SyncSeen { action: SyncAction::Frozen, done: 0, total: 0 };
        }
        let left = self.members.iter().map(|member| member.left.len()).max().unwrap_or(0);
        let (action, left) = if self.is_recovering() {
            (SyncAction::Recover, left)
        } else if self.resync.is_empty() {
            return SyncSeen { action: SyncAction::Idle, done: 0, total: 0 };
        } else {
            (SyncAction::Resync, self.resync.len())
        };
        let total = u64::from(blocks_in(self.size));
        SyncSeen { action, done: total.saturating_sub(left as u64) * 2048, total: total * 2048 }
    }

    fn seen(&self) -> ArraySeen {
        ArraySeen {
            name: self.name.clone(),
            dev: self.dev,
            state: self.state.clone(),
            slots: self.slots,
            members: self.members.iter().map(seen_member).collect(),
            sync: self.sync(),
            size: self.size,
        }
    }
}

fn seen_member(member: &ArrayMember) -> MemberSeen {
    let flags = [
        (MemberFlag::InSync, member.in_sync && !member.faulty),
        (MemberFlag::Faulty, member.faulty),
        (MemberFlag::Spare, !member.in_sync && !member.faulty),
        (MemberFlag::WriteMostly, member.write_mostly),
    ];
    MemberSeen {
        dev: member.dev,
        name: member.name.clone(),
        slot: member.slot,
        flags: flags.into_iter().filter(|(_, on)| *on).map(|(flag, _)| flag).collect(),
    }
}

/// One node's kernel.
#[derive(Debug, Clone, Default)]
pub(super) struct Kernel {
    pub(super) exports: BTreeMap<Key, Export>,
    pub(super) connections: BTreeMap<Key, Connection>,
    pub(super) maps: BTreeMap<Key, Map>,
    pub(super) arrays: BTreeMap<Uuid, Array>,
    /// Stripes over the columns of volumes.
    pub(super) tops: BTreeMap<VolumeUid, Top>,
    pub(super) mounts: BTreeMap<String, MountSeen>,
    /// Devices that are shown at other paths.
    pub(super) device_binds: BTreeMap<String, MountSeen>,
    /// Devices of mounts that are going, by path.
    pub(super) unmounting: BTreeMap<String, Dev>,
    next_minor: u32,
}

impl Kernel {
    /// A device number nobody had since boot.
    pub(super) fn new_dev(&mut self, major: u32) -> Dev {
        self.next_minor += 1;
        Dev { major, minor: self.next_minor }
    }

    pub(super) fn map_of(&self, dev: Dev) -> Option<(&Key, &Map)> {
        self.maps.iter().find(|(_, map)| map.dev == dev)
    }

    pub(super) fn connection_of(&self, head: Dev) -> Option<(&Key, &Connection)> {
        self.connections.iter().find(|(_, connection)| connection.head == head)
    }

    pub(super) fn holds(&self, dev: Dev) -> bool {
        self.arrays.values().any(|array| array.members.iter().any(|member| member.dev == dev))
    }

    pub(super) fn array_named(&self, name: &str) -> Option<Uuid> {
        self.arrays.values().find(|array| array.name == name).map(|array| array.uuid)
    }

    /// What a daemon on this node sees. `has_namespace` says whether a connection's namespace is there.
    pub(super) fn observe(
        &self,
        disks: &BTreeMap<DriveId, Disk>,
        has_namespace: impl Fn(&Key, &Connection) -> bool,
    ) -> Observation {
        let connection = |(key, connection): (&Key, &Connection)| {
            let seen = ConnectionSeen {
                controller: connection.controller.clone(),
                state: connection.state.clone(),
                dev: has_namespace(key, connection).then_some(connection.head),
                size: connection.size,
            };
            (*key, seen)
        };
        Observation {
            drives: disks
                .iter()
                .filter(|(_, disk)| disk.fault != DriveFault::Pulled)
                .map(|(id, disk)| (id.clone(), disk.seen()))
                .collect(),
            exports: self.exports.iter().map(|(key, export)| (*key, seen_export(export))).collect(),
            connections: self.connections.iter().map(connection).collect(),
            maps: self.maps.iter().map(|(key, map)| (*key, seen_map(map))).collect(),
            arrays: self.arrays.iter().map(|(uuid, array)| (*uuid, array.seen())).collect(),
            tops: self.tops.iter().map(|(uid, top)| (*uid, top.seen())).collect(),
            mounts: self.mounts.values().cloned().collect(),
            device_binds: self.device_binds.values().cloned().collect(),
            alone: BTreeSet::new(),
            strangers: BTreeSet::new(),
        }
    }
}

fn seen_export(export: &Export) -> ExportSeen {
    ExportSeen {
        hosts: export.hosts.clone(),
        linked: export.linked,
        enabled: export.enabled,
        dev: export.dev,
    }
}

fn seen_map(map: &Map) -> MapSeen {
    MapSeen { dev: map.dev, path: map.path, path_active: map.active, queueing: map.queueing, size: map.size }
}
