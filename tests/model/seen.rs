//! What a daemon sees of its kernel.

use mdfabric::domain::{Bytes, Epoch, PartitionRecord, World, array_device, array_uuid};
use mdfabric::plan::placement::HEADER;
use mdfabric::plan::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, DriveSeen, ExportSeen, MapSeen, MemberFlag,
    MemberSeen, Observation, PartitionSeen, SyncAction, SyncSeen, TableSeen,
};

use super::records::Setup;
use super::state::{Array, Leg, Role, State};

const SIZE: Bytes = Bytes::gib(1);
/// A copy's partition, and a leg to it.
const PARTITION: Bytes = Bytes(SIZE.0 + HEADER.0);

fn partition_dev(copy: usize) -> Dev {
    Dev { major: 259, minor: u32::try_from(copy).unwrap() }
}

fn path_dev((copy, epoch): (u8, u64)) -> Dev {
    Dev { major: 260, minor: u32::from(copy) * 1000 + u32::try_from(epoch).unwrap() }
}

fn map_dev(key: (u8, u64)) -> Dev {
    Dev { major: 253, ..path_dev(key) }
}

/// Which copy a member's device is.
pub(crate) fn copy_at(dev: Dev) -> u8 {
    u8::try_from(if dev.major == 259 { dev.minor } else { dev.minor / 1000 }).unwrap()
}

fn member_dev(me: usize, copy: u8, epoch: u64) -> Dev {
    if usize::from(copy) == me { partition_dev(me) } else { map_dev((copy, epoch)) }
}

impl State {
    pub(crate) fn observe(&self, setup: &Setup, me: usize) -> Observation {
        let node = &self.nodes[me];
        let guid = |key: &(u8, u64)| (setup.replicas[usize::from(key.0)].0, Epoch(key.1));
        let export = |key: &(u8, u64)| {
            let host = self.host_of(setup, me, *key);
            let seen = ExportSeen {
                hosts: host.into_iter().collect(),
                linked: true,
                enabled: true,
                dev: Some(partition_dev(me)),
            };
            (guid(key), seen)
        };
        let connection = |(key, leg): (&(u8, u64), &Leg)| {
            let live = self.is_through(me, *key);
            let state = if live { ConnectionState::Live } else { ConnectionState::Connecting };
            let seen = ConnectionSeen {
                controller: "nvme".to_owned(),
                state,
                dev: Some(path_dev(*key)),
                size: PARTITION,
            };
            leg.connected.then(|| (guid(key), seen))
        };
        let map = |(key, leg): (&(u8, u64), &Leg)| {
            let map = leg.map?;
            let (dev, path) = (map_dev(*key), Some(path_dev(*key)));
            Some((
                guid(key),
                MapSeen { dev, path, path_active: map.active, queueing: map.queueing, size: PARTITION },
            ))
        };
        let arrays = node.array.iter().map(|array| (array_uuid(setup.uid, 0), seen_array(setup, me, array)));
        Observation {
            drives: [(setup.drives[me].clone(), drive(setup, me, &self.store.world))].into(),
            exports: node.exports.iter().map(export).collect(),
            connections: node.legs.iter().filter_map(connection).collect(),
            maps: node.legs.iter().filter_map(map).collect(),
            arrays: arrays.collect(),
            ..Observation::default()
        }
    }

    /// Whom an export of an epoch lets in: the owner that was told in it.
    fn host_of(&self, setup: &Setup, me: usize, key: (u8, u64)) -> Option<String> {
        let spec = self.view(me).world.replica_spec(&setup.replicas[usize::from(key.0)])?;
        let export = spec.export.as_ref().filter(|export| export.epoch.0 == key.1)?;
        Some(export.host_nqn.clone())
    }
}

fn seen_array(setup: &Setup, me: usize, array: &Array) -> ArraySeen {
    let recovering = array.members.values().any(|role| matches!(role, Role::Filling { .. }));
    let action = match (recovering, array.resync) {
        (true, _) => SyncAction::Recover,
        (false, true) => SyncAction::Resync,
        (false, false) => SyncAction::Idle,
    };
    ArraySeen {
        name: array_device(setup.uid, 0),
        dev: Dev { major: 9, minor: 1 },
        state: ArrayState::Clean,
        slots: array.slots,
        members: array.members.iter().map(|(copy, role)| seen_member(me, array, *copy, *role)).collect(),
        sync: SyncSeen { action, done: 0, total: 0 },
        size: SIZE,
    }
}

fn seen_member(me: usize, array: &Array, copy: u8, role: Role) -> MemberSeen {
    let flag = match role {
        Role::InSync => MemberFlag::InSync,
        Role::Filling { .. } | Role::Spare { .. } => MemberFlag::Spare,
        Role::Faulty => MemberFlag::Faulty,
    };
    let slot = matches!(role, Role::InSync | Role::Filling { .. }).then_some(u32::from(copy));
    let remote = (usize::from(copy) != me).then_some(MemberFlag::WriteMostly);
    MemberSeen {
        dev: member_dev(me, copy, array.epoch),
        name: copy.to_string(),
        slot,
        flags: [flag].into_iter().chain(remote).collect(),
    }
}

fn drive(setup: &Setup, me: usize, world: &World) -> DriveSeen {
    let spec = world.drive_spec(&setup.drives[me]).unwrap();
    let status = setup.replicas.get(me).and_then(|replica| world.replica_status(replica));
    let seen = |record: &PartitionRecord| {
        (
            record.guid,
            PartitionSeen {
                start: record.start,
                size: record.size,
                room: record.size,
                known: record.size,
                dev: Some(partition_dev(me)),
            },
        )
    };
    let partitions = status.iter().flat_map(|status| &status.partitions).map(seen).collect();
    DriveSeen {
        dev: Dev { major: 8, minor: u32::try_from(me).unwrap() },
        capacity: Bytes::gib(4),
        sector_size: 512,
        model: String::new(),
        read_only: false,
        health: "Good".to_owned(),
        table: TableSeen::Gpt {
            guid: spec.disk_guid,
            partitions,
            free: Bytes::gib(1),
            largest_free: Bytes::gib(1),
            damaged: None,
        },
        found: Vec::new(),
        unanswered: None,
    }
}
