//! Arrays: first superblocks, start, stop, slots.

#[cfg(test)]
mod tests;

use std::path::Path;

use kernel_abi::md::bitmap::Bitmap;
use kernel_abi::md::header::{self, MemberHeader, ReadHeaderError};
use kernel_abi::md::ioctl::{DiskState, MdNode, NewDisk};
use kernel_abi::md::superblock::{NewArray, NewMember as MdMember, Seat, SetName, Superblock, Timestamp};
use kernel_abi::md::sysfs::{self, ArrayState, ArrayVerb};
use kernel_abi::md::{NodeName, geometry};
use kernel_abi::{CallError, Root};
use uuid::Uuid;

use super::{Done, failure, retry, unreadable};
use crate::kernel::device;
use crate::plan::{Dev, FailureKind, NewMember, Step, StepFailure};

pub(super) fn apply(root: &Root, step: &Step) -> Done {
    match step {
        Step::WriteHeaders { volume, array, created_at, slots, size, members, .. } => {
            let new =
                new_array(volume.as_str(), *array, created_at.seconds(), *slots, size.sectors(), members)?;
            members.iter().try_for_each(|member| {
                has_not_run(&device::node(root, member.dev).map_err(|error| retry(&error))?)
            })?;
            members.iter().try_for_each(|member| write_header(root, &new, member))
        }
        Step::ReadHeader { array, partition, dev, .. } => check_member(root, *array, *partition, *dev),
        Step::Assemble { array, device, members, .. } => assemble(root, *array, device, members),
        Step::SetWritable { array, .. } => set_writable(root, &node(array)?),
        Step::SetSlots { array, slots, .. } => {
            sysfs::set_raid_disks(root, &node(array)?, *slots).map_err(|error| retry(&error))
        }
        Step::StopArray { array, .. } => stop(root, &node(array)?),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on an array: {other}"))),
    }
}

pub(super) fn node(name: &str) -> Result<NodeName, StepFailure> {
    name.parse().map_err(|error| retry(&error))
}

fn new_array(
    volume: &str,
    set_uuid: Uuid,
    created_at_seconds: u64,
    slots: u32,
    component_size: u64,
    members: &[NewMember],
) -> Result<NewArray, StepFailure> {
    let seat = |(slot, member): (u16, &NewMember)| Seat { dev_number: member.dev_number, slot };
    let short: String = volume.chars().take(32).collect();
    Ok(NewArray {
        set_uuid,
        name: SetName::new(&short).map_err(|error| retry(&error))?,
        ctime: Timestamp::from_secs(created_at_seconds),
        raid_disks: u16::try_from(slots).map_err(|error| retry(&error))?,
        present: (0u16..).zip(members).map(seat).collect(),
        component_size: Some(component_size),
    })
}

/// Whoever asks for first superblocks on members of an array that has run has lost its volume's status, not its data: MD counts events from
/// its first start on (`md_update_sb`, drivers/md/md.c).
fn has_not_run(path: &Path) -> Done {
    match superblock(path)? {
        Some(superblock) if superblock.events > 0 => {
            let (set, events) = (superblock.set_uuid, superblock.events);
            let message = format_args!(
                "{}: it is a member of array {set}, which has run ({events} events), and gets no first superblock; put its \
                 volume's status back, or delete the volume",
                path.display()
            );
            Err(failure(FailureKind::Retry, message))
        }
        _ => Ok(()),
    }
}

/// The superblock that can be read there, if there is one.
pub(super) fn superblock(path: &Path) -> Result<Option<Superblock>, StepFailure> {
    match header::read_superblock(path) {
        Ok(superblock) => Ok(Some(superblock)),
        Err(ReadHeaderError::Call(error)) => Err(retry(&error)),
        Err(_) => Ok(None),
    }
}

