//! The host's network device in the lab's own network namespace.
#![allow(unsafe_code, reason = "TUNSETIFF has no safe wrapper; this file holds nothing else")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use nix::libc;

/// kernel: `include/uapi/linux/if.h`, `struct ifreq`: a name and, for TUNSETIFF, flags; 40 bytes on 64-bit.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

mod raw {
    #![allow(missing_docs, reason = "the macro writes a public function that nobody outside can see")]
    use nix::libc;

    nix::ioctl_write_ptr_bad!(tunsetiff, libc::TUNSETIFF, super::InterfaceRequest);
}

/// A new TAP device called `name`, whole Ethernet frames without further headers. It lives as long as the file.
pub fn open(name: &str) -> Result<File> {
    let tun =
        File::options().read(true).write(true).open("/dev/net/tun").context("cannot open /dev/net/tun")?;
    let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], flags: 0, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from;
    }
    request.flags = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI)?;
    // SAFETY: the descriptor is open, and `request` is a whole `struct ifreq` that outlives the call.
    unsafe { raw::tunsetiff(tun.as_raw_fd(), &raw const request) }.context("TUNSETIFF")?;
    Ok(tun)
}
