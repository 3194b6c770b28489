//! The netlink socket that asks.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, sendto, socket,
};

use super::DiagError;
use super::wire::{self, Message, TcpSocket};
use crate::{CallError, ParseError};

const TARGET: &str = "netlink sock_diag";

/// The kernel fills at most 32 KiB at a time (`netlink_dump`, `net/netlink/af_netlink.c`).
const BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Diag {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Diag {
    pub(super) fn open() -> Result<Self, CallError> {
        let protocol = SockProtocol::NetlinkSockDiag;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map_err(|errno| CallError::new("socket", TARGET, errno))?;
        Ok(Self { fd, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Every TCP socket of `family`, one by one.
    pub(super) fn dump(&mut self, family: u8, mut each: impl FnMut(TcpSocket)) -> Result<(), DiagError> {
        const CALL: &str = "SOCK_DIAG_BY_FAMILY";
        self.send(CALL, &wire::dump_request(family))?;
        loop {
            for message in self.receive(CALL)? {
                match message {
                    Message::Socket(socket) => each(socket),
                    Message::Done | Message::Ack => return Ok(()),
                    Message::Error(errno) => return Err(CallError::new(CALL, TARGET, errno).into()),
                    Message::Other => {}
                }
            }
        }
    }

    pub(super) fn destroy(&mut self, socket: &TcpSocket) -> Result<(), DiagError> {
        const CALL: &str = "SOCK_DESTROY";
        self.send(CALL, &wire::destroy_request(socket))?;
        let answer = self.receive(CALL)?.into_iter().find_map(|message| match message {
            Message::Ack => Some(Ok(())),
            Message::Error(errno) => Some(Err(CallError::new(CALL, socket, errno).into())),
            Message::Socket(_) | Message::Done | Message::Other => None,
        });
        answer.unwrap_or_else(|| Err(ParseError::new("SOCK_DESTROY", "no acknowledgement").into()))
    }

    fn send(&self, call: &'static str, request: &[u8]) -> Result<(), CallError> {
        let kernel = NetlinkAddr::new(0, 0);
        let sent = sendto(self.fd.as_raw_fd(), request, &kernel, MsgFlags::empty());
        sent.map(drop).map_err(|errno| CallError::new(call, TARGET, errno))
    }

    /// The messages of one datagram. Others than the kernel may send to a netlink socket: their words do not count.
    fn receive(&mut self, call: &'static str) -> Result<Vec<Message>, DiagError> {
        loop {
            match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut self.buffer) {
                Ok((length, Some(sender))) if sender.pid() == 0 => {
                    return Ok(wire::parse_messages(self.buffer.get(..length).unwrap_or_default())?);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(CallError::new(call, TARGET, errno).into()),
            }
        }
    }
}
