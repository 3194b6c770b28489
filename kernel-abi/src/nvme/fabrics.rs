//! `/dev/nvme-fabrics`: connect this host to an exported subsystem (`drivers/nvme/host/fabrics.c`).

mod answer;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use nix::errno::Errno;

pub use answer::{Connected, parse_answer, parse_supported};
pub use options::ConnectOptions;

use crate::{CallError, ParseError, Root, call};

/// The device, relative to a [`Root`].
pub const DEVICE: &str = "dev/nvme-fabrics";

/// Longest answer that is read; the kernel's is below 100 bytes, its list of options below 1 KiB.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Why no connection was made. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This host already has a controller with these parameters (EALREADY). It may be in any state.
    #[error("already connected")]
    AlreadyConnected(#[source] CallError),
    /// The target answered no (EIO): it does not know the subsystem on this port, or does not allow this host.
    /// The kernel says which only in its log.
    #[error("refused by the target: unknown subsystem or host not allowed")]
    Refused(#[source] CallError),
    /// Nobody answered, or the way there is not open (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH and their kin).
    #[error("target unreachable")]
    Unreachable(#[source] CallError),
    /// EINVAL. With values that passed our checks it means that this host NQN is in use with another host id, or this
    /// host id with another NQN (`nvmf_host_add`); an option that the transport does not know gives the same errno.
    #[error("host NQN and host id do not belong together, or an option is not supported")]
    HostIdConflict(#[source] CallError),
    /// The target wants a secret, or not this one (ENOKEY, EKEYREJECTED).
    #[error("authentication failed")]
    AuthFailed(#[source] CallError),
    /// A value cannot be passed on because it would change the meaning of the option string. Nothing was written.
    #[error("value refused before the call")]
    BadValue(#[source] ParseError),
    /// The connection stands but the kernel's answer could not be read: find it by its subsystem NQN.
    #[error("connected, with an answer that cannot be read")]
    Answer(#[source] ParseError),
    /// Any other failure: no such device (module not loaded), no memory, not permitted.
    #[error("connect failed")]
    Other(#[source] CallError),
}

impl ConnectError {
    fn from_call(error: CallError) -> Self {
        match error.errno() {
            Some(Errno::EALREADY) => Self::AlreadyConnected(error),
            Some(Errno::EIO) => Self::Refused(error),
            Some(Errno::EINVAL) => Self::HostIdConflict(error),
            Some(errno) if is_auth(errno) => Self::AuthFailed(error),
            Some(errno) if is_unreachable(errno) => Self::Unreachable(error),
            _ => Self::Other(error),
        }
    }
}

fn is_auth(errno: Errno) -> bool {
    matches!(errno, Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EKEYEXPIRED | Errno::EKEYREVOKED)
}

fn is_unreachable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::ETIMEDOUT
            | Errno::EHOSTUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
            | Errno::EPIPE
    )
}

/// Connects: one write of the options, one read of the answer on the same descriptor. Blocks for the TCP handshake
/// and the Connect commands: 60 to 300 ms when all is well, about 3 s per attempt against a dead address.
///
/// When it returns, the controller is live; its namespaces are scanned in the background and follow by uevent.
#[doc(alias = "nvmf_dev_write")]
pub fn connect(root: &Root, options: &ConnectOptions) -> Result<Connected, ConnectError> {
    let text = options.text().map_err(ConnectError::BadValue)?;
    let mut file = open(root).map_err(ConnectError::Other)?;
    let _in_call = call::enter("write", root.path(DEVICE).display());
    // One write(2): the kernel parses each write as a whole request.
    written(file.write(text.as_bytes()), text.len())
        .map_err(|source| call_error(root, "write", source).with_value(options.public_text()))
        .map_err(ConnectError::from_call)?;
    let answer = read_answer(root, &mut file).map_err(ConnectError::Other)?;
    parse_answer(&answer).map_err(ConnectError::Answer)
}

/// The names of the options that this kernel takes (`nvmf_dev_show` on a descriptor without a controller).
pub fn supported_options(root: &Root) -> Result<BTreeSet<String>, CallError> {
    let mut file = open(root)?;
    read_answer(root, &mut file).map(|answer| parse_supported(&answer))
}

fn open(root: &Root) -> Result<File, CallError> {
    let opened = OpenOptions::new().read(true).write(true).open(root.path(DEVICE));
    opened.map_err(|source| call_error(root, "open", source))
}

fn written(result: io::Result<usize>, wanted: usize) -> io::Result<()> {
    match result {
        Ok(count) if count == wanted => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) => Err(error),
    }
}

fn read_answer(root: &Root, file: &mut File) -> Result<Vec<u8>, CallError> {
    let mut answer = Vec::new();
    match file.take(MAX_ANSWER_BYTES).read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        Err(source) => Err(call_error(root, "read", source)),
    }
}

fn call_error(root: &Root, call: &'static str, source: io::Error) -> CallError {
    CallError::new(call, root.path(DEVICE).display(), source)
}
