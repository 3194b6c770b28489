//! A volume of two columns: what lies over them, and that a copy is in all of them or in none.

use super::*;
use crate::domain::{Growth, ReplicaId, VolumeName, partition_guid};
use crate::plan::TopSeen;

const COLUMN: Dev = number(20);
const LOCAL_COLUMN: Dev = number(21);
const MAP_COLUMN: Dev = number(22);
const PATH_COLUMN: Dev = number(23);
const TOP: Dev = number(30);

fn volume() -> VolumeName {
    "v".parse().unwrap()
}

fn second(replica: Uuid) -> Uuid {
    partition_guid(ReplicaId(replica), 1)
}

fn top() -> TopSeen {
    TopSeen { dev: TOP, columns: vec![ARRAY, COLUMN], size: Bytes(2 * SIZE.0), suspended: false }
}

fn map_top(size: Bytes) -> Step {
    Step::MapTop { volume: volume(), uid: UID, columns: vec![ARRAY, COLUMN], size }
}

fn change_status(scene: &mut Scene, change: impl FnOnce(&mut VolumeStatus)) {
    let mut status = scene.status().clone();
    change(&mut status);
    put(&mut scene.world, "v", Record::VolumeStatus(status));
}

/// Two copies in sync in both columns, mounted at /m, everything recorded.
fn mounted() -> Scene {
    let mut scene = Scene::mounted();
    let spec = scene.world.volume_spec(&volume()).unwrap().clone();
    let size = Bytes(2 * SIZE.0);
    put(
        &mut scene.world,
        "v",
        Record::VolumeSpec(crate::domain::VolumeSpec { stripe_width: 2, size, ..spec }),
    );
    change_status(&mut scene, |status| {
        status.size = Some(size);
        for member in &mut status.members {
            member.drives.push(format!("{}b", member.drives[0]).parse().unwrap());
        }
    });
    let mut other = drive();
    if let TableSeen::Gpt { partitions, .. } = &mut other.table {
        let partition = PartitionSeen { dev: Some(LOCAL_COLUMN), ..partitions[&LOCAL].clone() };
        *partitions = [(second(LOCAL), partition)].into();
    }
    scene.seen.drives.insert("S1b".parse().unwrap(), other);
    let key = (second(REMOTE), EPOCH);
    scene.seen.connections.insert(key, ConnectionSeen { dev: Some(PATH_COLUMN), ..connection() });
    scene.seen.maps.insert(key, MapSeen { dev: MAP_COLUMN, path: Some(PATH_COLUMN), ..map() });
    let mut column = ArraySeen { name: array_device(UID, 1), dev: COLUMN, ..array() };
    (column.members[0].dev, column.members[1].dev) = (LOCAL_COLUMN, MAP_COLUMN);
    scene.seen.arrays.insert(array_uuid(UID, 1), column);
    scene.seen.tops.insert(UID, top());
    scene.seen.mounts[0].dev = TOP;
    scene.settle();
    scene
}

fn lose_second_leg(scene: &mut Scene) {
    let key = (second(REMOTE), EPOCH);
    scene.seen.connections.get_mut(&key).unwrap().state = ConnectionState::Connecting;
    scene.seen.maps.get_mut(&key).unwrap().path_active = false;
}

#[test]
fn stripes_are_laid_once_all_columns_run_and_used_from_then_on() {
    let mut scene = mounted();
    assert_eq!(scene.plan().steps, [Step::MeasureUse { volume: volume(), dev: TOP, path: "/m".to_owned() }]);
    assert_eq!(scene.status().array.device.as_deref(), Some("/dev/dm-30"));
    scene.seen.mounts.clear();
    for change in [
        |top: &mut TopSeen| top.columns.clear(),
        |top: &mut TopSeen| top.columns.reverse(),
        |top: &mut TopSeen| top.suspended = true,
    ] {
        let mut there = top();
        change(&mut there);
        scene.seen.tops.insert(UID, there);
        assert_eq!(scene.plan().steps, [map_top(Bytes(2 * SIZE.0))], "and nothing is mounted yet");
    }
    scene.seen.tops.clear();
    assert_eq!(scene.plan().steps, [map_top(Bytes(2 * SIZE.0))]);
    scene.seen.arrays.remove(&array_uuid(UID, 1));
    assert!(!scene.plan().steps.iter().any(|step| matches!(step, Step::MapTop { .. })));
}

