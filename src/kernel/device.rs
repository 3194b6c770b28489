//! From device numbers, the machines' handle, to the nodes and names the calls want.

use std::path::PathBuf;

use kernel_abi::{CallError, DevNum, Root};
use nix::errno::Errno;

use crate::plan::Dev;

/// The kernel's number.
pub(super) fn number(dev: Dev) -> DevNum {
    DevNum { major: dev.major, minor: dev.minor }
}

/// The machines' number.
pub(super) fn dev(number: DevNum) -> Dev {
    Dev { major: number.major, minor: number.minor }
}

/// The kernel's name of a block device (`nvme0n1p1`), by `/sys/dev/block`.
pub(super) fn name(root: &Root, dev: Dev) -> Result<String, CallError> {
    let link = format!("sys/dev/block/{dev}");
    root.link_name(&link).ok_or_else(|| CallError::new("readlink", root.path(&link).display(), Errno::ENOENT))
}

/// The device node, which devtmpfs made under the kernel's name (`!` stands for `/`).
pub(super) fn node(root: &Root, dev: Dev) -> Result<PathBuf, CallError> {
    Ok(root.path("dev").join(name(root, dev)?.replace('!', "/")))
}
