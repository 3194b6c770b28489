//! File systems on a volume: make, mount, unmount, measure, shut down.

use std::path::Path;

use kernel_abi::Root;
use kernel_abi::fs::{self, MountOptions, MountPoint, MountRequest, UmountError, UmountFlags, ext4, xfs};
use nix::errno::Errno;

use super::{Done, failure, retry};
use crate::domain::{Bytes, FsType};
use crate::kernel::{chain, device};
use crate::plan::{Dev, FailureKind, Outcome, Step, StepFailure, Usage};

pub(super) fn apply(root: &Root, step: &Step) -> Done {
    match step {
        Step::Format { dev, fs, sector_size, uuid, now, .. } => {
            let path = device::node(root, *dev).map_err(|error| retry(&error))?;
            match fs {
                FsType::Raw => Ok(()),
                FsType::Ext4 => {
                    let options = ext4::Ext4Options::new(*uuid, *uuid, now.seconds());
                    let options = ext4::Ext4Options { known_zero: true, ..options };
                    ext4::format(&path, &options).map_err(|error| retry(&error))
                }
                FsType::Xfs => {
                    let options = xfs::XfsOptions::new(*uuid, now.seconds());
                    let sector_size = sector_size.bytes();
                    xfs::format(&path, &xfs::XfsOptions { sector_size, ..options })
                        .map_err(|error| retry(&error))
                }
            }
        }
        Step::Mount { dev, fs, path, read_only, options, group, .. } => {
            let source = device::node(root, *dev).map_err(|error| retry(&error))?;
            let asked = MountOptions::parse(options.iter().map(String::as_str));
            let read_only = *read_only || asked.read_only;
            mount(&source, *fs, Path::new(path), &MountOptions { read_only, group: *group, ..asked })
        }
        Step::Unmount { path, .. } => unmount(Path::new(path)),
        Step::ShutDown { dev, path, .. } => shut_down(*dev, Path::new(path)),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on a file system: {other}"))),
    }
}

fn mount(source: &Path, fs: FsType, target: &Path, options: &MountOptions) -> Done {
    std::fs::create_dir_all(target).map_err(|error| retry(&error))?;
    is_where_it_seems(target)?;
    let fstype = match fs {
        FsType::Ext4 => "ext4",
        FsType::Xfs | FsType::Raw => "xfs",
    };
    fs::mount(&MountRequest { fstype, source, target, options }).map_err(|error| {
        let kernel = error.kernel.join("; ");
        failure(FailureKind::Retry, format_args!("{} {kernel}", chain(&error)))
    })
}

/// The kernel tells of mounts by where they are in truth: one at a path that leads over a link would not be found again, and made once more.
pub(super) fn is_where_it_seems(path: &Path) -> Done {
    let truth = std::fs::canonicalize(path).map_err(|error| retry(&error))?;
    if truth.as_os_str() == path.as_os_str() {
        return Ok(());
    }
    let why = format_args!("{} is {} in truth; use that path", path.display(), truth.display());
    Err(failure(FailureKind::Retry, why))
}

/// What is free to nobody but root is neither in use nor available. ENODEV when another file system is seen at `path` by now.
pub(super) fn measure_use(dev: Dev, path: &Path) -> Result<Outcome, StepFailure> {
    let at = MountPoint::open(path, device::number(dev)).map_err(|error| retry(&error))?;
    let usage = fs::usage(&at).map_err(|error| retry(&error))?;
    Ok(Outcome::Used(Usage {
        used: Bytes(usage.used()),
        available: Bytes(usage.available),
        total: Bytes(usage.total),
        inodes_used: usage.inodes_used(),
        inodes_free: usage.inodes_free,
    }))
}

/// An XFS that is shut down already does not let its mount point be opened.
fn shut_down(dev: Dev, path: &Path) -> Done {
    match MountPoint::open(path, device::number(dev)) {
        Ok(at) => fs::shut_down(&at).map_err(|error| retry(&error)),
        Err(error) if error.is(Errno::EIO) => Ok(()),
        Err(error) => Err(retry(&error)),
    }
}

pub(super) fn unmount(path: &Path) -> Done {
    match fs::umount(path, UmountFlags::default()) {
        Ok(_) => Ok(()),
        Err(error @ UmountError::Busy { .. }) => Err(failure(
            FailureKind::Busy,
            format_args!("{error}: a process has a file open or its working directory there"),
        )),
        Err(error) => Err(retry(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use nix::sys::stat::{major, minor};

    use super::*;

    #[test]
    fn nothing_is_mounted_over_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let options = MountOptions::default();
        let refused = mount(Path::new("/dev/null"), FsType::Xfs, &link.join("inner"), &options).unwrap_err();
        assert!(refused.message.contains(&real.join("inner").display().to_string()), "{refused:?}");
        is_where_it_seems(&real.join("inner")).unwrap();
        is_where_it_seems(&dir.path().join("real/../real")).unwrap_err();
    }

    #[test]
    fn only_the_file_system_that_is_meant_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let number = dir.path().metadata().unwrap().dev();
        let part = |number: u64| u32::try_from(number).unwrap();
        let dev = Dev { major: part(major(number)), minor: part(minor(number)) };
        let free = nix::sys::statvfs::statvfs(dir.path()).unwrap();
        let all = free.blocks() * free.fragment_size();
        let used = measure_use(dev, dir.path()).unwrap();
        let Outcome::Used(Usage { used: Bytes(used), available, total, .. }) = used else {
            panic!("{used:?}")
        };
        assert!(used > 0 && used <= all && total == Bytes(all), "{used} of {all}");
        assert!(used + available.0 <= all, "{used} used and {available} left of {all}");

        let other = measure_use(Dev { minor: dev.minor + 1, ..dev }, dir.path()).unwrap_err();
        assert!(other.message.contains("expected") && other.message.contains("No such device"), "{other:?}");
    }
}
