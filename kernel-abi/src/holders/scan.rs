//! Every process, its descriptors, directories and mappings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{major, minor};

use super::{Devices, Process, ProcessStat, Through, parse_maps, parse_mnt_id, parse_pending, parse_stat};
use crate::fs::parse_mountinfo;
use crate::{CallError, DevNum, ParseError, Root};

/// File systems on which device nodes are made.
const HAVE_NODES: [&str; 3] = ["devtmpfs", "tmpfs", "ramfs"];

/// Every process that uses one of `devices`, or a file system on it, in whatever mount namespace.
///
/// Errors: what `/proc` says; EACCES or EPERM without `CAP_SYS_PTRACE`. A process that ends meanwhile is no error.
pub fn processes(root: &Root, devices: &BTreeSet<DevNum>) -> Result<Vec<Process>, CallError> {
    let pids = pids(root)?;
    let mounts = Mounts::of_all(root, &pids, devices)?;
    let scan = Scan { root, devices, mounts };
    let found = pids.iter().filter_map(|pid| scan.process(*pid).transpose());
    found.collect()
}

pub(super) fn stat(root: &Root, pid: u32) -> Result<Option<ProcessStat>, CallError> {
    let path = format!("proc/{pid}/stat");
    read(root, &path)?.map(|text| parsed(root, &path, parse_stat(&text))).transpose()
}

fn pids(root: &Root) -> Result<Vec<u32>, CallError> {
    Ok(root.list("proc")?.iter().filter_map(|name| name.parse().ok()).collect())
}

/// A file of a process; `None` when the process, the thread or the descriptor is gone.
fn read(root: &Root, path: &str) -> Result<Option<String>, CallError> {
    gone(root.read(path))
}

fn gone<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn list(root: &Root, path: &str) -> Result<Vec<String>, CallError> {
    Ok(gone(root.list(path))?.unwrap_or_default())
}

fn parsed<T>(root: &Root, path: &str, result: Result<T, ParseError>) -> Result<T, CallError> {
    result
        .map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
        .map_err(|source| CallError::new("parse", root.path(path).display(), source))
}

/// The mounts of every mount namespace there is. Their ids are unique over all of them (`fs/namespace.c`, `mnt_id_ida`).
#[derive(Debug, Default)]
struct Mounts {
    /// Of the devices that are looked for.
    wanted: BTreeSet<u32>,
    /// Of file systems on which device nodes are made.
    nodes: BTreeSet<u32>,
    /// All others.
    others: BTreeSet<u32>,
}

impl Mounts {
    fn of_all(root: &Root, pids: &[u32], devices: &Devices) -> Result<Self, CallError> {
        let mut namespaces: BTreeMap<String, u32> = BTreeMap::new();
        for pid in pids {
            if let Some(name) = root.link_name(format!("proc/{pid}/ns/mnt")) {
                namespaces.entry(name).or_insert(*pid);
            }
        }
        let mut all = Self::default();
        for pid in namespaces.into_values() {
            all.add(root, pid, devices)?;
        }
        Ok(all)
    }

    fn add(&mut self, root: &Root, pid: u32, devices: &Devices) -> Result<(), CallError> {
        let path = format!("proc/{pid}/mountinfo");
        let Some(text) = read(root, &path)? else { return Ok(()) };
        for mount in parsed(root, &path, parse_mountinfo(&text))? {
            let known = if devices.contains(&mount.dev) {
                &mut self.wanted
            } else if HAVE_NODES.contains(&mount.fstype.as_str()) {
                &mut self.nodes
            } else {
                &mut self.others
            };
            known.insert(mount.id);
        }
        Ok(())
    }
}

struct Scan<'a> {
    root: &'a Root,
    devices: &'a Devices,
    mounts: Mounts,
}