#[test]
fn stripes_are_as_long_as_all_columns_and_the_size_is_recorded_after_them() {
    let mut scene = mounted();
    let (to, column) = (Bytes(4 * SIZE.0), Bytes(2 * SIZE.0));
    let spec = scene.world.volume_spec(&volume()).unwrap().clone();
    put(&mut scene.world, "v", Record::VolumeSpec(crate::domain::VolumeSpec { size: to, ..spec }));
    change_status(&mut scene, |status| status.growth = Some(Growth { to, started_at: NOW }));
    scene.array().size = column;
    let maps = |scene: &Scene| scene.plan().steps.iter().any(|step| matches!(step, Step::MapTop { .. }));
    assert!(!maps(&scene), "one column is short");
    scene.seen.arrays.get_mut(&array_uuid(UID, 1)).unwrap().size = column;
    assert!(scene.plan().steps.contains(&map_top(to)));
    scene.settle();
    assert_eq!(scene.status().size, Some(Bytes(2 * SIZE.0)), "not before the stripes have it");
    scene.seen.tops.get_mut(&UID).unwrap().size = to;
    scene.settle();
    assert_eq!(scene.status().size, Some(to));
    assert!(!maps(&scene));
}

#[test]
fn the_way_down_is_unmounted_then_no_stripes_then_no_columns() {
    let mut scene = mounted();
    scene.wish(|attachment| attachment.node = "n2".parse().unwrap());
    let unmount = Step::Unmount { volume: volume(), path: "/m".to_owned() };
    assert_eq!(scene.plan().steps, [unmount]);
    scene.seen.mounts[0].path = "/other".to_owned();
    assert_eq!(scene.plan().steps, [], "somebody else has it mounted");
    scene.seen.mounts.clear();
    assert_eq!(scene.plan().steps, [Step::UnmapTop { volume: volume(), uid: UID }]);
    scene.seen.tops.clear();
    let stop = |column| Step::StopArray { volume: volume(), array: array_device(UID, column) };
    assert_eq!(scene.plan().steps, [stop(0), stop(1)]);
}

#[test]
fn a_copy_that_lost_one_column_leaves_the_set_and_every_column() {
    let mut scene = mounted();
    lose_second_leg(&mut scene);
    let key = (second(REMOTE), EPOCH);
    scene.memory.lost_since.insert(key, NOW);
    scene.settle();
    assert_eq!(scene.status().in_sync.len(), 2, "it may be back in a moment");
    assert_eq!(scene.plan().steps, [], "the column that works is left alone");
    scene.now = NOW.plus(timing::LEG_LOSS_MILLIS);
    scene.settle();
    assert_eq!(scene.status().in_sync.len(), 1);
    let (partition, epoch) = key;
    let let_go = Step::FailLeg { partition, epoch, path: Some(PATH_COLUMN), cut: None };
    assert_eq!(scene.plan().steps, [let_go], "only what holds I/O");

    scene.seen.maps.get_mut(&key).unwrap().queueing = false;
    let member = "dev-1".to_owned();
    let fail = Step::FailMember { volume: volume(), array: array_device(UID, 0), member: member.clone() };
    assert!(scene.plan().steps.contains(&fail), "{:?}", scene.plan().steps);
    for uuid in [array_uuid(UID, 0), array_uuid(UID, 1)] {
        let lost = &mut scene.seen.arrays.get_mut(&uuid).unwrap().members[1];
        (lost.slot, lost.flags) = (None, [MemberFlag::Faulty].into());
    }
    let remove = Step::RemoveMember { volume: volume(), array: array_device(UID, 0), member };
    assert!(scene.plan().steps.contains(&remove), "{:?}", scene.plan().steps);
    for uuid in [array_uuid(UID, 0), array_uuid(UID, 1)] {
        scene.seen.arrays.get_mut(&uuid).unwrap().members.pop();
    }
    let joins = |scene: &Scene| scene.plan().steps.iter().any(|step| matches!(step, Step::AddMember { .. }));
    assert!(!joins(&scene), "not in one column alone");
}

/// Whatever its record says now: the volume is what it was made as, and every step is the one that it was.
#[test]
fn another_width_in_the_record_is_refused_by_name_and_changes_nothing() {
    for width in [0, 1, 3, 255] {
        let mut scene = mounted();
        lose_second_leg(&mut scene);
        scene.memory.lost_since.insert((second(REMOTE), EPOCH), NOW);
        scene.now = NOW.plus(timing::LEG_LOSS_MILLIS);
        let before = scene.plan();
        let spec = scene.world.volume_spec(&volume()).unwrap().clone();
        put(
            &mut scene.world,
            "v",
            Record::VolumeSpec(crate::domain::VolumeSpec { stripe_width: width, ..spec }),
        );
        let after = scene.plan();
        assert_eq!(after.steps, before.steps);
        scene.settle();
        let reasons = &scene.status().reasons;
        let refused = reasons.iter().find(|reason| reason.code == "StripeWidthRefused").unwrap();
        assert!(refused.message.contains(&format!("it has 2; {width} is asked for")), "{refused:?}");
        assert_eq!(scene.status().in_sync.len(), 1, "and what happens to it is recorded as ever");
    }
}
