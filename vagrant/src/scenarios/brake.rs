//! The kernel's own brakes on what it copies and compares, so that there is a middle to do something in.
//!
//! They are the whole guest's. A scenario that ends well has released them; a lab in which one failed is thrown away
//! (`runner/shared.rs`).

use anyhow::Result;

use crate::node::Node;

/// KiB a second, the least and the most.
pub(super) type Speed = (u32, u32);

/// As the kernel has them without anybody's doing.
pub(super) const RELEASED: Speed = (1000, 200_000);

/// What sets them.
pub(super) fn script((least, most): Speed) -> String {
    let dir = "/proc/sys/dev/raid";
    format!("echo {least} >{dir}/speed_limit_min; echo {most} >{dir}/speed_limit_max")
}

/// Sets them in a guest.
pub(super) fn set(node: &Node, speed: Speed) -> Result<()> {
    node.sh(&script(speed))?.ok().map(drop)
}
