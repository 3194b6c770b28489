//! Opening the device that was observed, and nothing else.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::BlockDevice;
use crate::block::ioctl;
use crate::{CallError, DevNum, Root, call};

/// How a device is opened. `O_CLOEXEC` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read; shared with everybody.
    Read,
    /// To read and write, without a claim: a disk whose partitions are in use, `BLKPG`.
    Write,
    /// To read and write with the kernel's exclusive claim (`O_EXCL`), which mounts, MD and device-mapper take too. The
    /// `nvmet` does not: an exported device can be claimed.
    Claim,
}

/// Why a device was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// [`Access::Claim`]: the device, its disk or one of its partitions is claimed by something (EBUSY).
    #[error("claimed by another user")]
    Claimed(#[source] CallError),
    /// No node, or no device behind it (ENOENT, ENXIO, ENODEV).
    #[error("not there")]
    NotThere(#[source] CallError),
    /// Writing is refused (EROFS, EACCES).
    #[error("not writable")]
    ReadOnly(#[source] CallError),
    /// The node is another device, or no block device: a name was reused.
    #[error("{} is {found:?}, not {expected}", path.display())]
    OtherDevice {
        /// The node.
        path: PathBuf,
        /// The number asked for.
        expected: DevNum,
        /// The number it has; `None` where it is no block device.
        found: Option<DevNum>,
    },
    /// Any other answer.
    #[error(transparent)]
    Other(CallError),
}

/// Opens the node of `device` and makes sure it has the number that was observed.
pub fn open(root: &Root, device: &BlockDevice, access: Access) -> Result<File, OpenError> {
    let path = device.node(root);
    let file = open_path(&path, access).map_err(refusal)?;
    let found = number_of(&file).map_err(|errno| refusal(CallError::new("fstat", path.display(), errno)))?;
    if found == Some(device.number) {
        Ok(file)
    } else {
        Err(OpenError::OtherDevice { path, expected: device.number, found })
    }
}

/// Size in bytes, which sysfs may show a moment later.
#[doc(alias = "BLKGETSIZE64")]
pub fn size_bytes(device: &File, path: &Path) -> Result<u64, CallError> {
    ioctl::size_bytes(device).map_err(|errno| CallError::new("BLKGETSIZE64", path.display(), errno))
}

/// Logical sector in bytes.
#[doc(alias = "BLKSSZGET")]
pub fn logical_sector_bytes(device: &File, path: &Path) -> Result<u32, CallError> {
    ioctl::logical_sector_bytes(device).map_err(|errno| CallError::new("BLKSSZGET", path.display(), errno))
}

/// Physical sector in bytes.
#[doc(alias = "BLKPBSZGET")]
pub fn physical_sector_bytes(device: &File, path: &Path) -> Result<u32, CallError> {
    ioctl::physical_sector_bytes(device).map_err(|errno| CallError::new("BLKPBSZGET", path.display(), errno))
}

/// Whether the device refuses writes.
#[doc(alias = "BLKROGET")]
pub fn refuses_writes(device: &File, path: &Path) -> Result<bool, CallError> {
    ioctl::is_read_only(device).map_err(|errno| CallError::new("BLKROGET", path.display(), errno))
}

/// `O_NONBLOCK` keeps an empty removable drive from holding the call.
fn open_path(path: &Path, access: Access) -> Result<File, CallError> {
    let exclusive = if access == Access::Claim { libc::O_EXCL } else { 0 };
    let mut options = OpenOptions::new();
    options.read(true).write(access != Access::Read).custom_flags(exclusive | libc::O_NONBLOCK);
    let value = format!("{access:?}");
    let _in_call = call::enter("open", path.display());
    options.open(path).map_err(|source| CallError::new("open", path.display(), source).with_value(value))
}

fn number_of(file: &File) -> std::io::Result<Option<DevNum>> {
    let metadata = file.metadata()?;
    let major = u32::try_from(nix::sys::stat::major(metadata.rdev())).unwrap_or(u32::MAX);
    let minor = u32::try_from(nix::sys::stat::minor(metadata.rdev())).unwrap_or(u32::MAX);
    Ok(metadata.file_type().is_block_device().then_some(DevNum { major, minor }))
}

fn refusal(error: CallError) -> OpenError {
    match error.errno() {
        Some(Errno::EBUSY) => OpenError::Claimed(error),
        Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV) => OpenError::NotThere(error),
        Some(Errno::EROFS | Errno::EACCES | Errno::EPERM) => OpenError::ReadOnly(error),
        _ => OpenError::Other(error),
    }
}
