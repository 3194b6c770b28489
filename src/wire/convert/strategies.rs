//! Any record, for tests.

use std::fmt::Debug;
use std::str::FromStr;

use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::domain::*;

fn label<T: FromStr<Err = InvalidName> + Debug>() -> impl Strategy<Value = T> {
    "[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

fn drive() -> impl Strategy<Value = DriveId> {
    "[!-.0-~]{1,64}".prop_map(|text| text.parse().unwrap())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn replica() -> impl Strategy<Value = ReplicaId> {
    uuid().prop_map(ReplicaId)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    any::<u64>().prop_map(Bytes)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), any::<String>()]
}

prop_compose! {
    fn reason()(
        code in text(),
        severity in select(vec![Severity::Waiting, Severity::Warning, Severity::Blocked]),
        message in text(),
        next_step in text(),
    ) -> Reason {
        Reason { code, severity, message, next_step }
    }
}

fn attachment() -> impl Strategy<Value = Attachment> {
    let how = (vec(text(), 0..3), of(any::<u32>()));
    let mount = (text(), any::<bool>(), how).prop_map(|(path, read_only, (options, group))| MountRequest {
        path,
        read_only,
        options,
        group,
    });
    let publication = (text(), any::<bool>()).prop_map(|(path, read_only)| Publication { path, read_only });
    (label(), of(mount), vec(publication, 0..3)).prop_map(|(node, mount, published)| Attachment {
        node,
        mount,
        published,
    })
}

fn entries() -> impl Strategy<Value = Vec<PlacementEntry>> {
    vec((label(), of(drive())).prop_map(|(node, drive)| PlacementEntry { node, drive }), 0..4)
}

fn placement() -> impl Strategy<Value = PlacementRequest> {
    (any::<u64>(), entries()).prop_map(|(generation, entries)| PlacementRequest { generation, entries })
}

prop_compose! {
    fn placed()(
        (generation, replicas, copies, before) in any::<(u64, u8, u8, Option<u8>)>(),
        entries in entries(),
    ) -> Placed {
        Placed { generation, replicas, entries, copies, before }
    }
}

fn force() -> impl Strategy<Value = Force> {
    (replica(), epoch(), text(), time()).prop_map(|(replica, epoch, by, at)| Force { replica, epoch, by, at })
}

prop_compose! {
    pub(crate) fn volume_spec()(
        (name, uid, created_at, size) in (label(), uuid().prop_map(VolumeUid), time(), bytes()),
        (replicas, stripe_width, member_missing_timeout_seconds, deleting) in any::<(u8, u8, u32, bool)>(),
        fs in select(vec![FsType::Raw, FsType::Ext4, FsType::Xfs]),
        sector_size in select(vec![SectorSize::B512, SectorSize::B4096]),
        locality in select(vec![Locality::Follow, Locality::Fixed]),
        verify in select(vec![Verify::Sampled, Verify::Full, Verify::Off]),
        on_store_loss in select(vec![OnStoreLoss::Suspend, OnStoreLoss::Continue]),
        attachment in of(attachment()),
        (scrub, placement, forced) in (scrub_request(), placement(), of(force())),
    ) -> VolumeSpec {
        VolumeSpec {
            name, uid, created_at, size, replicas, stripe_width, fs, sector_size, member_missing_timeout_seconds,
            locality, verify, on_store_loss, scrub, attachment, placement, deleting, forced,
        }
    }
}

prop_compose! {
    fn member()(
        replica in replica(),
        node in label(),
        drives in vec(drive(), 0..4),
        dev_number in any::<u32>(),
        state in select(vec![
            MemberState::Joining, MemberState::Syncing, MemberState::Synced, MemberState::Missing,
            MemberState::Faulty, MemberState::Leaving,
        ]),
        since in time(),
        (diverged, waited_millis) in any::<(bool, u64)>(),
    ) -> Member {
        Member { replica, node, drives, dev_number, state, since, diverged, waited_millis }
    }
}

prop_compose! {
    fn relocation()(
        joining in of(replica()),
        leaving in of(replica()),
        from in of(label()),
        cause in select(vec![
            MoveCause::Placement, MoveCause::FollowOwner, MoveCause::Heal, MoveCause::Evacuate, MoveCause::Expand,
        ]),
        started_at in time(),
        verified in any::<bool>(),
    ) -> Relocation {
        Relocation { joining, leaving, from, cause, started_at, verified }
    }
}

