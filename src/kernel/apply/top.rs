//! Stripes over the columns of a volume.

use kernel_abi::Root;
use kernel_abi::dm::{Control, DmError, MapKey, Removal, Striped, Suspend, Target};
use nix::errno::Errno;

use super::{Done, failure, retry};
use crate::domain::{Bytes, VolumeUid, top_map_name, top_map_uuid};
use crate::kernel::device;
use crate::plan::placement::CHUNK;
use crate::plan::{Dev, FailureKind, Step};

pub(super) fn apply(root: &Root, step: &Step) -> Done {
    match step {
        Step::MapTop { uid, columns, size, .. } => {
            map(root, *uid, columns, *size).map_err(|error| retry(&error))
        }
        Step::UnmapTop { uid, .. } => unmap(root, *uid),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on stripes: {other}"))),
    }
}

/// Makes the map unless it is there, and puts this table in force. What is in flight through an older table comes to its end
/// first (dm.c `__dm_suspend`), so this waits for a leg that holds I/O; the file system is not frozen, which would write.
fn map(root: &Root, uid: VolumeUid, columns: &[Dev], size: Bytes) -> Result<(), DmError> {
    let (control, identity) = (Control::open(root)?, top_map_uuid(uid));
    let stripes = Striped {
        sectors: size.sectors(),
        chunk_sectors: u32::try_from(CHUNK.sectors()).unwrap_or(u32::MAX),
        devices: columns.iter().map(|column| device::number(*column)).collect(),
    };
    control.create(&top_map_name(uid), &identity)?;
    control.load(MapKey::Uuid(&identity), &[Target::from(&stripes)])?;
    control.resume(MapKey::Uuid(&identity), Suspend::HOLD).map(drop)
}

fn unmap(root: &Root, uid: VolumeUid) -> Done {
    let control = Control::open(root).map_err(|error| retry(&error))?;
    match control.remove(MapKey::Uuid(&top_map_uuid(uid)), Removal::Now) {
        Err(error) if error.is(Errno::EBUSY) => Err(failure(
            FailureKind::Busy,
            format_args!("the volume is open or mounted: {}", crate::kernel::chain(&error)),
        )),
        other => other.map(drop).map_err(|error| retry(&error)),
    }
}
