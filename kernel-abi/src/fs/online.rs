//! Verbs on a mounted file system, through its open mount point.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc::O_DIRECTORY;
use rustix::fs::{fstatvfs, major, minor};

use super::{Change, ioctl};
use crate::{CallError, DevNum, call};

/// An open mount point of which is known that the file system of one certain device is mounted on it. While it is
/// open the file system is busy.
#[derive(Debug)]
pub struct MountPoint {
    directory: File,
    path: String,
}

impl MountPoint {
    /// Opens `path` and checks that what is mounted there is on `device`; ENODEV when it is not. Without the check a
    /// verb meant for a volume that is no longer mounted would reach the file system below, the node's own.
    pub fn open(path: &Path, device: DevNum) -> Result<Self, CallError> {
        let failed = |call| move |source| CallError::new(call, path.display(), source);
        let directory =
            OpenOptions::new().read(true).custom_flags(O_DIRECTORY).open(path).map_err(failed("open"))?;
        let number = directory.metadata().map_err(failed("fstat"))?.dev();
        let found = DevNum { major: major(number), minor: minor(number) };
        if found != device {
            let why = format!("{device} expected, {found} mounted");
            return Err(CallError::new("open", path.display(), Errno::ENODEV).with_value(why));
        }
        Ok(Self { directory, path: path.display().to_string() })
    }

    pub(super) fn directory(&self) -> &File {
        &self.directory
    }

    pub(super) fn enter(&self, call: &'static str) -> call::Entered {
        call::enter(call, &self.path)
    }

    pub(super) fn error(&self, call: &'static str, source: impl Into<io::Error>) -> CallError {
        CallError::new(call, &self.path, source)
    }
}

/// Flushes the file system and holds every write until [`thaw`] (`fs/super.c`, `freeze_super`).
///
/// Caveats: writers hang for as long, unkillably; the freeze outlives this process. `AlreadySo`: somebody froze it
/// before, and one thaw ends both.
#[doc(alias = "FIFREEZE")]
pub fn freeze(at: &MountPoint) -> Result<Change, CallError> {
    match ioctl::freeze(at.directory()) {
        Ok(()) => Ok(Change::Made),
        Err(Errno::EBUSY) => Ok(Change::AlreadySo),
        Err(errno) => Err(at.error("FIFREEZE", errno)),
    }
}

/// Lets writes go on. `AlreadySo`: it was not frozen.
#[doc(alias = "FITHAW")]
pub fn thaw(at: &MountPoint) -> Result<Change, CallError> {
    match ioctl::thaw(at.directory()) {
        Ok(()) => Ok(Change::Made),
        Err(Errno::EINVAL) => Ok(Change::AlreadySo),
        Err(errno) => Err(at.error("FITHAW", errno)),
    }
}

/// Cuts a mounted ext4 or XFS off from its users without flushing the log, for good: `read` and `write` of files give EIO
/// from now on, in the page cache or past it. What remains to do is to unmount it; the log is replayed at the next mount.
///
/// Guarantees, on XFS: it returns at once, whatever the device holds, and a write or fsync under way ends in EIO even if
/// the device says later that it was done (`fs/xfs/xfs_file.c`, `xfs_dio_write_end_io`).
///
/// Caveats: ext4 is cut off just as soon, but the call itself waits for a write of its journal's superblock
/// (`fs/jbd2/journal.c`, `jbd2_journal_abort`), so unkillably for as long as the device holds I/O: it needs a thread of its
/// own. On ext4 an overwrite or fsync under way is still acknowledged when the device says so. A mapping made before stays
/// readable on both. [`MountPoint::open`] gets EIO from an XFS that is shut down; directories of ext4 still open.
///
/// Errors: EPERM without `CAP_SYS_ADMIN`; ENOTTY: neither ext4 nor XFS. A second time is success.
#[doc(alias = "EXT4_IOC_SHUTDOWN")]
#[doc(alias = "XFS_IOC_GOINGDOWN")]
pub fn shut_down(at: &MountPoint) -> Result<(), CallError> {
    let _in_call = at.enter("EXT4_IOC_SHUTDOWN");
    ioctl::shut_down(at.directory()).map_err(|errno| at.error("EXT4_IOC_SHUTDOWN", errno))
}

/// Discards the free ranges of at least `minimum` bytes; returns the bytes discarded. EOPNOTSUPP: the device has no
/// discard.
///
/// Caveats: on an array that is degraded every discarded chunk becomes one to copy.
#[doc(alias = "FITRIM")]
pub fn trim(at: &MountPoint, minimum: u64) -> Result<u64, CallError> {
    ioctl::trim(at.directory(), minimum).map_err(|errno| at.error("FITRIM", errno))
}

/// How full a mounted file system is. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What users can have at most: the file system without its fixed metadata.
    pub total: u64,
    /// Free, the reserve of root included.
    pub free: u64,
    /// Free for everybody.
    pub available: u64,
    /// Inodes in all; on XFS as many as would fit now.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

impl Usage {
    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// Inodes in use.
    #[must_use]
    pub fn inodes_used(&self) -> u64 {
        self.inodes.saturating_sub(self.inodes_free)
    }
}

/// Asks the mounted file system how full it is.
#[doc(alias = "statvfs")]
pub fn usage(at: &MountPoint) -> Result<Usage, CallError> {
    let _in_call = at.enter("fstatvfs");
    let all = fstatvfs(at.directory()).map_err(|errno| at.error("fstatvfs", errno))?;
    let bytes = |blocks: u64| blocks.saturating_mul(all.f_frsize);
    Ok(Usage {
        total: bytes(all.f_blocks),
        free: bytes(all.f_bfree),
        available: bytes(all.f_bavail),
        inodes: all.f_files,
        inodes_free: all.f_ffree,
    })
}
