//! Mounting with the file descriptor API (`fs/fsopen.c`), which gives the kernel's own words for a refusal.

mod group;
mod options;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

pub use options::{MountOption, MountOptions};

use super::{Change, mountinfo};
use crate::{CallError, Root, call};

/// Most of the kernel's lines that are read for one failure; the kernel keeps eight (`struct fc_log`).
const MAX_LINES: usize = 16;

/// What to mount where.
#[derive(Debug, Clone, Copy)]
pub struct MountRequest<'a> {
    /// `ext4`, `xfs`, `configfs`.
    pub fstype: &'a str,
    /// The device; for a pseudo file system any name.
    pub source: &'a Path,
    /// An existing directory.
    pub target: &'a Path,
    /// How.
    pub options: &'a MountOptions,
}

/// A mount that failed, in the kernel's own words where it had some.
#[derive(Debug, thiserror::Error)]
pub struct MountError {
    /// The call of the new mount API that was refused, and why.
    #[source]
    pub call: CallError,
    /// What the kernel wrote to the context: `VFS: Can't find ext4 filesystem`. Often empty.
    pub kernel: Vec<String>,
}

impl MountError {
    /// Whether the kernel answered exactly `errno`.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        self.call.is(errno)
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        self.kernel.iter().try_for_each(|line| write!(f, "; kernel: {line}"))
    }
}

impl From<CallError> for MountError {
    fn from(call: CallError) -> Self {
        Self { call, kernel: Vec::new() }
    }
}

/// A file system context under construction.
struct Context<'a> {
    fd: OwnedFd,
    request: MountRequest<'a>,
}

impl Context<'_> {
    fn check(
        &self,
        call: &'static str,
        value: &str,
        result: rustix::io::Result<()>,
    ) -> Result<(), MountError> {
        result.map_err(|errno| self.error(call, value, errno))
    }

    fn error(&self, call: &'static str, value: &str, errno: rustix::io::Errno) -> MountError {
        let call = CallError::new(call, self.request.target.display(), errno).with_value(value);
        MountError { call, kernel: messages(self.fd.as_fd()) }
    }

    fn set(&self, key: &str, value: impl AsRef<Path>) -> Result<(), MountError> {
        let shown = format!("{key}={}", value.as_ref().display());
        self.check("fsconfig", &shown, fsconfig_set_string(self.fd.as_fd(), key, value.as_ref()))
    }

    fn flag(&self, key: &str) -> Result<(), MountError> {
        self.check("fsconfig", key, fsconfig_set_flag(self.fd.as_fd(), key))
    }

    fn configure(&self) -> Result<(), MountError> {
        self.set("source", self.request.source)?;
        if self.request.options.read_only {
            self.flag("ro")?;
        }
        for option in &self.request.options.fs {
            match option {
                MountOption::Flag(key) => self.flag(key)?,
                MountOption::Value(key, value) => self.set(key, value)?,
            }
        }
        let source = self.request.source.display().to_string();
        let _in_call = call::enter("fsconfig create", &source);
        self.check("fsconfig create", &source, fsconfig_create(self.fd.as_fd()))
    }

    fn attach(&self) -> Result<(), MountError> {
        let attributes = self.request.options.attributes();
        let mount = fsmount(self.fd.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.error("fsmount", self.request.fstype, errno))?;
        if let Some(group) = self.request.options.group.filter(|_| !self.request.options.read_only) {
            group::give(mount.as_fd(), group, self.request.target)?;
        }
        self.check("move_mount", self.request.fstype, put(mount.as_fd(), self.request.target))
    }
}

/// Mounts a file system. No descriptor of it is left open. What is asked for of its files is done before anybody can see it: a
/// file system that is mounted has all of it.
///
/// Errors worth matching: EBUSY (the device is mounted already with other options, or claimed), EUCLEAN and EIO
/// (damaged), EINVAL (no such file system there, or an unknown option: `kernel` says which), ENODEV (no such type).
#[doc(alias = "fsopen")]
pub fn mount(request: &MountRequest<'_>) -> Result<(), MountError> {
    let fd = fsopen(request.fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| {
        CallError::new("fsopen", request.target.display(), errno).with_value(request.fstype)
    })?;
    let context = Context { fd, request: *request };
    context.configure()?;
    context.attach()
}