prop_compose! {
    fn move_report()(
        from in of(label()), to in of(label()), millis in any::<u64>(), copied in bytes(), finished_at in time(),
    ) -> MoveReport {
        MoveReport { from, to, millis, copied, finished_at }
    }
}

fn tried() -> impl Strategy<Value = Tried> {
    (drive(), uuid(), text()).prop_map(|(drive, disk_guid, why)| Tried { drive, disk_guid, why })
}

prop_compose! {
    fn array()(
        state in select(vec![
            MdState::Stopped, MdState::Active, MdState::Clean, MdState::Degraded, MdState::Recovering,
            MdState::Checking, MdState::Waiting, MdState::Broken,
        ]),
        sync_permille in of(any::<u16>()),
        device in of(text()),
        mounted_at in of(text()),
    ) -> ArrayReport {
        ArrayReport { state, sync_permille, device, mounted_at }
    }
}

prop_compose! {
    fn scrub_request()(
        (every_seconds, generation, stop, repair) in any::<(u64, u64, bool, bool)>(),
    ) -> ScrubRequest {
        ScrubRequest { every_seconds, generation, stop, repair }
    }
}

fn scrub_status() -> impl Strategy<Value = ScrubStatus> {
    let run =
        (time(), any::<bool>(), bytes(), bytes()).prop_map(|(started_at, repair, position, mismatched)| {
            ScrubRun { started_at, repair, position, mismatched }
        });
    let last = (time(), any::<bool>(), bytes()).prop_map(|(finished_at, repaired, mismatched)| ScrubReport {
        finished_at,
        repaired,
        mismatched,
    });
    (any::<u64>(), of(run), of(last)).prop_map(|(generation, running, last)| ScrubStatus {
        generation,
        running,
        last,
    })
}

fn growth() -> impl Strategy<Value = Growth> {
    (bytes(), time()).prop_map(|(to, started_at)| Growth { to, started_at })
}

fn published() -> impl Strategy<Value = Published> {
    (text(), any::<bool>()).prop_map(|(path, shown)| Published { path, shown })
}

fn event() -> impl Strategy<Value = Event> {
    (time(), text(), text()).prop_map(|(at, reason, message)| Event { at, reason, message })
}

prop_compose! {
    pub(crate) fn volume_status()(
        phase in select(vec![
            VolumePhase::New, VolumePhase::Requested, VolumePhase::Syncing, VolumePhase::Synced,
            VolumePhase::Expanding, VolumePhase::Replacing, VolumePhase::Deleting,
        ]),
        (epoch, forced, owner, claimed_at, taken_over) in
            (epoch(), epoch(), of(label()), time(), any::<bool>()),
        in_sync in btree_set(replica(), 0..4),
        members in vec(member(), 0..4),
        (members_made, created, formatted) in any::<(u32, bool, bool)>(),
        (size, growth) in (of(bytes()), of(growth())),
        (placement_generation, follow_owner, placed) in (any::<u64>(), any::<bool>(), of(placed())),
        (relocation, mount_path, published, used) in
            (of(relocation()), of(text()), vec(published(), 0..3), of(bytes())),
        (last_move, tried, scrub) in (of(move_report()), vec(tried(), 0..3), scrub_status()),
        array in array(),
        reasons in vec(reason(), 0..3),
        events in vec(event(), 0..3),
    ) -> VolumeStatus {
        VolumeStatus {
            phase, epoch, owner, claimed_at, taken_over, in_sync, members, members_made, created, forced, size,
            growth, formatted, placement_generation, placed, follow_owner, mount_path, published, used, relocation, last_move, tried, scrub,
            array,
            reasons, events,
        }
    }
}

fn export() -> impl Strategy<Value = ExportTo> {
    (label(), text(), epoch()).prop_map(|(node, host_nqn, epoch)| ExportTo { node, host_nqn, epoch })
}