impl Scan<'_> {
    fn process(&self, pid: u32) -> Result<Option<Process>, CallError> {
        let Some(stat) = stat(self.root, pid)? else { return Ok(None) };
        let ending = self.is_ending(pid)?;
        // Of one that is ending nothing is to be feared, and to read its mappings may wait.
        let through = match self.descriptors(pid)?.max(self.directories(pid)) {
            None if !ending => self.mappings(pid)?,
            through => through,
        };
        let ProcessStat { name, started, .. } = stat;
        Ok(through.map(|through| Process { pid, started, name, through, ending }))
    }

    fn is_ending(&self, pid: u32) -> Result<bool, CallError> {
        for thread in list(self.root, &format!("proc/{pid}/task"))? {
            if !self.thread_is_ending(&format!("proc/{pid}/task/{thread}"))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn thread_is_ending(&self, task: &str) -> Result<bool, CallError> {
        let (stat, status) = (format!("{task}/stat"), format!("{task}/status"));
        let Some(text) = read(self.root, &stat)? else { return Ok(true) };
        if parsed(self.root, &stat, parse_stat(&text))?.exiting {
            return Ok(true);
        }
        let Some(text) = read(self.root, &status)? else { return Ok(true) };
        parsed(self.root, &status, parse_pending(&text))
    }

    fn descriptors(&self, pid: u32) -> Result<Option<Through>, CallError> {
        let mut through = None;
        for number in list(self.root, &format!("proc/{pid}/fdinfo"))? {
            let path = format!("proc/{pid}/fdinfo/{number}");
            let Some(text) = read(self.root, &path)? else { continue };
            let mount = parsed(self.root, &path, parse_mnt_id(&text))?;
            through = through.max(self.opened(mount, &format!("proc/{pid}/fd/{number}")));
        }
        Ok(through)
    }

    /// What `file`, opened through `mount`, is to us. A mount that is in no list is one of the kernel's own (pipes,
    /// sockets), or was detached while files on it were open.
    fn opened(&self, mount: u32, file: &str) -> Option<Through> {
        if self.mounts.wanted.contains(&mount) {
            return Some(Through::FileSystem);
        }
        if self.mounts.others.contains(&mount) {
            return None;
        }
        let file = fs::metadata(self.root.path(file)).ok()?;
        let is = |number| self.devices.contains(&number);
        if file.file_type().is_block_device() && is(number(file.rdev())) {
            return Some(Through::Device);
        }
        (!self.mounts.nodes.contains(&mount) && is(number(file.dev()))).then_some(Through::FileSystem)
    }

    /// Working directory and root. Opened as a place only, which asks no file system.
    fn directories(&self, pid: u32) -> Option<Through> {
        let mount = |name: &&str| mount_of(&self.root.path(format!("proc/{pid}/{name}")));
        let wanted = ["cwd", "root"].iter().filter_map(mount).any(|id| self.mounts.wanted.contains(&id));
        wanted.then_some(Through::FileSystem)
    }

    fn mappings(&self, pid: u32) -> Result<Option<Through>, CallError> {
        let Some(text) = read(self.root, &format!("proc/{pid}/maps"))? else { return Ok(None) };
        let through = |(range, dev, path): (&str, DevNum, &str)| {
            if self.devices.contains(&dev) {
                return Some(Through::FileSystem);
            }
            // Of a mapped device the list shows the file system its node is on.
            let node = path.starts_with("/dev/").then(|| format!("proc/{pid}/map_files/{range}"))?;
            let file = fs::metadata(self.root.path(node)).ok()?;
            let is_wanted = file.file_type().is_block_device() && self.devices.contains(&number(file.rdev()));
            is_wanted.then_some(Through::Device)
        };
        Ok(parse_maps(&text).into_iter().filter_map(through).max())
    }
}

fn number(dev: u64) -> DevNum {
    DevNum { major: major(dev), minor: minor(dev) }
}

/// The mount that `path` leads to.
fn mount_of(path: &Path) -> Option<u32> {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_raw_fd())).ok()?;
    parse_mnt_id(&info).ok()
}