/// Shows the directory, file or device node `from` at `to` also, with a mount of its own. `to` must exist and be of
/// the same kind.
#[doc(alias = "open_tree")]
pub fn bind_mount(from: &Path, to: &Path, read_only: bool) -> Result<(), CallError> {
    let failed = |call| {
        move |errno| CallError::new(call, to.display(), io::Error::from(errno)).with_value(from.display())
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, from, flags).map_err(failed("open_tree"))?;
    if read_only {
        options::set_read_only(&tree).map_err(failed("mount_setattr"))?;
    }
    put(tree.as_fd(), to).map_err(failed("move_mount"))
}

fn put(mount: BorrowedFd<'_>, target: &Path) -> rustix::io::Result<()> {
    move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// The kernel's lines about a context, oldest first, without the leading `e `, `w ` or `i ` (error, warning, info).
fn messages(context: BorrowedFd<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0; 1024];
    while lines.len() < MAX_LINES {
        let Ok(count) = rustix::io::read(context, &mut buffer) else { break };
        let Some(line) = buffer.get(..count).filter(|line| !line.is_empty()) else { break };
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        lines.push(
            ["e ", "w ", "i "].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line).to_owned(),
        );
    }
    lines
}

/// How to unmount. A symbolic link is never followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UmountFlags {
    /// Take it out of the tree now and end it when its last user goes.
    pub detach: bool,
    /// Abort waiting requests (network file systems only).
    pub force: bool,
}

/// Why something is still mounted.
#[derive(Debug, thiserror::Error)]
pub enum UmountError {
    /// Something on it is open, a process has its working directory there, or another mount stands on it.
    #[error("{} is in use", path.display())]
    Busy {
        /// The mount point.
        path: PathBuf,
    },
    /// The kernel refused for another reason.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Unmounts the topmost mount at `path`. `AlreadySo`: nothing is mounted there, or the path is gone.
///
/// Caveats: writes back everything first, so it hangs while the device below holds its writes, although the mount is
/// no longer listed by then. Only the return of this call says that the device is free.
#[doc(alias = "umount2")]
pub fn umount(path: &Path, flags: UmountFlags) -> Result<Change, UmountError> {
    let mut bits = MntFlags::UMOUNT_NOFOLLOW;
    bits.set(MntFlags::MNT_DETACH, flags.detach);
    bits.set(MntFlags::MNT_FORCE, flags.force);
    let _in_call = call::enter("umount2", path.display());
    match umount2(path, bits) {
        Ok(()) => Ok(Change::Made),
        Err(Errno::ENOENT) => Ok(Change::AlreadySo),
        Err(Errno::EINVAL) if !is_mount_point(path) => Ok(Change::AlreadySo),
        Err(Errno::EBUSY) => Err(UmountError::Busy { path: path.to_owned() }),
        Err(errno) => Err(CallError::new("umount2", path.display(), errno).into()),
    }
}

/// In doubt (an old kernel, an error) it is one.
fn is_mount_point(path: &Path) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let Ok(about) = statx(CWD, path, flags, StatxFlags::empty()) else { return true };
    !about.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        || about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// Sees to it that a pseudo file system (`configfs`) is mounted at `target`, relative to `root`
/// (`sys/kernel/config`). The directory must exist: for configfs the module makes it.
pub fn ensure_mounted_pseudo(root: &Root, fstype: &str, target: &str) -> Result<Change, MountError> {
    let path = root.path(target);
    let real =
        fs::canonicalize(&path).map_err(|source| CallError::new("realpath", path.display(), source))?;
    let there = |mount: &super::Mount| mount.mount_point == real && mount.fstype == fstype;
    if mountinfo(&Root::live())?.iter().any(there) {
        return Ok(Change::AlreadySo);
    }
    let options = MountOptions { no_suid: true, no_dev: true, no_exec: true, ..MountOptions::default() };
    mount(&MountRequest { fstype, source: Path::new(fstype), target: &real, options: &options })?;
    Ok(Change::Made)
}