fn write_header(root: &Root, array: &NewArray, member: &NewMember) -> Done {
    let path = device::node(root, member.dev).map_err(|error| retry(&error))?;
    let superblock = Superblock::create(array, &md_member(root, member)?).map_err(|error| retry(&error))?;
    let bitmap = Bitmap::clean(array.set_uuid, superblock.size, superblock.events)
        .ok_or_else(|| failure(FailureKind::Retry, "the volume is larger than any bitmap"))?;
    header::write_member_header(&path, &MemberHeader { superblock, bitmap }).map_err(|error| retry(&error))
}

pub(super) fn md_member(root: &Root, member: &NewMember) -> Result<MdMember, StepFailure> {
    let device = kernel_abi::block::device::by_devnum(root, device::number(member.dev))
        .map_err(|error| retry(&error))?;
    let bytes = device.map_or(0, |device| device.size_bytes);
    Ok(MdMember {
        dev_number: member.dev_number,
        device_uuid: member.partition,
        write_mostly: member.write_mostly,
        device_sectors: bytes / geometry::SECTOR_BYTES,
    })
}

/// Starts an array from exactly these members. Each superblock is read first: the member must be who the record says.
fn assemble(root: &Root, array: Uuid, device: &str, members: &[(Uuid, Dev)]) -> Done {
    let name = node(device)?;
    for (partition, dev) in members {
        check_member(root, array, *partition, *dev)?;
    }
    clear_remains(root, &name).map_err(|error| retry(&error))?;
    let start = || -> Result<(), CallError> {
        sysfs::create_node(root, &name)?;
        let node = MdNode::open(root, &name)?;
        node.set_array_info()?;
        for (_, dev) in members {
            let dev = device::number(*dev);
            node.add_new_disk(NewDisk { number: 0, dev, raid_disk: 0, state: DiskState::default() })?;
        }
        node.run_array()
    };
    start().map_err(|error| {
        drop(clear_remains(root, &name));
        retry(&error)
    })
}

fn check_member(root: &Root, array: Uuid, partition: Uuid, dev: Dev) -> Done {
    let bad = |why: String| failure(FailureKind::BadHeader(partition), why);
    let path = device::node(root, dev).map_err(|error| retry(&error))?;
    let superblock = match header::read_member_header(&path) {
        Ok(header) => header.superblock,
        Err(ReadHeaderError::Call(error)) => return Err(unreadable(partition, &error)),
        Err(error) => return Err(bad(format!("{}: {}", path.display(), crate::kernel::chain(&error)))),
    };
    if superblock.set_uuid != array || superblock.device_uuid != partition {
        let (set, own) = (superblock.set_uuid, superblock.device_uuid);
        return Err(bad(format!("{}: superblock of member {own} of array {set}", path.display())));
    }
    Ok(())
}

/// What a crash between making the node and running it has left.
fn clear_remains(root: &Root, name: &NodeName) -> Result<(), CallError> {
    match sysfs::array(root, name)? {
        Some(array) if matches!(array.state, ArrayState::Clear | ArrayState::Inactive) => {
            sysfs::set_array_state(root, name, ArrayVerb::Clear)
        }
        _ => Ok(()),
    }
}

/// Debian's mdadm sets `start_ro`: then an array starts read-only until its first write, and nothing recovers.
fn set_writable(root: &Root, name: &NodeName) -> Done {
    sysfs::set_array_state(root, name, ArrayVerb::Active).map_err(|error| retry(&error))
}

fn stop(root: &Root, name: &NodeName) -> Done {
    match sysfs::set_array_state(root, name, ArrayVerb::Clear) {
        Err(error) if error.is(nix::errno::Errno::ENOENT) => Ok(()),
        Err(error) if error.is(nix::errno::Errno::EBUSY) => Err(failure(
            FailureKind::Busy,
            format_args!("{name} is open or mounted: {}", crate::kernel::chain(&error)),
        )),
        other => other.map_err(|error| retry(&error)),
    }
}
