//! File systems on a volume: make, recognise, mount, grow, freeze, trim, measure, shut down.
//!
//! Guarantees: no program is run and no discard is sent while formatting (a discard sets every bit of a degraded
//! array's bitmap); a format that is cut short leaves nothing that mounts; what reads superblocks and mountinfo
//! survives any bytes.
//!
//! Deliberately absent: checking and repairing, quotas, shrinking.

mod bytes;
mod detect;
pub mod ext4;
pub mod grow;
#[cfg(test)]
mod image;
mod ioctl;
mod mount;
mod mountinfo;
mod online;
mod target;
pub mod xfs;

pub use detect::{Detected, detect};
pub use mount::{
    MountError, MountOption, MountOptions, MountRequest, UmountError, UmountFlags, bind_mount,
    ensure_mounted_pseudo, mount, umount,
};
pub use mountinfo::{Mount, mountinfo, parse_mountinfo};
pub use online::{MountPoint, Usage, freeze, shut_down, thaw, trim, usage};

/// Whether a verb had anything to do. Both are success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The kernel did it.
    Made,
    /// It already was as asked.
    AlreadySo,
}

/// `text` as a label field of `N` bytes, padded with NUL; `None` when it is too long or holds a NUL.
fn fixed_label<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut field = [0; N];
    let room = field.get_mut(..text.len())?;
    room.copy_from_slice(text.as_bytes());
    (!text.contains('\0')).then_some(field)
}