prop_compose! {
    fn replica_spec()(
        (id, volume, volume_uid, node) in (replica(), label(), uuid().prop_map(VolumeUid), label()),
        drives in vec(drive(), 0..4),
        partition_size in bytes(),
        export in of(export()),
        wanted in select(vec![Wanted::Present, Wanted::Removed]),
    ) -> ReplicaSpec {
        ReplicaSpec { id, volume, volume_uid, node, drives, partition_size, export, wanted }
    }
}

fn partition() -> impl Strategy<Value = PartitionRecord> {
    (uuid(), bytes(), bytes(), bytes(), bytes()).prop_map(|(guid, start, size, zeroed_to, room)| {
        PartitionRecord { guid, start, size, zeroed_to, room }
    })
}

prop_compose! {
    fn replica_status()(
        state in select(vec![
            ReplicaState::Requested, ReplicaState::Created, ReplicaState::Spare, ReplicaState::Syncing,
            ReplicaState::Synced, ReplicaState::Faulty, ReplicaState::Missing, ReplicaState::Replacing,
            ReplicaState::Deleting,
        ]),
        partitions in vec(partition(), 0..4),
        (zeroed, gone) in any::<(bool, bool)>(),
        acked_epoch in epoch(),
        (reason, of_drive) in (of(reason()), of(drive())),
        updated_at in time(),
    ) -> ReplicaStatus {
        ReplicaStatus { state, partitions, zeroed, acked_epoch, gone, reason, of_drive, updated_at }
    }
}

prop_compose! {
    fn drive_spec()(
        id in drive(),
        node in label(),
        disk_guid in uuid(),
        (wipe, cordoned, evicting, removing) in any::<(bool, bool, bool, bool)>(),
        added_at in time(),
    ) -> DriveSpec {
        DriveSpec { id, node, disk_guid, wipe, cordoned, evicting, removing, added_at }
    }
}

prop_compose! {
    fn drive_status()(
        node in label(),
        state in select(vec![
            DriveState::Available, DriveState::Foreign, DriveState::Preparing, DriveState::Ready,
            DriveState::Missing, DriveState::Faulty, DriveState::Stuck,
        ]),
        (model, health, message) in (text(), text(), of(text())),
        (capacity, allocated, free, largest_free) in (bytes(), bytes(), bytes(), bytes()),
        (sector_size, read_only) in any::<(u32, bool)>(),
        found in vec(text(), 0..3),
    ) -> DriveStatus {
        DriveStatus {
            node, state, model, capacity, allocated, free, largest_free, sector_size, read_only, health, found,
            message,
        }
    }
}

prop_compose! {
    fn node_status()(
        (address, port) in (text(), any::<u16>()),
        host_id in uuid(),
        (host_nqn, kernel, version, boot_id) in (text(), text(), text(), text()),
        missing in vec(text(), 0..3),
        heartbeat_at in time(),
        dead_after_millis in any::<u32>().prop_map(u64::from),
    ) -> NodeStatus {
        let endpoint = Endpoint { address, port };
        NodeStatus {
            endpoint, host_nqn, host_id, kernel, version, boot_id, missing, heartbeat_at, dead_after_millis,
        }
    }
}

fn lease() -> impl Strategy<Value = Lease> {
    (label(), any::<u64>(), any::<u64>()).prop_map(|(holder, renewals, term_millis)| Lease {
        holder,
        renewals,
        term_millis,
    })
}

/// Any record of any kind. Each is boxed: together they are more than a thread's stack holds.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        volume_spec().prop_map(Record::VolumeSpec).boxed(),
        volume_status().prop_map(Record::VolumeStatus).boxed(),
        replica_spec().prop_map(Record::ReplicaSpec).boxed(),
        replica_status().prop_map(Record::ReplicaStatus).boxed(),
        drive_spec().prop_map(Record::DriveSpec).boxed(),
        drive_status().prop_map(Record::DriveStatus).boxed(),
        any::<(bool, bool)>()
            .prop_map(|(cordoned, draining)| Record::NodeSpec(NodeSpec { cordoned, draining }))
            .boxed(),
        node_status().prop_map(Record::NodeStatus).boxed(),
        lease().prop_map(Record::Lease).boxed(),
    ]
}

/// Any kind.
pub(crate) fn kind() -> impl Strategy<Value = Kind> {
    record().prop_map(|record| record.kind())
}
