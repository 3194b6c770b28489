//! The messages of `sock_diag` (`include/uapi/linux/{netlink,sock_diag,inet_diag}.h`). Header fields are in the machine's
//! byte order, ports and addresses in the network's.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use crate::ParseError;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP_FLAGS: u16 = 0x301;
/// `NLM_F_REQUEST | NLM_F_ACK`
const ACK_FLAGS: u16 = 0x005;

/// `struct nlmsghdr`
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_sockid`
const ID_BYTES: usize = 48;
/// `struct inet_diag_req_v2`
const REQUEST_BYTES: usize = HEADER_BYTES + 8 + ID_BYTES;

/// `1 << (INET_DIAG_INFO - 1)`: the sockets come with their `struct tcp_info`.
const WITH_INFO: u8 = 1 << (INET_DIAG_INFO - 1);
const INET_DIAG_INFO: u16 = 2;
/// `struct nlattr`
const ATTRIBUTE_BYTES: usize = 4;
/// `struct inet_diag_msg`
const MESSAGE_BYTES: usize = 72;

/// All states but `TIME_WAIT` (6), `CLOSE` (7) and `LISTEN` (10): the connections that something hangs on.
const CONNECTED_STATES: u32 = !(1 << 6 | 1 << 7 | 1 << 10);

/// One netlink message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A TCP socket.
    Socket(TcpSocket),
    /// End of a list.
    Done,
    /// The request was carried out.
    Ack,
    /// The request was refused.
    Error(Errno),
    /// Something else; to be passed over.
    Other,
}

/// A TCP socket with an other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Where the connection is in its life.
    pub state: TcpState,
    /// Bytes received and not read yet.
    pub receive_queue_bytes: u32,
    /// Bytes sent and not acknowledged yet.
    pub send_queue_bytes: u32,
    /// Inode number of the socket.
    pub inode: u32,
    /// How its sending goes; `None` where the kernel did not say.
    pub sending: Option<Sending>,
    /// The kernel's name for it.
    pub id: SocketId,
}

/// What of `struct tcp_info` (`include/uapi/linux/tcp.h`) tells whether the other end still acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Times in a row the retransmission timer ran out without an answer (`tcpi_retransmits`). The first time is at least
    /// 200 ms after the segment was sent (`TCP_RTO_MIN`).
    pub timeouts: u8,
    /// Segments sent and not acknowledged (`tcpi_unacked`).
    pub unacknowledged: u32,
    /// Milliseconds since the last acknowledgement came (`tcpi_last_ack_recv`).
    pub silent_millis: u32,
}

impl Sending {
    fn parse(info: &[u8]) -> Result<Self, ParseError> {
        Ok(Self {
            timeouts: at::<1>(info, 2)?[0],
            unacknowledged: u32::from_ne_bytes(at(info, 24)?),
            silent_millis: u32::from_ne_bytes(at(info, 56)?),
        })
    }
}

/// `struct inet_diag_sockid` as the kernel gave it, cookie included, and the family it goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketId {
    family: u8,
    bytes: [u8; ID_BYTES],
}

/// `include/net/tcp_states.h`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// Data flows.
    Established,
    /// We asked to connect.
    SynSent,
    /// Being connected to.
    SynReceived,
    /// One side has closed, or both have (`FIN_WAIT1` to `CLOSING`, `TIME_WAIT`, `CLOSE`).
    Closing,
    /// Any other number.
    Other(u8),
}

impl TcpState {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4..=9 | 11 => Self::Closing,
            other => Self::Other(other),
        }
    }
}

/// Asks for all connected TCP sockets of `family`.
pub(super) fn dump_request(family: u8) -> Vec<u8> {
    request(SOCK_DIAG_BY_FAMILY, DUMP_FLAGS, WITH_INFO, &SocketId { family, bytes: [0; ID_BYTES] })
}

/// Asks to abort `socket`.
pub(super) fn destroy_request(socket: &TcpSocket) -> Vec<u8> {
    request(SOCK_DESTROY, ACK_FLAGS, 0, &socket.id)
}

fn request(kind: u16, flags: u16, with: u8, id: &SocketId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST_BYTES);
    bytes.extend(u32::try_from(REQUEST_BYTES).unwrap_or(0).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence number and sender: one request per socket at a time needs neither.
    bytes.extend([0; 8]);
    bytes.extend([id.family, IPPROTO_TCP, with, 0]);
    bytes.extend(CONNECTED_STATES.to_ne_bytes());
    bytes.extend(id.bytes);
    bytes
}

/// The messages of one datagram from `sock_diag`. Their number is bounded by the datagram's length.
pub fn parse_messages(mut datagram: &[u8]) -> Result<Vec<Message>, ParseError> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let (message, rest) = parse_message(datagram)?;
        messages.push(message);
        datagram = rest;
    }
    Ok(messages)
}

fn parse_message(bytes: &[u8]) -> Result<(Message, &[u8]), ParseError> {
    let length = usize::try_from(u32::from_ne_bytes(at(bytes, 0)?)).unwrap_or(usize::MAX);
    let kind = u16::from_ne_bytes(at(bytes, 4)?);
    let body = bytes.get(HEADER_BYTES..length).ok_or_else(|| {
        ParseError::new("netlink message", format!("length {length} in {} bytes", bytes.len()))
    })?;
    let message = match kind {
        NLMSG_DONE => done(body),
        NLMSG_ERROR => error(i32::from_ne_bytes(at(body, 0)?)),
        SOCK_DIAG_BY_FAMILY => parse_socket(body)?.map_or(Message::Other, Message::Socket),
        _ => Message::Other,
    };
    Ok((message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The end of a list may carry the error that ended it (`netlink_dump_done`).
fn done(body: &[u8]) -> Message {
    match at(body, 0).map(i32::from_ne_bytes) {
        Ok(code) if code < 0 => error(code),
        _ => Message::Done,
    }
}

fn error(code: i32) -> Message {
    match code {
        0 => Message::Ack,
        code => Message::Error(Errno::from_raw(code.saturating_neg())),
    }
}

/// `struct inet_diag_msg` and of the attributes behind it `INET_DIAG_INFO`. `None` for families other than IP.
fn parse_socket(body: &[u8]) -> Result<Option<TcpSocket>, ParseError> {
    let [family, state] = at(body, 0)?;
    let id = SocketId { family, bytes: at(body, 4)? };
    let inode = u32::from_ne_bytes(at(body, 68)?);
    let Some((local, remote)) = ends(&id)? else { return Ok(None) };
    Ok(Some(TcpSocket {
        local,
        remote,
        state: TcpState::from_number(state),
        receive_queue_bytes: u32::from_ne_bytes(at(body, 56)?),
        send_queue_bytes: u32::from_ne_bytes(at(body, 60)?),
        inode,
        sending: sending(body.get(MESSAGE_BYTES..).unwrap_or_default())?,
        id,
    }))
}

/// `INET_DIAG_INFO` among the attributes.
fn sending(mut attributes: &[u8]) -> Result<Option<Sending>, ParseError> {
    while attributes.len() >= ATTRIBUTE_BYTES {
        let length = usize::from(u16::from_ne_bytes(at(attributes, 0)?));
        let value = attributes.get(ATTRIBUTE_BYTES..length).ok_or_else(|| {
            ParseError::new("sock_diag attribute", format!("length {length} in {} bytes", attributes.len()))
        })?;
        if u16::from_ne_bytes(at(attributes, 2)?) == INET_DIAG_INFO {
            return Sending::parse(value).map(Some);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

fn ends(id: &SocketId) -> Result<Option<(SocketAddr, SocketAddr)>, ParseError> {
    let port = |offset| at(&id.bytes, offset).map(u16::from_be_bytes);
    let (Some(source), Some(destination)) = (address(id, 4)?, address(id, 20)?) else { return Ok(None) };
    Ok(Some((SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?))))
}

fn address(id: &SocketId, offset: usize) -> Result<Option<IpAddr>, ParseError> {
    match id.family {
        AF_INET => Ok(Some(Ipv4Addr::from(at::<4>(&id.bytes, offset)?).into())),
        AF_INET6 => Ok(Some(Ipv6Addr::from(at::<16>(&id.bytes, offset)?).into())),
        _ => Ok(None),
    }
}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], ParseError> {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    field.copied().ok_or_else(|| {
        ParseError::new("sock_diag message", format!("{} bytes, {N} wanted at {offset}", bytes.len()))
    })
}
