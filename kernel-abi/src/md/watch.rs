//! Attributes that tell of their changes (`sysfs_notify` in drivers/md/md.c, `mdstat_poll`).
//!
//! The caller's reactor waits for `POLLPRI` on the descriptors; this module opens them and arms them anew. MD sends no
//! uevent for a member's failure, nor for the start or end of a resync: this is how one learns of them.
//!
//! Assumptions: an event only says "look". What is true is read afterwards.
//! Caveats: sizes, slots, error counts and `mismatch_cnt` do not notify.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

use super::{MemberDir, NodeName, mdstat};
use crate::{CallError, Root};

/// Longest attribute that is read when arming, bytes; `/proc/mdstat` is the only long one.
const MAX_BYTES: u64 = 4 << 20;

/// What one descriptor watches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Watched {
    /// `/proc/mdstat`: any array, any change.
    Mdstat,
    /// `md/array_state`.
    ArrayState(NodeName),
    /// `md/sync_action`.
    SyncAction(NodeName),
    /// `md/sync_completed`: each time all that was read so far is done with, and where a check stands at its end (`md_do_sync`).
    SyncCompleted(NodeName),
    /// `md/degraded`; comes some 20 ms after the member's state, when the superblocks are written.
    Degraded(NodeName),
    /// `md/dev-X/state`: the first to tell of a failure.
    Member(NodeName, MemberDir),
}

impl Watched {
    /// Below the root.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Mdstat => mdstat::PATH.to_owned(),
            Self::ArrayState(name) => name.attribute("array_state"),
            Self::SyncAction(name) => name.attribute("sync_action"),
            Self::SyncCompleted(name) => name.attribute("sync_completed"),
            Self::Degraded(name) => name.attribute("degraded"),
            Self::Member(name, dir) => name.attribute(format_args!("{dir}/state")),
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// One open attribute. Register it (it is [`AsFd`]) for `POLLPRI` or `EPOLLPRI`; sysfs adds `POLLERR` on its own.
#[derive(Debug)]
pub struct Watch {
    what: Watched,
    file: File,
    path: String,
}

impl Watch {
    /// Opens and arms; the first value comes along. `None` when there is no such attribute.
    pub fn open(root: &Root, what: Watched) -> Result<Option<(Self, String)>, CallError> {
        let path = root.path(what.path());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(CallError::new("open", path.display(), source)),
        };
        let mut watch = Self { what, file, path: path.display().to_string() };
        Ok(watch.rearm()?.map(|value| (watch, value)))
    }

    /// What this watches.
    #[must_use]
    pub const fn what(&self) -> &Watched {
        &self.what
    }

    /// Reads the value from its start, which arms the next event; trailing newline removed. `None` when the member or
    /// array is gone: drop this. A member that comes back has a new attribute, also under the same name.
    pub fn rearm(&mut self) -> Result<Option<String>, CallError> {
        let mut bytes = Vec::new();
        let read = self.file.rewind().and_then(|()| (&self.file).take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(source) => Err(CallError::new("read", &self.path, source)),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Everything of one array that tells of its changes, but for `sync_completed`, which tells while nothing of interest changes.
#[derive(Debug)]
pub struct ArrayWatch {
    name: NodeName,
    watches: Vec<Watch>,
}

impl ArrayWatch {
    /// Opens what the array `name` has; nothing at all when there is no such array.
    pub fn open(root: &Root, name: NodeName) -> Result<Self, CallError> {
        let mut watch = Self { name, watches: Vec::new() };
        watch.refresh(root)?;
        Ok(watch)
    }

    /// The array.
    #[must_use]
    pub const fn name(&self) -> &NodeName {
        &self.name
    }

    /// Closes what is gone and opens what is new: after every event, since members come and go, and `degraded` and
    /// `sync_action` exist only while the array runs. Arms all others. Says what it opened; the caller registers those.
    pub fn refresh(&mut self, root: &Root) -> Result<Vec<Watched>, CallError> {
        self.drop_gone()?;
        let mut opened = Vec::new();
        for what in self.wanted(root)? {
            if !self.watches.iter().any(|watch| *watch.what() == what)
                && let Some((watch, _value)) = Watch::open(root, what.clone())?
            {
                self.watches.push(watch);
                opened.push(what);
            }
        }
        Ok(opened)
    }

    /// What is open now.
    pub fn watches(&self) -> impl Iterator<Item = &Watch> {
        self.watches.iter()
    }

    /// What is open now, for [`Watch::rearm`].
    pub fn watches_mut(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.watches.iter_mut()
    }

    fn drop_gone(&mut self) -> Result<(), CallError> {
        let mut kept = Vec::with_capacity(self.watches.len());
        for mut watch in self.watches.drain(..) {
            if watch.rearm()?.is_some() {
                kept.push(watch);
            }
        }
        self.watches = kept;
        Ok(())
    }

    fn wanted(&self, root: &Root) -> Result<Vec<Watched>, CallError> {
        let name = &self.name;
        let names = match root.list(name.attribute("")) {
            Err(error) if is_gone(&error.source) => Vec::new(),
            names => names?,
        };
        let members = names.iter().filter_map(|entry| entry.parse::<MemberDir>().ok());
        let array = [Watched::ArrayState, Watched::SyncAction, Watched::Degraded].map(|of| of(name.clone()));
        Ok(array.into_iter().chain(members.map(|dir| Watched::Member(name.clone(), dir))).collect())
    }
}

/// EBUSY is how an array on its way out answers (`md_attr_show`).
fn is_gone(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO | Errno::EBUSY | Errno::ENOTDIR))
}

#[cfg(test)]
mod tests;
