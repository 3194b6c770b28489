//! Device-mapper by ioctl (include/uapi/linux/dm-ioctl.h, drivers/md/dm-ioctl.c), without libdevmapper and without udev.
//!
//! A map is created by name and UUID, loaded with a table, and resumed to make the table live; it is used as the block
//! device of its number (`/dev/dm-N`, which devtmpfs makes). Nothing here makes links in `/dev/mapper`.
//!
//! Assumptions: `dm-mod` is loaded, and for a queueing leg `dm-multipath` and `dm-round-robin`; the control node
//! `/dev/mapper/control` (misc device [`CONTROL_NODE`]) exists.
//!
//! Deliberately absent: renaming, geometry, `DM_REMOVE_ALL` (it takes what is not ours), waiting for events (uevents
//! bring them).

mod control;
mod ioctl;
mod multipath;
mod target;
mod wire;

pub use control::{Control, Created, DmError, Removal, Removed, Suspend};
pub use multipath::{GroupState, MultipathStatus, MultipathTable, PathGroup, PathStatus};
pub use target::{Linear, Multipath, Striped, Target};
pub use wire::{ListEntry, MapKey, MapStatus, Version, decode_list, decode_targets};

use crate::DevNum;

/// Device number of `/dev/mapper/control` when the module is loaded or its node is made beforehand
/// (`MAPPER_CTRL_MINOR`, include/linux/miscdevice.h).
pub const CONTROL_NODE: DevNum = DevNum { major: 10, minor: 236 };
