//! The verbs.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use nix::errno::Errno;

use super::ioctl;
use super::wire::{Request, flag};
use super::{ListEntry, MapKey, MapStatus, Target, Version};
use crate::{CallError, DevNum, ParseError, Root, call};

const CONTROL: &str = "dev/mapper/control";
/// Room for an answer at first, and the most that is ever allocated for one.
const ANSWER_BYTES: usize = 16 << 10;
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// `DM_*_CMD` numbers.
mod command {
    pub(super) const VERSION: u8 = 0;
    pub(super) const LIST_DEVICES: u8 = 2;
    pub(super) const DEV_CREATE: u8 = 3;
    pub(super) const DEV_REMOVE: u8 = 4;
    pub(super) const DEV_SUSPEND: u8 = 6;
    pub(super) const DEV_STATUS: u8 = 7;
    pub(super) const TABLE_LOAD: u8 = 9;
    pub(super) const TABLE_CLEAR: u8 = 10;
    pub(super) const TABLE_STATUS: u8 = 12;
    pub(super) const TARGET_MSG: u8 = 14;
}

/// The open control node.
#[derive(Debug)]
pub struct Control {
    file: File,
    path: PathBuf,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// The kernel refused: ENXIO no such map, EBUSY name or UUID taken or map open, EINVAL bad table (the reason is in
    /// the kernel's log only), EPERM.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A name, UUID, target or message that device-mapper cannot take; nothing was called.
    #[error("not passed on")]
    Argument(#[source] ParseError),
    /// An answer that does not have the shape it should have.
    #[error("unexpected answer")]
    Answer(#[source] ParseError),
    /// The answer needs more than 4 MiB.
    #[error("the answer to {call} is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong {
        /// Which verb.
        call: &'static str,
    },
}

impl DmError {
    /// Whether the kernel answered exactly `errno`.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        matches!(self, Self::Call(error) if error.is(errno))
    }
}

/// What creating came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The map is new, without a table, and suspended until the first resume.
    New(MapStatus),
    /// A map with this name and this UUID was there.
    AlreadySo(MapStatus),
}

/// What to do about a map that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Refuse with EBUSY.
    Now,
    /// Let it go when its last user closes it.
    Deferred,
}

/// What removing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It goes with its last user.
    Deferred,
    /// There was no such map.
    AlreadySo,
}

/// How I/O is brought to a halt, by [`Control::suspend`] and by a [`Control::resume`] that swaps a live table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspend {
    /// Wait until I/O in flight is done. A multipath map **fails** what it holds for want of a path when it is flushed
    /// (dm-mpath.c `multipath_presuspend`), which makes MD drop the leg unrecorded: never with a leg that queues.
    pub flush: bool,
    /// Freeze the file system on the map, if there is one.
    pub lock_fs: bool,
}

impl Suspend {
    /// Keep I/O as it is, held or in flight, and do not touch file systems: the way to swap a leg's table.
    pub const HOLD: Self = Self { flush: false, lock_fs: false };
    /// Finish I/O and freeze the file system: a consistent instant.
    pub const QUIESCE: Self = Self { flush: true, lock_fs: true };

    fn flags(self) -> u32 {
        let noflush = if self.flush { 0 } else { flag::NOFLUSH };
        let skip_lock = if self.lock_fs { 0 } else { flag::SKIP_LOCKFS };
        noflush | skip_lock
    }
}

