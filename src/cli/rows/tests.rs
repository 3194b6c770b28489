use uuid::Uuid;

use super::*;
use crate::domain::testing::{self, put};
use crate::domain::{
    ArrayReport, DriveSpec, Epoch, MdState, Member, NodeSpec, NodeStatus, Record, ReplicaId, ReplicaSpec,
    ReplicaStatus, VolumeSpec, VolumeStatus, Wanted,
};
use crate::plan::timing::Pace;

const NOW: Timestamp = Timestamp(1_000_000);

fn id(number: u128) -> ReplicaId {
    ReplicaId(Uuid::from_u128(number))
}

fn volume_spec() -> VolumeSpec {
    VolumeSpec { created_at: Timestamp(NOW.0 - 90_000), ..testing::volume_spec("a") }
}

fn member(number: u32, node: &str, state: MemberState) -> Member {
    testing::member(number, node, state, Timestamp(NOW.0 - 1000))
}

fn provide(world: &mut World, member: &Member, state: ReplicaState, wanted: Wanted) {
    let size = Bytes::mib(1025);
    let spec = ReplicaSpec {
        id: member.replica,
        volume: "a".parse().unwrap(),
        volume_uid: testing::UID,
        node: member.node.clone(),
        drives: member.drives.clone(),
        partition_size: size,
        export: None,
        wanted,
    };
    let partition = crate::domain::PartitionRecord {
        guid: member.replica.0,
        start: Bytes::mib(1),
        size,
        zeroed_to: size,
        room: size,
    };
    let made = state != ReplicaState::Requested;
    let status = ReplicaStatus {
        state,
        partitions: if made { vec![partition] } else { Vec::new() },
        zeroed: made,
        acked_epoch: Epoch(3),
        ..ReplicaStatus::default()
    };
    put(world, member.replica, Record::ReplicaSpec(spec));
    put(world, member.replica, Record::ReplicaStatus(status));
}

/// A volume whose second copy is being filled.
fn syncing() -> World {
    let mut world = World::default();
    let members = vec![member(1, "n1", MemberState::Synced), member(2, "n2", MemberState::Syncing)];
    for member in &members {
        provide(&mut world, member, ReplicaState::Created, Wanted::Present);
    }
    let status = VolumeStatus {
        phase: VolumePhase::Syncing,
        owner: Some("n1".parse().unwrap()),
        created: true,
        in_sync: [id(1)].into(),
        members,
        array: ArrayReport {
            state: MdState::Recovering,
            sync_permille: Some(452),
            device: Some("/dev/md_x".to_owned()),
            mounted_at: None,
        },
        ..VolumeStatus::default()
    };
    put(&mut world, "a", Record::VolumeSpec(volume_spec()));
    put(&mut world, "a", Record::VolumeStatus(status));
    world
}

fn cells(table: &Table) -> Vec<Vec<&str>> {
    table.rows.iter().map(|row| row.cells.iter().map(String::as_str).collect()).collect()
}

#[test]
fn volumes_as_kubectl_shows_them() {
    let table = volumes(&syncing(), NOW, true);
    assert_eq!(
        table.headers,
        [
            "NAME", "PHASE", "MDSTATE", "READY", "DEGRADED", "SYNC", "NODE", "AGE", "TOTAL", "ACTIVE",
            "FAILED", "DOWN"
        ]
    );
    let row = ["a", "Syncing", "recovering", "1/2", "true", "45.2%", "n1", "90s", "2", "1", "0", "0"];
    assert_eq!(cells(&table), [row]);
    assert_eq!(volumes(&syncing(), NOW, false).headers.len(), 8);
}

#[test]
fn a_volume_without_places_is_new() {
    let mut world = World::default();
    put(&mut world, "a", Record::VolumeSpec(volume_spec()));
    assert_eq!(cells(&volumes(&world, NOW, false)), [["a", "New", "-", "0/2", "false", "", "-", "90s"]]);
    put(&mut world, "a", Record::VolumeSpec(VolumeSpec { deleting: true, ..volume_spec() }));
    assert_eq!(cells(&volumes(&world, NOW, false))[0][1], "Deleting");
}

/// By the volume's own record alone, as `kubectl get` does, which has no other.
#[test]
fn ready_and_degraded_are_those_of_kubectl() {
    for (status, ready, degraded) in testing::readiness() {
        let mut world = World::default();
        put(&mut world, "a", Record::VolumeSpec(volume_spec()));
        put(&mut world, "a", Record::VolumeStatus(status.clone()));
        let row = volumes(&world, NOW, true).rows.remove(0).cells;
        assert_eq!((row[3].as_str(), row[4].as_str()), (ready, degraded.to_string().as_str()), "{status:?}");
        assert_eq!(ready.split('/').next(), Some(row[9].as_str()), "{status:?}");
    }
}

