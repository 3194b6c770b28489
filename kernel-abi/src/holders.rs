//! Who uses a block device or the file system on it: processes, and the kernel itself. And how a process is ended.
//!
//! No file system is asked: on an XFS that is shut down `stat` of a file gives EIO, and on others it may never return.
//! An open file is known by the mount it was opened through (`/proc/PID/fdinfo`, `mnt_id`), and that by its device.
//!
//! Caveats: a device node is recognised where nodes are made (`devtmpfs`, `tmpfs`), not one made by hand on a disk; a thread
//! that shares no descriptors with its process is not looked at; reading a process' mappings waits while another thread of
//! it waits for its memory map. Processes are those of the PID namespace that `/proc` shows.
//!
//! Deliberately absent: who may be ended, and when.

mod kernel;
mod parse;
mod scan;
#[cfg(test)]
mod tests;

pub use kernel::{KernelHolder, in_kernel};
pub use parse::{ProcessStat, parse_maps, parse_mnt_id, parse_pending, parse_stat};
pub use scan::processes;

use std::collections::BTreeSet;

use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{CallError, DevNum, Root};

/// What somebody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// A mounted file system: a file, a directory, a mapping.
    FileSystem,
    /// The block device itself.
    Device,
}

/// A process that uses one of the devices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number now. Numbers are used again: see `started`.
    pub pid: u32,
    /// When it began, in clock ticks since boot. With the number it names the process for good.
    pub started: u64,
    /// What it calls itself (`comm`, at most 15 bytes).
    pub name: String,
    /// The most direct of its ways.
    pub through: Through,
    /// Every thread of it has SIGKILL pending or is on its way out: none returns to what it was doing, not even one
    /// that waits unkillably.
    pub ending: bool,
}

/// What became of a request to end a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// SIGKILL was sent.
    Sent,
    /// That process is gone, whoever has its number now.
    AlreadyGone,
}

/// Sends SIGKILL to the process that has had the number `pid` since `started`, and to no other: what is signalled is the
/// process that was held when its start was read.
///
/// Errors: EPERM for process 1, for this process, and without `CAP_KILL`; what `/proc` says.
#[doc(alias = "pidfd_send_signal")]
#[doc(alias = "SIGKILL")]
pub fn kill(root: &Root, pid: u32, started: u64) -> Result<Ended, CallError> {
    let failed = |call, errno: Errno| CallError::new(call, format_args!("process {pid}"), errno);
    if pid <= 1 || pid == std::process::id() {
        return Err(failed("pidfd_send_signal", Errno::EPERM));
    }
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(Ended::AlreadyGone) };
    let held = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(held) => held,
        Err(rustix::io::Errno::SRCH) => return Ok(Ended::AlreadyGone),
        Err(errno) => return Err(failed("pidfd_open", Errno::from_raw(errno.raw_os_error()))),
    };
    match scan::stat(root, pid)? {
        Some(stat) if stat.started == started => {}
        Some(_) | None => return Ok(Ended::AlreadyGone),
    }
    match pidfd_send_signal(held, Signal::KILL) {
        Ok(()) => Ok(Ended::Sent),
        Err(rustix::io::Errno::SRCH) => Ok(Ended::AlreadyGone),
        Err(errno) => Err(failed("pidfd_send_signal", Errno::from_raw(errno.raw_os_error()))),
    }
}

/// The devices that are looked for.
type Devices = BTreeSet<DevNum>;
