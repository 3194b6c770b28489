//! A cluster at work: records as the simulation leaves them, and what the kernels of its nodes show then.

use std::collections::{BTreeMap, BTreeSet};

use mdfabric::domain::{
    Bytes, DriveState, Epoch, Kind, Member, NodeName, PlacementEntry, Replica, Timestamp, VolumeName,
    VolumePhase, VolumeUid, World, array_device, array_uuid,
};
use mdfabric::plan::verbs::{self, CreateVolume};
use mdfabric::plan::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, DriveSeen, ExportSeen, MapSeen, MemberFlag,
    MemberSeen, Observation, PartitionSeen, SyncAction, SyncSeen, TableSeen,
};
use mdfabric::sim::{Cluster, Config};
use uuid::Uuid;

/// Volumes in the cluster.
pub(crate) const VOLUMES: u8 = 20;
const SIZE: Bytes = Bytes::mib(512);
/// Virtual milliseconds everything has to be done in.
const DEADLINE: u64 = 3_600_000;

pub(crate) fn node(index: u8) -> NodeName {
    format!("node-{index}").parse().expect("a node's name")
}

fn volume(index: u8) -> VolumeName {
    format!("vol-{index}").parse().expect("a volume's name")
}

fn wish(index: u8) -> CreateVolume {
    let on = |index| PlacementEntry { node: node(index), drive: None };
    CreateVolume { placement: vec![on(1), on(2)], ..CreateVolume::new(volume(index), SIZE) }
}

fn until(cluster: &mut Cluster, what: &str, done: impl Fn(&World) -> bool) {
    assert!(cluster.run_until(DEADLINE, |cluster| done(cluster.world())), "{what}: not so");
}

/// Every volume is attached on node-1 and in sync.
pub(crate) fn served() -> (World, Timestamp) {
    let mut cluster = Cluster::new(Config { capacity: Bytes::gib(64), ..Config::default() });
    cluster.run_for(500);
    let ids: Vec<_> = cluster.world().drives().map(|(id, _)| id).collect();
    for (index, id) in (1u128..).zip(&ids) {
        let add = |world: &World, now| verbs::add_drive(world, id, None, Uuid::from_u128(index), now);
        cluster.request(add).expect("a drive is added");
    }
    until(&mut cluster, "all drives ready", |world| {
        world.drives().all(|(_, drive)| drive.status.is_some_and(|status| status.state == DriveState::Ready))
    });
    for index in 0..VOLUMES {
        let uid = VolumeUid(Uuid::from_u128(0x1000 + u128::from(index)));
        cluster
            .request(|world, now| verbs::create(world, &wish(index), uid, now))
            .expect("a volume is created");
    }
    until(&mut cluster, "all volumes placed", |world| world.volumes().all(|volume| volume.status.is_some()));
    for index in 0..VOLUMES {
        cluster
            .request(|world, _| verbs::attach(world, &volume(index), &node(1)))
            .expect("a volume is attached");
    }
    until(&mut cluster, "all volumes in sync", |world| {
        world.volumes().all(|volume| {
            volume.status.is_some_and(|status| {
                status.phase == VolumePhase::Synced
                    && status.array.device.is_some()
                    && status.in_sync.len() == 2
            })
        })
    });
    cluster.run_for(5_000);
    (cluster.world().clone(), cluster.now())
}

/// The same wishes before anybody has placed them.
pub(crate) fn unplaced((served, now): &(World, Timestamp)) -> (World, Timestamp) {
    let mut world = World::default();
    let made = [Kind::VolumeStatus, Kind::ReplicaSpec, Kind::ReplicaStatus];
    for (key, value) in served.records().filter(|(key, _)| !made.contains(&key.kind)) {
        world.set(key.clone(), Some(value.clone()));
    }
    (world, *now)
}

/// The nodes' devices: local partitions, paths and maps of remote ones, arrays, each with its number.
fn dev(kind: u32, id: Uuid) -> Dev {
    let (high, low) = id.as_u64_pair();
    let minor = u32::try_from((high ^ low) & 0xffff_ffff).unwrap_or_default();
    Dev { major: kind, minor }
}

