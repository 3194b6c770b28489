//! Members of a running array.

use kernel_abi::Root;
use kernel_abi::md::header::{self, MemberHeader};
use kernel_abi::md::ioctl::{DiskState, MdNode, NewDisk};
use kernel_abi::md::sysfs::{self, MemberVerb, SyncLimit};
use nix::errno::Errno;

use super::array::{md_member, node};
use super::{Done, failure, retry, unreadable};
use crate::kernel::{chain, device};
use crate::plan::{Dev, FailureKind, Join, NewMember, Step};

pub(super) fn apply(root: &Root, step: &Step) -> Done {
    match step {
        Step::AddMember { array, member, good, join, .. } => match join {
            Join::Full => add_full(root, array, member, *good),
            Join::Bitmap => add_by_bitmap(root, array, member),
        },
        Step::SetWriteMostly { array, member, on, .. } => {
            tell(root, array, member, if *on { MemberVerb::WriteMostly } else { MemberVerb::NotWriteMostly })
        }
        Step::FailMember { array, member, .. } => tell(root, array, member, MemberVerb::Faulty),
        Step::CutMember { array, dev, .. } => cut(root, array, *dev),
        Step::RemoveMember { array, member, .. } => tell(root, array, member, MemberVerb::Remove),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on a member: {other}"))),
    }
}

fn tell(root: &Root, array: &str, member: &str, verb: MemberVerb) -> Done {
    let dir = member.parse().map_err(|error| failure(FailureKind::Retry, format_args!("{error}")))?;
    sysfs::set_member_state(root, &node(array)?, &dir, verb).map_err(|error| retry(&error))
}

/// By ioctl: writing `faulty` waits while a superblock write is held.
fn cut(root: &Root, array: &str, dev: Dev) -> Done {
    let failed = |error: kernel_abi::CallError| retry(&error);
    MdNode::open(root, &node(array)?).map_err(failed)?.set_disk_faulty(device::number(dev)).map_err(failed)
}

/// A fresh superblock without events or slot: whatever the partition held, everything is copied to it (R3).
fn add_full(root: &Root, array: &str, member: &NewMember, good: Dev) -> Done {
    let path = |dev| device::node(root, dev).map_err(|error| retry(&error));
    let good = header::read_member_header(&path(good)?).map_err(|error| retry(&error))?;
    let superblock = good.superblock.joining(&md_member(root, member)?).map_err(|error| retry(&error))?;
    let fresh = MemberHeader { superblock, bitmap: good.bitmap };
    header::write_member_header(&path(member.dev)?, &fresh)
        .map_err(|error| unreadable(member.partition, &error))?;
    let state = if member.write_mostly { DiskState::WRITE_MOSTLY } else { DiskState::default() };
    add(
        root,
        array,
        NewDisk { number: member.dev_number, dev: device::number(member.dev), raid_disk: 0, state },
    )
    .map_err(|error| retry(&error))
}

fn add(root: &Root, array: &str, disk: NewDisk) -> Result<(), kernel_abi::CallError> {
    let name = array.parse().map_err(|error| {
        kernel_abi::CallError::new("open", array, std::io::Error::other(format!("{error}")))
    })?;
    // A comparison that a crash cut short may have left a limit, at which a recovery would stand still.
    sysfs::set_sync_max(root, &name, SyncLimit::Max)?;
    MdNode::open(root, &name)?.add_new_disk(disk)
}

/// Its superblock as the array left it: only what the bitmap has marked since is copied.
fn add_by_bitmap(root: &Root, array: &str, member: &NewMember) -> Done {
    let refused = |why: String| failure(FailureKind::BitmapRefused, why);
    let path = device::node(root, member.dev).map_err(|error| retry(&error))?;
    let superblock = match header::read_superblock(&path) {
        Ok(superblock) => superblock,
        Err(header::ReadHeaderError::Call(error)) => return Err(unreadable(member.partition, &error)),
        Err(error) => return Err(refused(format!("{}: {}", path.display(), chain(&error)))),
    };
    let component = sysfs::array(root, &node(array)?).map_err(|error| retry(&error))?;
    if component.and_then(|seen| seen.component_size_kib).is_some_and(|kib| kib * 2 != superblock.size) {
        return Err(refused(format!("{}: the superblock of an array of another size", path.display())));
    }
    let Some(slot) = superblock.slot().filter(|_| superblock.device_uuid == member.partition) else {
        return Err(refused(format!("{}: not the superblock of a member that was in sync", path.display())));
    };
    let flags =
        if member.write_mostly { DiskState::SYNC.with(DiskState::WRITE_MOSTLY) } else { DiskState::SYNC };
    let disk = NewDisk {
        number: superblock.dev_number,
        dev: device::number(member.dev),
        raid_disk: u32::from(slot),
        state: flags,
    };
    match add(root, array, disk) {
        Err(error) if error.is(Errno::EINVAL) => Err(refused(chain(&error))),
        other => other.map_err(|error| retry(&error)),
    }
}
