//! File systems on a volume: make, mount, unmount.

use std::path::Path;

use kernel_abi::Root;
use kernel_abi::fs::{self, MountOptions, MountRequest, UmountError, UmountFlags, ext4, xfs};

use super::{Done, failure, retry};
use crate::domain::FsType;
use crate::kernel::{chain, device};
use crate::plan::{FailureKind, Step};

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
        Step::Mount { dev, fs, path, read_only, .. } => {
            let source = device::node(root, *dev).map_err(|error| retry(&error))?;
            mount(&source, *fs, Path::new(path), *read_only)
        }
        Step::Unmount { path, .. } => unmount(Path::new(path)),
        other => Err(failure(FailureKind::Retry, format_args!("not a step on a file system: {other}"))),
    }
}

fn mount(source: &Path, fs: FsType, target: &Path, read_only: bool) -> Done {
    std::fs::create_dir_all(target).map_err(|error| retry(&error))?;
    let fstype = match fs {
        FsType::Ext4 => "ext4",
        FsType::Xfs | FsType::Raw => "xfs",
    };
    let options = MountOptions { read_only, ..MountOptions::default() };
    fs::mount(&MountRequest { fstype, source, target, options: &options }).map_err(|error| {
        let kernel = error.kernel.join("; ");
        failure(FailureKind::Retry, format_args!("{} {kernel}", chain(&error)))
    })
}

fn unmount(path: &Path) -> Done {
    match fs::umount(path, UmountFlags::default()) {
        Ok(_) => Ok(()),
        Err(error @ UmountError::Busy { .. }) => Err(failure(
            FailureKind::Busy,
            format_args!("{error}: a process has a file open or its working directory there"),
        )),
        Err(error) => Err(retry(&error)),
    }
}
