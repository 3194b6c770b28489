//! Our own reader of the kernel's netlink group: no library, so static builds have it too.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvmsg, setsockopt,
    socket, sockopt,
};

use super::{Received, Uevent};
use crate::CallError;

/// The kernel's multicast group. Group 2 is udevd's.
const KERNEL_GROUP: u32 = 1;
/// Netlink port of the kernel: whoever else writes to the group is not believed.
const KERNEL_PORT: u32 = 0;
/// Several times `UEVENT_BUFFER_SIZE` (2048) with the longest path.
const MESSAGE_BYTES: usize = 16 << 10;
const TARGET: &str = "NETLINK_KOBJECT_UEVENT";

pub(super) struct Reader {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// One datagram.
struct Datagram {
    length: usize,
    from_kernel: bool,
    truncated: bool,
}

impl Reader {
    pub(super) fn open(receive_buffer: usize) -> Result<Self, CallError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)
            .map_err(|errno| CallError::new("socket", TARGET, errno))?;
        size_buffer(&socket, receive_buffer)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP))
            .map_err(|errno| CallError::new("bind", TARGET, errno))?;
        Ok(Self { socket, buffer: vec![0; MESSAGE_BYTES] })
    }

    pub(super) fn receive(&mut self) -> Result<Received, CallError> {
        loop {
            match self.datagram() {
                Ok(datagram) if !datagram.from_kernel => {}
                Ok(datagram) => return Ok(self.judge(&datagram)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Received::WouldBlock),
                Err(Errno::ENOBUFS) => return Ok(Received::Lost),
                Err(errno) => return Err(CallError::new("recvmsg", TARGET, errno)),
            }
        }
    }

    fn judge(&self, datagram: &Datagram) -> Received {
        let message = self.buffer.get(..datagram.length).filter(|_| !datagram.truncated);
        match message.map(Uevent::parse) {
            Some(Ok(event)) => Received::Event(event),
            Some(Err(_)) | None => Received::Lost,
        }
    }

    fn datagram(&mut self) -> nix::Result<Datagram> {
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let message =
            recvmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &mut parts, None, MsgFlags::MSG_DONTWAIT)?;
        Ok(Datagram {
            length: message.bytes,
            from_kernel: message.address.is_some_and(|address| address.pid() == KERNEL_PORT),
            truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
        })
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `SO_RCVBUFFORCE` goes beyond `net.core.rmem_max` but needs `CAP_NET_ADMIN`; without it what is allowed is taken.
pub(super) fn size_buffer(socket: &impl AsFd, bytes: usize) -> Result<(), CallError> {
    match setsockopt(socket, sockopt::RcvBufForce, &bytes) {
        Err(Errno::EPERM) => setsockopt(socket, sockopt::RcvBuf, &bytes),
        other => other,
    }
    .map_err(|errno| CallError::new("SO_RCVBUFFORCE", TARGET, io::Error::from(errno)).with_value(bytes))
}

#[cfg(test)]
mod tests;
