//! The kernel's state as files: parts of `/proc` and `/sys`, links as links, so that they unpack to what they were.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::pack::Pack;

/// Files of procfs.
const PROC: [&str; 7] = [
    "proc/mdstat",
    "proc/mounts",
    "proc/self/mountinfo",
    "proc/partitions",
    "proc/modules",
    "proc/version",
    "proc/sys/kernel/osrelease",
];
/// Directories of links: the links, and all below what they lead to.
const CLASSES: [&str; 4] =
    ["sys/block", "sys/class/nvme", "sys/class/nvme-fabrics", "sys/class/nvme-subsystem"];
/// Directories of links that lead into what [`CLASSES`] has.
const INDEXES: [&str; 2] = ["sys/class/block", "sys/dev/block"];
/// Directories taken as they are.
const TREES: [&str; 4] = [
    "sys/kernel/config/nvmet",
    "sys/module/md_mod/parameters",
    "sys/module/nvme_core/parameters",
    "sys/module/nvme_tcp/parameters",
];
/// Block devices that are none of our business.
const STRANGERS: [&str; 5] = ["loop", "ram", "zram", "sr", "fd"];
/// Directories that say nothing about storage, or too much of it.
const DULL: [&str; 6] = ["power", "trace", "integrity", "mq", "iocost", "hwmon"];
/// Keys of NVMe authentication, which nobody else may know.
const SECRETS: [&str; 4] = ["dhchap_key", "dhchap_ctrl_key", "dhchap_secret", "dhchap_ctrl_secret"];
/// What is kept of one file, bytes: sysfs gives at most a page, tables of procfs may be longer.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Everything from `root`. What cannot be read is a problem, not an error.
pub(super) fn write<W: Write>(pack: &mut Pack<W>, root: &Path) -> io::Result<()> {
    let mut walk = Walk { pack, root, seen: BTreeSet::new(), todo: VecDeque::new() };
    for path in PROC {
        walk.file(path)?;
    }
    for class in CLASSES.into_iter().chain(INDEXES) {
        walk.class(class, CLASSES.contains(&class))?;
    }
    walk.todo.extend(TREES.map(str::to_owned));
    walk.finish()
}

struct Walk<'a, W: Write> {
    pack: &'a mut Pack<W>,
    root: &'a Path,
    seen: BTreeSet<String>,
    todo: VecDeque<String>,
}

impl<W: Write> Walk<'_, W> {
    /// The links of a directory; with `follow` also what they lead to, once.
    fn class(&mut self, class: &str, follow: bool) -> io::Result<()> {
        for name in self.names(class) {
            if STRANGERS.iter().any(|stranger| name.starts_with(stranger)) {
                continue;
            }
            let path = format!("{class}/{name}");
            self.link(&path)?;
            if let Some(real) = self.real(&path).filter(|_| follow) {
                self.todo.push_back(real);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        while let Some(directory) = self.todo.pop_front() {
            if self.seen.insert(directory.clone()) {
                self.directory(&directory)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, directory: &str) -> io::Result<()> {
        let names = self.names(directory);
        if names.is_empty() && self.root.join(directory).is_dir() {
            self.pack.directory(directory)?;
        }
        for name in names {
            let path = format!("{directory}/{name}");
            match fs::symlink_metadata(self.root.join(&path)) {
                Ok(meta) if meta.is_symlink() => self.link(&path)?,
                Ok(meta) if meta.is_dir() && !DULL.iter().any(|dull| name.starts_with(dull)) => {
                    self.todo.push_back(path);
                }
                Ok(meta) if meta.is_file() && !SECRETS.contains(&name.as_str()) => self.file(&path)?,
                // Gone meanwhile, or not wanted.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The entries of a directory in order; one that is not there has none.
    fn names(&mut self, directory: &str) -> Vec<String> {
        let listed = fs::read_dir(self.root.join(directory))
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
        let names: Vec<std::ffi::OsString> = match listed {
            Ok(names) => names,
            Err(error) => {
                self.complain(directory, &error);
                Vec::new()
            }
        };
        let mut names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    fn complain(&mut self, path: &str, error: &io::Error) {
        if error.kind() != ErrorKind::NotFound {
            self.pack.problem(format_args!("/{path}: {error}"));
        }
    }

    fn link(&mut self, path: &str) -> io::Result<()> {
        match fs::read_link(self.root.join(path)) {
            Ok(target) => self.pack.link(path, &target),
            Err(_) => Ok(()),
        }
    }

    /// A link's goal, relative to the root; `None` where it leads elsewhere or nowhere.
    fn real(&self, path: &str) -> Option<String> {
        let root = fs::canonicalize(self.root).ok()?;
        let real: PathBuf = fs::canonicalize(self.root.join(path)).ok()?;
        real.strip_prefix(root).ok()?.to_str().map(str::to_owned)
    }

    fn file(&mut self, path: &str) -> io::Result<()> {
        match read(&self.root.join(path)) {
            Ok(Some(bytes)) => self.pack.file(path, &bytes),
            Ok(None) => Ok(()),
            Err(error) => {
                self.complain(path, &error);
                Ok(())
            }
        }
    }
}

/// A file's content, or `None` for one that is not meant to be read: root could open it, and some that are only written
/// do something when they are touched.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if fs::metadata(path)?.mode() & 0o444 == 0 {
        return Ok(None);
    }
    let file: File = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
