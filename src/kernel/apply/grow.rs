//! Making a replica, an array and a file system larger while they are used.

use std::path::Path;

use kernel_abi::md::header::{self, ReadHeaderError};
use kernel_abi::md::sysfs::{self, SyncVerb};
use kernel_abi::md::{MemberDir, geometry};
use kernel_abi::nvme::Nsid;
use kernel_abi::{CallError, Root, fs, nvmet};
use nix::errno::Errno;
use uuid::Uuid;

use super::array::node;
use super::replica::{nqn, zero_range};
use super::{Done, check, failure, retry};
use crate::domain::{Bytes, Epoch, subsystem_nqn};
use crate::kernel::device;
use crate::plan::{Dev, FailureKind};

/// Zeroes what an array does not have yet: its superblock on the partition is the last witness.
pub(super) fn zero_tail(root: &Root, dev: Dev, from: Bytes, to: Bytes) -> Done {
    let path = device::node(root, dev).map_err(|error| retry(&error))?;
    let used = used_bytes(&path).map_err(|error| retry(&error))?;
    if used > from.0 {
        return Err(failure(
            FailureKind::Busy,
            format_args!(
                "{}: an array has {used} bytes of it, nothing from {} on is zeroed",
                path.display(),
                from.0
            ),
        ));
    }
    zero_range(&path, from.0..to.0)
}

/// Where the data of the array ends that a partition's superblock tells of. 0 without one: the first is not written yet.
fn used_bytes(path: &Path) -> Result<u64, ReadHeaderError> {
    match header::read_superblock(path) {
        Ok(superblock) => Ok((superblock.data_offset + superblock.size) * geometry::SECTOR_BYTES),
        Err(ReadHeaderError::NoSuperblock { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// A subsystem that is gone has no host that could be told.
pub(super) fn revalidate(root: &Root, partition: Uuid, epoch: Epoch) -> Done {
    let subsystem = nqn(&subsystem_nqn(partition, epoch))?;
    match nvmet::revalidate_size(root, &subsystem, Nsid::FIRST) {
        Err(error) if !error.is(Errno::ENOENT) => Err(retry(&error)),
        _ => Ok(()),
    }
}

/// All members first, then the array, without a resync of what is new (`raid1_resize` asks for one that a bitmap may cut
/// short): it is zero on all of them. The array stays held only if this daemon dies meanwhile.
pub(super) fn array(root: &Root, array: &str, members: &[String], size: Bytes) -> Done {
    let name = node(array)?;
    let dirs: Result<Vec<MemberDir>, _> = members.iter().map(|member| member.parse()).collect();
    let dirs = dirs.map_err(|error| retry(&error))?;
    let grow = || -> Result<(), CallError> {
        dirs.iter().try_for_each(|dir| sysfs::set_member_size_max(root, &name, dir))?;
        sysfs::set_sync_action(root, &name, SyncVerb::Frozen)?;
        let grown = sysfs::set_component_size_kib(root, &name, size.0 / 1024)
            .and_then(|()| sysfs::set_resync_start_none(root, &name));
        grown.and(sysfs::set_sync_action(root, &name, SyncVerb::Idle))
    };
    grow().map_err(|error| retry(&error))
}

pub(super) fn thaw(root: &Root, array: &str) -> Done {
    check::end(root, &node(array)?).map_err(|error| retry(&error))
}

/// ENODEV when another file system is seen at `path` by now.
pub(super) fn file_system(dev: Dev, path: &Path, size: Bytes) -> Done {
    let at = fs::MountPoint::open(path, device::number(dev)).map_err(|error| retry(&error))?;
    fs::grow::to_device(&at, size.0).map(drop).map_err(|error| retry(&error))
}
