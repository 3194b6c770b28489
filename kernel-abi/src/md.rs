//! MD arrays without mdadm: the on-disk format 1.2, the ioctls, the sysfs tree, `/proc/mdstat` and its events.
//!
//! An array is created by writing every member's header ([`header::write_member_header`]) and assembling it
//! ([`sysfs::create_node`], [`ioctl::MdNode`]): the kernel has no "create", it only ever loads superblocks.
//!
//! Deliberately absent: which copy is the right one. The kernel starts any stale half that it is given
//! (drivers/md/md.c, `analyze_sbs`), so callers read every reachable header and decide from their own record first.

pub mod bitmap;
pub mod geometry;
pub mod header;
pub mod ioctl;
pub mod mdstat;
mod names;
pub mod superblock;
pub mod sysfs;
pub mod watch;
mod wire;

pub use names::{MemberDir, NodeName};
