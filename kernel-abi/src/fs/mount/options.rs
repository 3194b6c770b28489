//! Mount options: those of the mount itself and those of the file system.

#![allow(unsafe_code, reason = "mount_setattr(2) has no safe wrapper in rustix or nix")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use rustix::mount::MountAttrFlags;

/// One option that the file system itself understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountOption {
    /// `nouuid`.
    Flag(String),
    /// `stripe=32`.
    Value(String, String),
}

/// How to mount. The default is read-write with the kernel's defaults (relatime).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag of the mount")]
pub struct MountOptions {
    /// Neither the mount nor the file system may be written.
    pub read_only: bool,
    /// Set-user-id bits have no effect.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// No program can be started.
    pub no_exec: bool,
    /// Access times are not recorded.
    pub no_atime: bool,
    /// Access times of directories are not recorded.
    pub no_dir_atime: bool,
    /// Options of the file system, in order.
    pub fs: Vec<MountOption>,
    /// The group, by number, that every file gets and that may write it; new files get it from their directory. Nothing is
    /// changed where the root directory is so already, nor on a file system that is mounted read-only.
    pub group: Option<u32>,
}

impl MountOptions {
    /// Sorts options as `mount -o` takes them, each `name` or `name=value`; what is not an option of the mount goes
    /// to the file system, which refuses what it does not know.
    pub fn parse<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        options.into_iter().flat_map(|list| list.split(',')).for_each(|option| all.add(option));
        all
    }

    fn add(&mut self, option: &str) {
        match option {
            "" | "defaults" | "relatime" => {}
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nosuid" => self.no_suid = true,
            "suid" => self.no_suid = false,
            "nodev" => self.no_dev = true,
            "dev" => self.no_dev = false,
            "noexec" => self.no_exec = true,
            "exec" => self.no_exec = false,
            "noatime" => self.no_atime = true,
            "atime" => self.no_atime = false,
            "nodiratime" => self.no_dir_atime = true,
            "diratime" => self.no_dir_atime = false,
            other => self.fs.push(match other.split_once('=') {
                Some((key, value)) => MountOption::Value(key.to_owned(), value.to_owned()),
                None => MountOption::Flag(other.to_owned()),
            }),
        }
    }

    pub(super) fn attributes(&self) -> MountAttrFlags {
        let mut flags = MountAttrFlags::empty();
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.no_suid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.no_dev);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.no_exec);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOATIME, self.no_atime);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, self.no_dir_atime);
        flags
    }
}

/// Makes a mount that is not attached yet read-only, so that it is never seen writable (`fs/namespace.c`,
/// `mount_setattr`, Linux 5.12).
pub(super) fn set_read_only(tree: &OwnedFd) -> rustix::io::Result<()> {
    let request =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the path is a NUL-terminated literal; the kernel reads the given number of bytes from a live value.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const request,
            size_of::<libc::mount_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn last_errno() -> rustix::io::Errno {
    let raw = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    rustix::io::Errno::from_raw_os_error(raw)
}

#[cfg(test)]
mod tests {
    use super::{MountOption, MountOptions};

    #[test]
    fn options_of_the_mount_are_told_from_those_of_the_file_system() {
        let parsed = MountOptions::parse(["ro,noatime", "stripe=32", "nouuid"]);
        assert!(parsed.read_only && parsed.no_atime && !parsed.no_exec);
        let stripe = MountOption::Value("stripe".into(), "32".into());
        assert_eq!(parsed.fs, [stripe, MountOption::Flag("nouuid".into())]);
    }

    #[test]
    fn the_last_one_counts() {
        assert!(!MountOptions::parse(["ro", "rw"]).read_only);
    }
}
