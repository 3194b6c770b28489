//! Giving all of a file system to a group, before it is attached anywhere.
//!
//! Nobody else can see it yet, so nothing changes below this. The root directory comes last: where that is as it shall be,
//! everything below it is.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, chmodat, chownat, fchmod, fchown, fstat, openat,
    statat,
};

use crate::{CallError, call};

/// Read and write.
const FILE: RawMode = 0o060;
/// Pass through as well, and new entries are the group's.
const DIRECTORY: RawMode = 0o2070;

/// A file system that is attached nowhere.
struct Tree<'a> {
    root: BorrowedFd<'a>,
    group: Gid,
    /// Where it will be mounted: what stands before every path in errors.
    target: &'a Path,
}

/// Gives everything on the file system of `mount`, which will be mounted at `target`, to `group`.
pub(super) fn give(mount: BorrowedFd<'_>, group: u32, target: &Path) -> Result<(), CallError> {
    let tree = Tree { root: mount, group: Gid::from_raw(group), target };
    let top = Path::new(".");
    let directory = tree.open(top)?;
    if tree.is_given(top, &directory)? {
        return Ok(());
    }
    let mut to_enter = tree.entries_of(top, &directory)?;
    while let Some(path) = to_enter.pop() {
        let directory = tree.open(&path)?;
        to_enter.extend(tree.entries_of(&path, &directory)?);
        tree.give_directory(&path, &directory)?;
    }
    tree.give_directory(top, &directory)
}

impl Tree<'_> {
    fn check<T>(
        &self,
        call: &'static str,
        path: &Path,
        result: rustix::io::Result<T>,
    ) -> Result<T, CallError> {
        result.map_err(|errno| CallError::new(call, self.target.join(path).display(), errno))
    }

    fn open(&self, path: &Path) -> Result<OwnedFd, CallError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let _in_call = call::enter("openat", self.target.join(path).display());
        self.check("openat", path, openat(self.root, path, flags, Mode::empty()))
    }

    fn is_given(&self, path: &Path, directory: &OwnedFd) -> Result<bool, CallError> {
        let about = self.check("fstat", path, fstat(directory))?;
        Ok(about.st_gid == self.group.as_raw() && about.st_mode & DIRECTORY == DIRECTORY)
    }

    /// Owner first: to change it takes the set-group-id bit away.
    fn give_directory(&self, path: &Path, directory: &OwnedFd) -> Result<(), CallError> {
        self.check("fchown", path, fchown(directory, None, Some(self.group)))?;
        let about = self.check("fstat", path, fstat(directory))?;
        let mode = Mode::from_raw_mode(about.st_mode | DIRECTORY);
        self.check("fchmod", path, fchmod(directory, mode))
    }

    /// Gives away what is in a directory, all but its directories: these are the answer.
    fn entries_of(&self, path: &Path, directory: &OwnedFd) -> Result<Vec<PathBuf>, CallError> {
        let _in_call = call::enter("getdents64", self.target.join(path).display());
        let entries = self.check("getdents64", path, Dir::read_from(directory))?;
        let mut directories = Vec::new();
        for entry in entries {
            let entry = self.check("getdents64", path, entry)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let inner = path.join(name);
            if name != "." && name != ".." && self.give_entry(&inner, directory, name)? {
                directories.push(inner);
            }
        }
        Ok(directories)
    }

    /// Whether it is a directory. What has no permissions of its own, or stands for something else, only changes its group.
    fn give_entry(&self, path: &Path, directory: &OwnedFd, name: &OsStr) -> Result<bool, CallError> {
        let at = directory.as_fd();
        let about = self.check("fstatat", path, statat(at, name, AtFlags::SYMLINK_NOFOLLOW))?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => return Ok(true),
            FileType::RegularFile => {
                self.give_name(path, directory, name)?;
                let mode = Mode::from_raw_mode(about.st_mode | FILE);
                self.check("fchmodat", path, chmodat(at, name, mode, AtFlags::empty()))?;
            }
            _ => self.give_name(path, directory, name)?,
        }
        Ok(false)
    }

    fn give_name(&self, path: &Path, directory: &OwnedFd, name: &OsStr) -> Result<(), CallError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        self.check("fchownat", path, chownat(directory, name, None, Some(self.group), flags))
    }
}
