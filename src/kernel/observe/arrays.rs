//! MD arrays.

use std::collections::{BTreeMap, BTreeSet};

use kernel_abi::md::sysfs::{self, ArrayObservation, MemberObservation, SyncCompleted, SyncLimit};
use kernel_abi::{CallError, Root};
use uuid::Uuid;

use crate::domain::Bytes;
use crate::kernel::device;
use crate::plan::{
    ArraySeen, ArrayState, Dev, MemberFlag, MemberSeen, Stranger, SyncAction, SyncSeen, Thing,
};

pub(super) fn all(
    root: &Root,
    strangers: &mut BTreeSet<Stranger>,
) -> Result<BTreeMap<Uuid, ArraySeen>, CallError> {
    let arrays = sysfs::arrays(root)?;
    let nameless = arrays.iter().filter(|array| array.uuid.is_none());
    strangers.extend(nameless.map(|array| Stranger {
        thing: Thing::Array,
        name: array.name.as_str().to_owned(),
        identity: String::new(),
    }));
    Ok(arrays.iter().filter_map(|array| Some((array.uuid?, seen(array)?))).collect())
}

/// What an array does now; `None` when it is gone.
pub(super) fn sample(root: &Root, array: &ArraySeen) -> Result<Option<SyncSeen>, CallError> {
    let Ok(name) = array.name.parse() else { return Ok(None) };
    Ok(sysfs::activity(root, &name)?.as_ref().map(sync))
}

fn seen(array: &ArrayObservation) -> Option<ArraySeen> {
    Some(ArraySeen {
        name: array.name.as_str().to_owned(),
        dev: device::dev(array.dev?),
        state: state(&array.state),
        slots: array.raid_disks.unwrap_or(0),
        members: array.members.iter().map(member).collect(),
        sync: sync(&array.activity),
        size: Bytes(array.size_sectors.saturating_mul(512)),
    })
}

fn state(state: &sysfs::ArrayState) -> ArrayState {
    use sysfs::ArrayState as Kernel;
    match state {
        Kernel::Clear | Kernel::Inactive => ArrayState::Inactive,
        Kernel::ReadOnly => ArrayState::ReadOnly,
        Kernel::ReadAuto => ArrayState::ReadAuto,
        Kernel::Clean => ArrayState::Clean,
        Kernel::Active | Kernel::WritePending | Kernel::ActiveIdle => ArrayState::Active,
        Kernel::Broken => ArrayState::Broken,
        Kernel::Suspended => ArrayState::Other("suspended".to_owned()),
        Kernel::Unknown(word) => ArrayState::Other(word.clone()),
    }
}

fn sync(activity: &sysfs::Activity) -> SyncSeen {
    let (done, total) = match activity.sync_completed {
        Some(SyncCompleted::Sectors { done, total }) => (done, total),
        Some(SyncCompleted::None | SyncCompleted::Delayed) | None => (0, 0),
    };
    SyncSeen { action: action(activity), done, total }
}

fn action(activity: &sysfs::Activity) -> SyncAction {
    use sysfs::SyncAction as Kernel;
    match activity.sync_action.as_ref() {
        Some(Kernel::Check | Kernel::Repair) if matches!(activity.sync_limit, Some(SyncLimit::At(_))) => {
            SyncAction::Piece
        }
        Some(Kernel::Frozen) => SyncAction::Frozen,
        Some(Kernel::Resync) => SyncAction::Resync,
        Some(Kernel::Recover) => SyncAction::Recover,
        Some(Kernel::Check) => SyncAction::Check,
        Some(Kernel::Repair) => SyncAction::Repair,
        Some(Kernel::Reshape) => SyncAction::Reshape,
        Some(Kernel::Idle | Kernel::Unknown(_)) | None => SyncAction::Idle,
    }
}

fn member(member: &MemberObservation) -> MemberSeen {
    use sysfs::MemberFlag as Kernel;
    const WORDS: [(Kernel, MemberFlag); 6] = [
        (Kernel::InSync, MemberFlag::InSync),
        (Kernel::Faulty, MemberFlag::Faulty),
        (Kernel::Spare, MemberFlag::Spare),
        (Kernel::WriteMostly, MemberFlag::WriteMostly),
        (Kernel::WantReplacement, MemberFlag::WantReplacement),
        (Kernel::Blocked, MemberFlag::Blocked),
    ];
    let flags: BTreeSet<MemberFlag> =
        WORDS.into_iter().filter(|(word, _)| member.flags.has(word)).map(|(_, flag)| flag).collect();
    let name = member.dir.as_str().to_owned();
    MemberSeen { dev: member.dev.map_or(Dev::GONE, device::dev), name, slot: member.slot, flags }
}
