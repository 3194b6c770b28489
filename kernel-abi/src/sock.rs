//! TCP sockets of this network namespace through `NETLINK_SOCK_DIAG` (`net/core/sock_diag.c`, `net/ipv4/tcp_diag.c`).
//!
//! The kernel's own sockets are among them: destroying those of an NVMe/TCP connection takes its controller from `live`
//! to `connecting` in about 15 ms, where a keep-alive needs seconds. RDMA connections have no socket.

mod netlink;
mod wire;

use std::fmt;
use std::net::SocketAddr;

use nix::errno::Errno;

pub use wire::{Message, Sending, SocketId, TcpSocket, TcpState, parse_messages};

use crate::{CallError, ParseError};
use netlink::Diag;

/// Why sockets could not be listed or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// The kernel refused. EOPNOTSUPP: built without `CONFIG_INET_DIAG_DESTROY`; ENOENT on listing: module
    /// `tcp_diag` not loaded; EPERM: `CAP_NET_ADMIN` is missing.
    #[error("sock_diag call failed")]
    Call(#[from] CallError),
    /// The kernel's answer has not the shape it should have.
    #[error("sock_diag answer cannot be read")]
    Answer(#[from] ParseError),
}

impl DiagError {
    /// Whether this kernel cannot destroy sockets at all.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Call(error) if error.is(Errno::EOPNOTSUPP))
    }
}

/// The TCP sockets whose other end is `remote`, those in `TIME_WAIT` left out. An IPv4 address also finds sockets that
/// hold it as `::ffff:a.b.c.d`.
#[doc(alias = "SOCK_DIAG_BY_FAMILY")]
pub fn tcp_to(remote: SocketAddr) -> Result<Vec<TcpSocket>, DiagError> {
    let remote = canonical(remote);
    let mut diag = Diag::open()?;
    let mut found = Vec::new();
    // A socket made for IPv6 may talk IPv4; the other way round is not possible.
    let families: &[u8] = if remote.is_ipv4() { &[wire::AF_INET, wire::AF_INET6] } else { &[wire::AF_INET6] };
    for family in families {
        diag.dump(*family, |socket| {
            if canonical(socket.remote) == remote {
                found.push(socket);
            }
        })?;
    }
    Ok(found)
}

/// Aborts every TCP connection whose other end is `remote` (its users get ECONNABORTED, the peer a reset) and returns
/// how many it aborted. Those that end meanwhile do not count: of an NVMe/TCP controller with several queues often only the
/// first does, as its error recovery closes the others.
#[doc(alias = "SOCK_DESTROY")]
pub fn destroy_tcp(remote: SocketAddr) -> Result<usize, DiagError> {
    let mut destroyed = 0;
    for socket in tcp_to(remote)? {
        destroyed += usize::from(destroy(&socket)?);
    }
    Ok(destroyed)
}

/// Aborts this very connection; false when it is gone. The kernel checks its cookie, so that a successor with the same
/// addresses is not hit.
#[doc(alias = "SOCK_DESTROY")]
pub fn destroy(socket: &TcpSocket) -> Result<bool, DiagError> {
    match Diag::open()?.destroy(socket) {
        Ok(()) => Ok(true),
        Err(DiagError::Call(error)) if error.is(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `::ffff:a.b.c.d` as `a.b.c.d`; IPv6 scope and flow are no part of the comparison.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl fmt::Display for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.local, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{IpAddr, Ipv6Addr, TcpListener, TcpStream};

    use super::*;

    /// A listener and a connection to it, `None` (said why) where this machine has no such address.
    fn connection(address: &str) -> Option<(TcpStream, TcpStream, SocketAddr)> {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("skipped: no {address} here: {error}");
                return None;
            }
        };
        let remote = listener.local_addr().unwrap();
        let ours = TcpStream::connect(remote).unwrap();
        Some((ours, listener.accept().unwrap().0, remote))
    }

    /// Whether the kernel lets us destroy sockets; says why not.
    fn destroyed(result: Result<usize, DiagError>) -> Option<usize> {
        match result {
            Ok(count) => Some(count),
            Err(DiagError::Call(error)) if error.is(Errno::EOPNOTSUPP) || error.is(Errno::EPERM) => {
                eprintln!("skipped: SOCK_DESTROY is not for us here: {error}: {}", error.source);
                None
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn aborts(address: &str) {
        let Some((mut ours, mut theirs, remote)) = connection(address) else { return };
        let found = tcp_to(remote).unwrap();
        let [socket] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((socket.local, socket.remote), (ours.local_addr().unwrap(), remote));
        assert_eq!(socket.state, TcpState::Established);
        let sending = socket.sending.unwrap();
        assert_eq!((sending.timeouts, sending.unacknowledged), (0, 0));

        let Some(count) = destroyed(destroy_tcp(remote)) else { return };
        assert_eq!(count, 1);
        assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(!destroy(socket).unwrap());
        assert_eq!(destroy_tcp(remote).unwrap(), 0);
    }

    #[test]
    fn an_ipv4_connection_is_found_and_aborted() {
        aborts("127.0.0.1:0");
    }

    #[test]
    fn an_ipv6_connection_is_found_and_aborted() {
        aborts("[::1]:0");
    }

    #[test]
    fn an_ipv4_connection_of_an_ipv6_socket_is_found() {
        let Some((_ours, theirs, _)) = connection("[::]:0") else { return };
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let Ok(client) = TcpStream::connect(("127.0.0.1", port)) else {
            eprintln!("skipped: IPv6 sockets take no IPv4 here");
            return;
        };
        let found = tcp_to(client.local_addr().unwrap()).unwrap();
        let [socket] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(canonical(socket.local), SocketAddr::new("127.0.0.1".parse().unwrap(), port));
        drop(theirs);
    }

    #[test]
    fn other_connections_are_left_alone() {
        let Some((_ours, _theirs, remote)) = connection("127.0.0.1:0") else { return };
        let elsewhere = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), remote.port());
        assert_eq!(tcp_to(elsewhere).unwrap(), []);
        assert_eq!(tcp_to(SocketAddr::new(remote.ip(), 1)).unwrap(), []);
        assert_eq!(tcp_to(remote).unwrap().len(), 1);
    }
}
