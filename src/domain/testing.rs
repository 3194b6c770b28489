//! Records that tests of several modules begin with; each test changes what it is about.

use std::fmt::Display;

use uuid::Uuid;

use super::{
    Bytes, DriveState, DriveStatus, Endpoint, FsType, Key, Locality, Member, MemberState, NodeName,
    NodeStatus, OnStoreLoss, Placed, PlacementRequest, Record, ReplicaId, Revision, ScrubRequest, SectorSize,
    Timestamp, Verify, Versioned, VolumePhase, VolumeSpec, VolumeStatus, VolumeUid, World,
};

/// The identity of every [`volume_spec`].
pub(crate) const UID: VolumeUid = VolumeUid(Uuid::from_u128(9));

/// Puts a record into the world, one revision above what is there.
pub(crate) fn put(world: &mut World, name: impl Display, value: Record) {
    let key = Key::new(value.kind(), name);
    let revision = Revision(world.revision(&key).0 + 1);
    world.set(key, Some(Versioned { revision, value }));
}

/// A node whose daemon was heard at `heartbeat_at`.
pub(crate) fn node_status(heartbeat_at: Timestamp) -> NodeStatus {
    NodeStatus {
        endpoint: Endpoint { address: "10.0.0.2".to_owned(), port: 4420 },
        host_nqn: "nqn".to_owned(),
        host_id: Uuid::nil(),
        kernel: "6.12".to_owned(),
        version: "0".to_owned(),
        boot_id: "b".to_owned(),
        missing: Vec::new(),
        heartbeat_at,
        dead_after_millis: 0,
    }
}

/// Statuses of a volume of two copies, and what every table says of them: READY and DEGRADED.
pub(crate) fn readiness() -> Vec<(VolumeStatus, &'static str, bool)> {
    let numbers = |count: u128| (1..=count).map(|number| ReplicaId(Uuid::from_u128(number))).collect();
    let placed = |copies, before| {
        let (generation, entries) = (1, Vec::new());
        Some(Placed { generation, replicas: copies, entries, copies, before })
    };
    let status = |phase, created, in_sync| {
        let (in_sync, placed) = (numbers(in_sync), placed(2, None));
        VolumeStatus { phase, in_sync, created, placed, ..VolumeStatus::default() }
    };
    let growing = VolumeStatus { placed: placed(3, Some(2)), ..status(VolumePhase::Syncing, true, 2) };
    vec![
        (status(VolumePhase::Requested, false, 2), "0/2", false),
        (status(VolumePhase::Synced, false, 2), "2/2", false),
        (status(VolumePhase::Requested, true, 2), "2/2", false),
        (status(VolumePhase::Synced, true, 2), "2/2", false),
        (status(VolumePhase::Syncing, true, 1), "1/2", true),
        (growing, "2/3", false),
        (status(VolumePhase::Deleting, false, 2), "0/2", false),
        (status(VolumePhase::Deleting, true, 2), "2/2", false),
    ]
}

/// Two copies of 1 GiB, asked for at the beginning of time, everything else at its default.
pub(crate) fn volume_spec(name: &str) -> VolumeSpec {
    VolumeSpec {
        name: name.parse().unwrap(),
        uid: UID,
        created_at: Timestamp(0),
        size: Bytes::gib(1),
        replicas: 2,
        stripe_width: 1,
        fs: FsType::default(),
        sector_size: SectorSize::default(),
        member_missing_timeout_seconds: 900,
        locality: Locality::default(),
        verify: Verify::default(),
        on_store_loss: OnStoreLoss::default(),
        scrub: ScrubRequest::default(),
        attachment: None,
        placement: PlacementRequest::default(),
        deleting: false,
        forced: None,
    }
}

/// The copy of this number, on drive `S` and the number.
pub(crate) fn member(number: u32, node: &str, state: MemberState, since: Timestamp) -> Member {
    Member {
        replica: ReplicaId(Uuid::from_u128(number.into())),
        node: node.parse().unwrap(),
        drives: vec![format!("S{number}").parse().unwrap()],
        dev_number: number,
        state,
        since,
        diverged: false,
        waited_millis: 0,
    }
}

/// A healthy drive of 4 GiB, 1 GiB of it in use.
pub(crate) fn drive_status(node: &NodeName, state: DriveState) -> DriveStatus {
    DriveStatus {
        node: node.clone(),
        state,
        model: "QEMU".to_owned(),
        capacity: Bytes::gib(4),
        allocated: Bytes::gib(1),
        free: Bytes::gib(3),
        largest_free: Bytes::gib(3),
        sector_size: 512,
        read_only: false,
        health: "Good".to_owned(),
        found: Vec::new(),
        message: None,
    }
}
