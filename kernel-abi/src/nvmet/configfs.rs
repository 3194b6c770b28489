//! The four things that can be done in configfs, each so that it may be repeated.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use crate::{CallError, Root, call};

/// Whether a verb had anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did what its name says.
    Done,
    /// Everything was so already.
    AlreadySo,
}

impl Changed {
    /// [`Changed::Done`] if either was.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::AlreadySo, Self::AlreadySo) => Self::AlreadySo,
            (Self::Done, _) | (_, Self::Done) => Self::Done,
        }
    }
}

/// Makes the item `path`.
pub(super) fn make(root: &Root, path: &str) -> Result<Changed, CallError> {
    let _in_call = call::enter("mkdir", root.path(path).display());
    unless(fs::create_dir(root.path(path)), io::ErrorKind::AlreadyExists)
        .map_err(|source| CallError::new("mkdir", root.path(path).display(), source))
}

/// Removes the item `path`; the kernel frees its default groups with it.
pub(super) fn remove(root: &Root, path: &str) -> Result<Changed, CallError> {
    let _in_call = call::enter("rmdir", root.path(path).display());
    unless(fs::remove_dir(root.path(path)), io::ErrorKind::NotFound)
        .map_err(|source| CallError::new("rmdir", root.path(path).display(), source))
}

/// Links the item `target` at `path`. Configfs looks the target up by its full path at once.
pub(super) fn join(root: &Root, path: &str, target: &str) -> Result<Changed, CallError> {
    let _in_call = call::enter("symlink", root.path(path).display());
    unless(symlink(root.path(target), root.path(path)), io::ErrorKind::AlreadyExists).map_err(|source| {
        CallError::new("symlink", root.path(path).display(), source).with_value(root.path(target).display())
    })
}

/// Removes the link at `path`.
pub(super) fn part(root: &Root, path: &str) -> Result<Changed, CallError> {
    let _in_call = call::enter("unlink", root.path(path).display());
    unless(fs::remove_file(root.path(path)), io::ErrorKind::NotFound)
        .map_err(|source| CallError::new("unlink", root.path(path).display(), source))
}

/// Writes `value` unless the attribute reads so already; `same` compares what was read with what is wanted.
pub(super) fn set(
    root: &Root,
    path: &str,
    value: &str,
    same: impl Fn(&str) -> bool,
) -> Result<Changed, CallError> {
    if same(root.read(path)?.trim()) {
        return Ok(Changed::AlreadySo);
    }
    root.write(path, value).map(|()| Changed::Done)
}

/// [`set`] for attributes that read back as they were written.
pub(super) fn set_text(root: &Root, path: &str, value: &str) -> Result<Changed, CallError> {
    set(root, path, value, |read| read == value)
}

fn unless(result: io::Result<()>, already: io::ErrorKind) -> io::Result<Changed> {
    match result {
        Ok(()) => Ok(Changed::Done),
        Err(error) if error.kind() == already => Ok(Changed::AlreadySo),
        Err(error) => Err(error),
    }
}
