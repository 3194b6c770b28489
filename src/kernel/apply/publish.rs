//! Showing a volume at one more path.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use kernel_abi::Root;
use kernel_abi::fs::{self as abi, MountPoint};

use super::{Done, failure, filesystem, retry};
use crate::kernel::{device, observe};
use crate::plan::{Dev, FailureKind};

/// What is mounted `at`, or without that the device itself, is seen at `path` too. Already so is success; what somebody else mounted
/// there stays.
pub(super) fn show(root: &Root, dev: Dev, at: Option<&str>, path: &Path, read_only: bool) -> Done {
    match there(root, path)? {
        Some(mount) if shows(root, &mount, dev, at) => return Ok(()),
        Some(mount) => {
            let why = format_args!("{} is mounted at {} already", mount.source, path.display());
            return Err(failure(FailureKind::Busy, why));
        }
        None => {}
    }
    match at {
        Some(at) => show_tree(dev, Path::new(at), path, read_only),
        None => show_device(&device::node(root, dev).map_err(|error| retry(&error))?, path, read_only),
    }
}

/// The one that is seen.
fn there(root: &Root, path: &Path) -> Result<Option<abi::Mount>, crate::plan::StepFailure> {
    let mounts = abi::mountinfo(root).map_err(|error| retry(&error))?;
    Ok(mounts.into_iter().rfind(|mount| mount.mount_point == path))
}

fn shows(root: &Root, mount: &abi::Mount, dev: Dev, at: Option<&str>) -> bool {
    let shown = if at.is_some() { Some(device::dev(mount.dev)) } else { observe::bound_device(root, mount) };
    shown == Some(dev)
}

/// As long as it is open it cannot be unmounted: what is bound is the volume, and not the directory below it.
fn show_tree(dev: Dev, at: &Path, path: &Path, read_only: bool) -> Done {
    let _open = MountPoint::open(at, device::number(dev)).map_err(|error| retry(&error))?;
    made(path, fs::create_dir(path))?;
    filesystem::is_where_it_seems(path)?;
    abi::bind_mount(at, path, read_only).map_err(|error| retry(&error))
}

fn show_device(node: &Path, path: &Path, read_only: bool) -> Done {
    made(path, File::create_new(path).map(drop))?;
    filesystem::is_where_it_seems(path)?;
    abi::bind_mount(node, path, read_only).map_err(|error| retry(&error))
}

/// What is shown over something has to have something to be shown over.
fn made(path: &Path, result: io::Result<()>) -> Done {
    match result {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failure(FailureKind::Retry, format_args!("cannot make {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Nothing is shown at `path` any more, and what it was shown over is gone if nothing is in it.
pub(super) fn withdraw(path: &Path) -> Done {
    filesystem::unmount(path)?;
    let Ok(about) = fs::symlink_metadata(path) else { return Ok(()) };
    let result = match (about.is_dir(), about.is_file() && about.len() == 0) {
        (true, _) => fs::remove_dir(path),
        (_, true) => fs::remove_file(path),
        (false, false) => Ok(()),
    };
    let stays = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
    };
    result.or_else(|error| if stays(&error) { Ok(()) } else { Err(error) }).map_err(|error| {
        failure(FailureKind::Retry, format_args!("cannot remove {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn place(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("target")
    }

    #[test]
    fn what_is_not_mounted_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (at, dev) = (dir.path().to_str().unwrap(), Dev { major: 9, minor: 77 });
        let refused = show(&Root::live(), dev, Some(at), &place(&dir), false).unwrap_err();
        assert!(refused.message.contains("9:77 expected"), "{refused:?}");
        assert!(!place(&dir).exists(), "nothing is left of it");
    }

    #[test]
    fn what_it_was_shown_over_goes_and_what_is_somebody_elses_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = place(&dir);
        withdraw(&path).unwrap();
        fs::create_dir(&path).unwrap();
        withdraw(&path).unwrap();
        assert!(!path.exists());
        File::create_new(&path).unwrap();
        withdraw(&path).unwrap();
        assert!(!path.exists());

        fs::write(&path, "data").unwrap();
        withdraw(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"data");
        withdraw(dir.path()).unwrap();
        assert!(dir.path().exists(), "it is not empty");
    }

    #[test]
    fn a_place_that_is_taken_is_left_alone() {
        let dev = Dev { major: 9, minor: 77 };
        let refused = show(&Root::live(), dev, None, Path::new("/proc"), false).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Busy);
        assert!(refused.message.contains("/proc"), "{refused:?}");
    }
}
