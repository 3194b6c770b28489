//! `/run/nvme/registry`: who connected a controller, told to everybody else on the host (libnvme's design/REGISTRY.md).
//!
//! A directory per controller with a file per attribute: `owner`; `note`, text for people; `seqnum`, by which udev's cleaning
//! rule tells an old controller's removal from a new controller of the same name. `nvme disconnect-all` leaves controllers
//! alone that have an owner. No entry: nobody's.

#[cfg(test)]
mod tests;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::errno::Errno;

use super::ControllerName;
use crate::{CallError, Root};

const PARENT: &str = "run/nvme";
const DIRECTORY: &str = "run/nvme/registry";
const SEQNUM: &str = "sys/kernel/uevent_seqnum";

/// The controllers that `owner` has entries of.
pub fn owned_by(root: &Root, owner: &str) -> Result<Vec<ControllerName>, CallError> {
    let mut found = Vec::new();
    for name in root.list(DIRECTORY)?.iter().filter_map(|name| name.parse().ok()) {
        if root.read_if_there(entry(name, "owner"))?.is_some_and(|text| text.trim() == owner) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Makes the entry of a controller, in the place of one that was left of an earlier controller of its name. Nobody sees half of it.
pub fn claim(root: &Root, name: ControllerName, owner: &str, note: &str) -> Result<(), CallError> {
    let hidden = format!("{DIRECTORY}/.{name}.{owner}");
    remove(root, &hidden)?;
    for directory in [PARENT, DIRECTORY, &hidden] {
        make_directory(&root.path(directory))?;
    }
    let path = root.path(&hidden);
    let seqnum = root.read_if_there(SEQNUM)?.unwrap_or_default();
    for (file, text) in [("owner", owner), ("note", note), ("seqnum", seqnum.trim())] {
        write(&path.join(file), text)?;
    }
    release(root, name)?;
    let place = root.path(directory(name));
    fs::rename(&path, &place).map_err(|source| CallError::new("rename", place.display(), source))
}

/// Removes the entry of a controller, whosever it is.
pub fn release(root: &Root, name: ControllerName) -> Result<(), CallError> {
    let hidden = format!("{DIRECTORY}/.{name}.gone");
    remove(root, &hidden)?;
    let place = root.path(directory(name));
    match fs::rename(&place, root.path(&hidden)) {
        Ok(()) => remove(root, &hidden),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CallError::new("rename", place.display(), source)),
    }
}

/// For everybody to read, whatever this process's umask is.
fn make_directory(path: &Path) -> Result<(), CallError> {
    let made = fs::create_dir(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| CallError::new("mkdir", path.display(), source)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CallError> {
    let written = fs::write(path, format!("{text}\n"));
    written
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o644)))
        .map_err(|source| CallError::new("write", path.display(), source).with_value(text))
}

fn directory(name: ControllerName) -> String {
    format!("{DIRECTORY}/{name}")
}

fn entry(name: ControllerName, file: &str) -> String {
    format!("{DIRECTORY}/{name}/{file}")
}

fn remove(root: &Root, relative: &str) -> Result<(), CallError> {
    let path = root.path(relative);
    match fs::remove_dir_all(&path) {
        Err(source) if source.raw_os_error() != Some(Errno::ENOENT as i32) => {
            Err(CallError::new("rmdir", path.display(), source))
        }
        _ => Ok(()),
    }
}