impl Control {
    /// Opens `/dev/mapper/control`.
    pub fn open(root: &Root) -> Result<Self, CallError> {
        let path = root.path(CONTROL);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|source| CallError::new("open", path.display(), source))?;
        Ok(Self { file, path })
    }

    /// Version of the kernel's interface.
    #[doc(alias = "DM_VERSION")]
    pub fn version(&self) -> Result<Version, DmError> {
        let request = self.call("DM_VERSION", command::VERSION, self.path.display(), Request::new(0, 0))?;
        let wrong = || DmError::Answer(ParseError::new("dm_ioctl", "has no version"));
        request.version().ok_or_else(wrong)
    }

    /// All maps, ours and others'.
    #[doc(alias = "DM_LIST_DEVICES")]
    pub fn list(&self) -> Result<Vec<ListEntry>, DmError> {
        let build = |room| Ok(Request::new(flag::UUID, room));
        self.grown("DM_LIST_DEVICES", command::LIST_DEVICES, &self.path.display(), build)?
            .list()
            .map_err(DmError::Answer)
    }

    /// Makes a map without a table. `uuid` carries the caller's prefix and cannot be changed afterwards.
    ///
    /// EBUSY when the name belongs to a map with another UUID, or the UUID to one with another name.
    #[doc(alias = "DM_DEV_CREATE")]
    pub fn create(&self, name: &str, uuid: &str) -> Result<Created, DmError> {
        let request = Request::new(0, 0).named(name).and_then(|request| request.identified(uuid));
        let request = request.map_err(DmError::Argument)?;
        match self.call("DM_DEV_CREATE", command::DEV_CREATE, MapKey::Name(name), request) {
            Ok(answer) => answer.status().map(Created::New).map_err(DmError::Answer),
            Err(refused) if refused.is(Errno::EBUSY) => match self.status_of(name)? {
                Some(there) if there.uuid == uuid => Ok(Created::AlreadySo(there)),
                _ => Err(refused),
            },
            Err(error) => Err(error),
        }
    }

    /// Removes a map. EBUSY (with [`Removal::Now`]) while it is open.
    #[doc(alias = "DM_DEV_REMOVE")]
    pub fn remove<'a>(&self, key: impl Into<MapKey<'a>>, removal: Removal) -> Result<Removed, DmError> {
        let flags = if removal == Removal::Deferred { flag::DEFERRED_REMOVE } else { 0 };
        match self.keyed("DM_DEV_REMOVE", command::DEV_REMOVE, key.into(), flags) {
            Ok(answer) if answer.flags() & flag::DEFERRED_REMOVE != 0 => Ok(Removed::Deferred),
            Ok(_) => Ok(Removed::Gone),
            Err(error) if error.is(Errno::ENXIO) => Ok(Removed::AlreadySo),
            Err(error) => Err(error),
        }
    }

    /// Loads a table beside the live one; [`Control::resume`] puts it in force. A table loaded before and not resumed is
    /// replaced.
    #[doc(alias = "DM_TABLE_LOAD")]
    pub fn load<'a>(&self, key: impl Into<MapKey<'a>>, targets: &[Target]) -> Result<(), DmError> {
        let key = key.into();
        let request = Request::new(0, 0).keyed(key).and_then(|request| request.with_targets(targets));
        let request = request.map_err(DmError::Argument)?;
        let rows = targets
            .iter()
            .map(|row| format!("{} {} {} {}", row.start_sector, row.sectors, row.kind, row.parameters));
        let value = rows.collect::<Vec<_>>().join("; ");
        self.call("DM_TABLE_LOAD", command::TABLE_LOAD, key, request).map(drop).map_err(|error| match error {
            DmError::Call(call) => DmError::Call(call.with_value(value)),
            other => other,
        })
    }

    /// Drops a table that was loaded and not resumed.
    #[doc(alias = "DM_TABLE_CLEAR")]
    pub fn clear<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<(), DmError> {
        self.keyed("DM_TABLE_CLEAR", command::TABLE_CLEAR, key.into(), 0).map(drop)
    }

    /// Halts I/O to the map.
    #[doc(alias = "DM_DEV_SUSPEND")]
    pub fn suspend<'a>(&self, key: impl Into<MapKey<'a>>, how: Suspend) -> Result<MapStatus, DmError> {
        let flags = flag::SUSPEND | how.flags();
        self.keyed("DM_DEV_SUSPEND", command::DEV_SUSPEND, key.into(), flags)?
            .status()
            .map_err(DmError::Answer)
    }

    /// Puts the loaded table, if any, in force and lets I/O go on. With a loaded table on a map that is not suspended the
    /// kernel suspends it first, and `how` says in which way (dm-ioctl.c `do_resume`).
    #[doc(alias = "DM_DEV_SUSPEND")]
    pub fn resume<'a>(&self, key: impl Into<MapKey<'a>>, how: Suspend) -> Result<MapStatus, DmError> {
        let answer = self.keyed("DM_DEV_SUSPEND (resume)", command::DEV_SUSPEND, key.into(), how.flags())?;
        answer.status().map_err(DmError::Answer)
    }

    /// What the header says of a map; `None` when there is none.
    #[doc(alias = "DM_DEV_STATUS")]
    pub fn status_of<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<Option<MapStatus>, DmError> {
        match self.keyed("DM_DEV_STATUS", command::DEV_STATUS, key.into(), 0) {
            Ok(answer) => answer.status().map(Some).map_err(DmError::Answer),
            Err(error) if error.is(Errno::ENXIO) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What each target of the live table says of itself, without flushing anything.
    #[doc(alias = "DM_TABLE_STATUS")]
    pub fn status<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<Vec<Target>, DmError> {
        self.rows(key.into(), flag::NOFLUSH)
    }

    /// The live table, as the targets would be loaded again.
    #[doc(alias = "DM_TABLE_STATUS")]
    pub fn table<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<Vec<Target>, DmError> {
        self.rows(key.into(), flag::NOFLUSH | flag::STATUS_TABLE)
    }

    /// Sends words to the target at `sector` of the live table (`fail_if_no_path`, `reinstate_path 259:4`). Gives back the
    /// text the target answered with, if any.
    #[doc(alias = "DM_TARGET_MSG")]
    pub fn message<'a>(
        &self,
        key: impl Into<MapKey<'a>>,
        sector: u64,
        text: &str,
    ) -> Result<Option<String>, DmError> {
        let key = key.into();
        let request =
            Request::new(0, 0).keyed(key).and_then(|it| it.with_message(sector, text, ANSWER_BYTES));
        let request = request.map_err(DmError::Argument)?;
        match self.call("DM_TARGET_MSG", command::TARGET_MSG, key, request) {
            // Not repeated with a larger buffer: a message may have an effect.
            Ok(answer) if answer.flags() & flag::BUFFER_FULL != 0 => {
                Err(DmError::TooLong { call: "DM_TARGET_MSG" })
            }
            Ok(answer) => answer.answer().map_err(DmError::Answer),
            Err(DmError::Call(error)) => Err(DmError::Call(error.with_value(text))),
            Err(error) => Err(error),
        }
    }

    /// Fails I/O that has no path, now and from now on.
    pub fn fail_if_no_path<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<(), DmError> {
        self.message(key, 0, "fail_if_no_path").map(drop)
    }

    /// Holds I/O that has no path from now on.
    pub fn queue_if_no_path<'a>(&self, key: impl Into<MapKey<'a>>) -> Result<(), DmError> {
        self.message(key, 0, "queue_if_no_path").map(drop)
    }

    /// Declares a path failed.
    pub fn fail_path<'a>(&self, key: impl Into<MapKey<'a>>, path: DevNum) -> Result<(), DmError> {
        self.message(key, 0, &format!("fail_path {path}")).map(drop)
    }

    /// Declares a failed path good again; held I/O goes down it.
    pub fn reinstate_path<'a>(&self, key: impl Into<MapKey<'a>>, path: DevNum) -> Result<(), DmError> {
        self.message(key, 0, &format!("reinstate_path {path}")).map(drop)
    }

    fn rows(&self, key: MapKey<'_>, flags: u32) -> Result<Vec<Target>, DmError> {
        let build = |room| Request::new(flags, room).keyed(key);
        self.grown("DM_TABLE_STATUS", command::TABLE_STATUS, &key, build)?.targets().map_err(DmError::Answer)
    }

    fn keyed(
        &self,
        name: &'static str,
        command: u8,
        key: MapKey<'_>,
        flags: u32,
    ) -> Result<Request, DmError> {
        let request = Request::new(flags, 0).keyed(key).map_err(DmError::Argument)?;
        self.call(name, command, key, request)
    }

    /// Repeats a call that only reads with more room until the answer fits.
    fn grown(
        &self,
        name: &'static str,
        command: u8,
        target: &impl std::fmt::Display,
        build: impl Fn(usize) -> Result<Request, ParseError>,
    ) -> Result<Request, DmError> {
        let mut room = ANSWER_BYTES;
        while room <= MAX_ANSWER_BYTES {
            let answer = self.call(name, command, target, build(room).map_err(DmError::Argument)?)?;
            if answer.flags() & flag::BUFFER_FULL == 0 {
                return Ok(answer);
            }
            room *= 4;
        }
        Err(DmError::TooLong { call: name })
    }

    fn call(
        &self,
        name: &'static str,
        command: u8,
        target: impl std::fmt::Display,
        mut request: Request,
    ) -> Result<Request, DmError> {
        let _in_call = call::enter(name, &target);
        match ioctl::call(&self.file, command, &mut request) {
            Ok(()) => Ok(request),
            Err(errno) => Err(DmError::Call(CallError::new(name, target, errno))),
        }
    }
}
