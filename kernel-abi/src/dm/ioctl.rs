#![allow(
    unsafe_code,
    reason = "ioctl(2) on the device-mapper control node with a buffer the header describes"
)]
//! The one ioctl shape of device-mapper: a header and a payload in a single buffer, read and rewritten by the kernel.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::wire::{HEADER_BYTES, Request, set_data_size};

/// Ioctl type of device-mapper.
const DM_IOCTL: u8 = 0xfd;

/// Performs `command` on `buffer`, which holds header and payload and takes the answer.
///
/// The header's `data_size` is set to the buffer's length here, so the kernel never copies beyond it.
pub(super) fn call(control: &File, command: u8, request: &mut Request) -> Result<(), Errno> {
    let buffer = request.bytes_mut();
    if buffer.len() < HEADER_BYTES {
        return Err(Errno::EINVAL);
    }
    set_data_size(buffer)?;
    // SAFETY: the fd is open for the call; `buffer` is at least the 312 bytes the opcode names, is exclusively ours, and
    // the kernel reads and writes no more than `data_size` bytes of it (drivers/md/dm-ioctl.c `copy_params`, `ctl_ioctl`).
    let result = unsafe { libc::ioctl(control.as_raw_fd(), opcode(command), buffer.as_mut_ptr()) };
    Errno::result(result).map(drop)
}

/// `_IOWR(0xfd, command, struct dm_ioctl)`.
const fn opcode(command: u8) -> libc::Ioctl {
    nix::request_code_readwrite!(DM_IOCTL, command, HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_the_kernels() {
        assert_eq!(opcode(0), 0xc138_fd00);
        assert_eq!(opcode(14), 0xc138_fd0e);
    }
}