#[test]
fn replicas_show_what_provider_and_owner_say() {
    let table = replicas(&syncing(), NOW, false);
    assert_eq!(table.headers, ["VOLUME", "NODE", "DRIVE", "USED", "ALLOCATED", "STATE", "AGE"]);
    assert_eq!(
        cells(&table),
        [
            ["a", "n1", "S1", "-", "1.0 GiB", "Synced", "1s"],
            ["a", "n2", "S2", "-", "1.0 GiB", "Syncing", "1s"]
        ]
    );
}

#[test]
fn a_copy_that_holds_every_write_has_the_volumes_use() {
    let mut world = syncing();
    let before = world.volume_status(&"a".parse().unwrap()).unwrap().clone();
    put(&mut world, "a", Record::VolumeStatus(VolumeStatus { used: Some(Bytes::mib(37)), ..before }));
    let used: Vec<String> =
        replicas(&world, NOW, false).rows.into_iter().map(|row| row.cells[3].clone()).collect();
    assert_eq!(used, ["37 MiB", "-"]);
}

#[test]
fn replica_states_merge() {
    use ReplicaState::{Created, Deleting, Faulty, Missing, Replacing, Requested, Spare, Synced};
    let cases = [
        (Requested, Wanted::Present, MemberState::Joining, Requested),
        (Created, Wanted::Present, MemberState::Joining, Spare),
        (Created, Wanted::Present, MemberState::Synced, Synced),
        (Missing, Wanted::Present, MemberState::Synced, Missing),
        (Faulty, Wanted::Present, MemberState::Synced, Faulty),
        (Created, Wanted::Present, MemberState::Faulty, Faulty),
        (Created, Wanted::Present, MemberState::Missing, Missing),
        (Created, Wanted::Present, MemberState::Leaving, Replacing),
        (Created, Wanted::Removed, MemberState::Leaving, Deleting),
        (Deleting, Wanted::Removed, MemberState::Leaving, Deleting),
    ];
    for (provider, wanted, state, expected) in cases {
        let mut world = syncing();
        let member = member(1, "n1", state);
        provide(&mut world, &member, provider, wanted);
        let before = world.volume_status(&"a".parse().unwrap()).unwrap().clone();
        let status = VolumeStatus { members: vec![member], ..before.clone() };
        put(&mut world, "a", Record::VolumeStatus(status.clone()));
        let replica = world.replica(&id(1)).unwrap();
        assert_eq!(replica_state(&world, &replica), expected, "{provider} {wanted:?} {state:?}");

        // Before the array ran for the first time a copy is made, and no spare.
        put(&mut world, "a", Record::VolumeStatus(VolumeStatus { created: false, ..status }));
        if (provider, state) == (Created, MemberState::Joining) {
            assert_eq!(replica_state(&world, &replica), Created);
        }
    }
}

#[test]
fn drives_and_nodes() {
    let mut world = syncing();
    let node: NodeName = "n1".parse().unwrap();
    let spec = DriveSpec {
        id: "S1".parse().unwrap(),
        node: node.clone(),
        disk_guid: Uuid::nil(),
        wipe: false,
        cordoned: true,
        evicting: false,
        removing: false,
        added_at: Timestamp(NOW.0 - 300_000),
    };
    let status = testing::drive_status(&node, DriveState::Ready);
    put(&mut world, "S1", Record::DriveSpec(spec));
    put(&mut world, "S1", Record::DriveStatus(status));
    put(&mut world, "n1", Record::NodeSpec(NodeSpec { cordoned: true, ..NodeSpec::default() }));
    let table = drives(&world, NOW, false);
    assert_eq!(
        table.headers,
        ["NAME", "NODE", "MODEL", "CAPACITY", "ALLOCATED", "FREE", "READONLY", "HEALTH", "STATE", "AGE"]
    );
    assert_eq!(
        cells(&table),
        [["S1", "n1", "QEMU", "4 GiB", "1 GiB", "3 GiB", "false", "Good", "Ready", "5m"]]
    );
    assert_eq!(cells(&nodes(&world, NOW, false)), [["n1", "Unknown", "-", "1", "1", "1", "3 GiB", "-"]]);
    let pace = Pace::SPARING;
    let silent = Timestamp(NOW.0 - pace.node_dead_millis);
    for (heartbeat_at, state) in [(Timestamp(silent.0 + 1), "Cordoned"), (silent, "Silent")] {
        let dead_after_millis = pace.node_dead_millis;
        let status = NodeStatus { dead_after_millis, ..testing::node_status(heartbeat_at) };
        put(&mut world, "n1", Record::NodeStatus(status));
        assert_eq!(cells(&nodes(&world, NOW, false))[0][1], state);
    }
    for wide in [drives(&world, NOW, true), nodes(&world, NOW, true), replicas(&world, NOW, true)] {
        assert!(wide.rows.iter().all(|row| row.cells.len() == wide.headers.len()), "{wide:?}");
    }
}