const PARTITION: u32 = 1;
const PATH: u32 = 2;
const MAP: u32 = 3;
const ARRAY: u32 = 4;

/// A node after its start: drives with their partitions, and nothing else.
pub(crate) fn drives(world: &World, me: &NodeName) -> Observation {
    let mut seen = Observation::default();
    for (id, drive) in world.drives() {
        let (Some(spec), Some(status)) = (drive.spec, drive.status.filter(|status| status.node == *me))
        else {
            continue;
        };
        let replicas = world.replicas().filter(|replica| replica.spec.drives.contains(&id));
        let table = TableSeen::Gpt {
            guid: spec.disk_guid,
            partitions: replicas.flat_map(|replica| partitions(&replica)).collect(),
            free: status.free,
            largest_free: status.largest_free,
            damaged: None,
        };
        let drive = DriveSeen {
            dev: dev(0, spec.disk_guid),
            capacity: status.capacity,
            sector_size: status.sector_size,
            model: status.model,
            read_only: status.read_only,
            health: status.health,
            table,
            found: status.found,
            unanswered: None,
        };
        seen.drives.insert(id, drive);
    }
    seen
}

fn partitions(replica: &Replica) -> BTreeMap<Uuid, PartitionSeen> {
    let made = replica.status.iter().flat_map(|status| &status.partitions);
    made.map(|made| {
        let seen = PartitionSeen {
            start: made.start,
            size: made.size,
            room: made.room,
            dev: Some(dev(PARTITION, made.guid)),
            known: made.size,
        };
        (made.guid, seen)
    })
    .collect()
}

/// A node at work: its exports to others, and the legs and arrays of the volumes it owns.
pub(crate) fn observation(world: &World, me: &NodeName) -> Observation {
    let mut seen = drives(world, me);
    seen.exports = world.replicas().filter(|replica| replica.spec.node == *me).filter_map(export).collect();
    for volume in world.volumes() {
        let Some(status) = volume.status.filter(|status| status.owner.as_ref() == Some(me)) else { continue };
        for member in status.members.iter().filter(|member| member.node != *me) {
            let key = (member.replica.0, status.epoch);
            seen.connections.insert(key, connection(member));
            seen.maps.insert(key, map(member));
        }
        let array = array_uuid(volume.spec.uid, 0);
        let name = array_device(volume.spec.uid, 0);
        seen.arrays.insert(array, array_of(name, array, &status.members, me));
    }
    seen
}

fn export(replica: Replica) -> Option<((Uuid, Epoch), ExportSeen)> {
    let to = replica.spec.export.filter(|export| export.node != replica.spec.node)?;
    let seen = ExportSeen {
        hosts: BTreeSet::from([to.host_nqn]),
        linked: true,
        enabled: true,
        dev: Some(dev(PARTITION, replica.spec.id.0)),
    };
    Some(((replica.spec.id.0, to.epoch), seen))
}

fn connection(member: &Member) -> ConnectionSeen {
    ConnectionSeen {
        controller: "nvme7".to_owned(),
        state: ConnectionState::Live,
        dev: Some(dev(PATH, member.replica.0)),
        size: SIZE,
    }
}

fn map(member: &Member) -> MapSeen {
    let id = member.replica.0;
    MapSeen { dev: dev(MAP, id), path: Some(dev(PATH, id)), path_active: true, queueing: true, size: SIZE }
}

fn array_of(name: String, array: Uuid, members: &[Member], me: &NodeName) -> ArraySeen {
    let member = |(slot, member): (u32, &Member)| {
        let local = member.node == *me;
        let flags = if local { vec![] } else { vec![MemberFlag::WriteMostly] };
        MemberSeen {
            dev: dev(if local { PARTITION } else { MAP }, member.replica.0),
            name: format!("dev-{slot}"),
            slot: Some(slot),
            flags: flags.into_iter().chain([MemberFlag::InSync]).collect(),
        }
    };
    ArraySeen {
        name,
        dev: dev(ARRAY, array),
        state: ArrayState::Clean,
        slots: 2,
        members: (0u32..).zip(members).map(member).collect(),
        sync: SyncSeen { action: SyncAction::Idle, done: 0, total: 0 },
        size: SIZE,
    }
}
