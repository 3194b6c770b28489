//! The kernel's device events (`lib/kobject_uevent.c`), from its netlink group or through libudev.
//!
//! An event is a hint to look, never a fact to act on. Events do get lost: [`Received::Lost`] means that any number of
//! them may be missing, and everything is to be looked at anew.

mod message;
mod netlink;
#[cfg(feature = "udev")]
mod udev;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use crate::CallError;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// What happened.
    pub action: Action,
    /// Path below `/sys`, with a leading slash: `/devices/virtual/block/md127`.
    pub devpath: String,
    /// `block`, `nvme`, `bdi`.
    pub subsystem: String,
    /// All properties, `ACTION`, `DEVPATH`, `SUBSYSTEM` and `SEQNUM` included (`DM_ACTION`, `RESIZE`, `DISKSEQ`).
    pub properties: BTreeMap<String, String>,
    /// Rises by one with every event of the machine; 0 where the kernel gave none.
    pub seqnum: u64,
}

impl Uevent {
    /// Parses a message of the kernel: `ACTION@DEVPATH`, then properties `KEY=VALUE`, each ended by a NUL.
    pub fn parse(message: &[u8]) -> Result<Self, crate::ParseError> {
        message::parse(message)
    }

    /// A property's value.
    #[must_use]
    pub fn property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }
}

/// `enum kobject_action`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A device appeared.
    Add,
    /// A device is gone.
    Remove,
    /// A device changed: its size, its medium, its state.
    Change,
    /// A device was renamed.
    Move,
    /// It can be used.
    Online,
    /// It cannot be used.
    Offline,
    /// A driver took it.
    Bind,
    /// A driver left it.
    Unbind,
    /// A word that newer kernels may use.
    Other(String),
}

impl From<&str> for Action {
    fn from(word: &str) -> Self {
        match word {
            "add" => Self::Add,
            "remove" => Self::Remove,
            "change" => Self::Change,
            "move" => Self::Move,
            "online" => Self::Online,
            "offline" => Self::Offline,
            "bind" => Self::Bind,
            "unbind" => Self::Unbind,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What one look at the socket gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Event(Uevent),
    /// Events are missing: the receive buffer ran over, or a message made no sense. Look at everything.
    Lost,
    /// Nothing now. Only after this may readiness be cleared and waited for.
    WouldBlock,
}

/// A non-blocking source of uevents, readable through its file descriptor ([`AsFd`]).
pub struct UeventSocket(Source);

enum Source {
    Kernel(netlink::Reader),
    #[cfg(feature = "udev")]
    Udev(udev::Reader),
}

impl UeventSocket {
    /// Listens to the kernel itself. `receive_buffer`: bytes; 8 MiB hold some thousands of events. Without
    /// `CAP_NET_ADMIN` the kernel caps it at `net.core.rmem_max`.
    ///
    /// Assumptions: the machine's first network namespace; others see no device events.
    pub fn kernel(receive_buffer: usize) -> Result<Self, CallError> {
        netlink::Reader::open(receive_buffer).map(Source::Kernel).map(Self)
    }

    /// Listens to systemd-udevd, whose events come after its rules and links. Where no udevd runs, none come.
    #[cfg(feature = "udev")]
    pub fn udev(receive_buffer: usize) -> Result<Self, CallError> {
        udev::Reader::open(receive_buffer).map(Source::Udev).map(Self)
    }

    /// The next event, without waiting.
    pub fn receive(&mut self) -> Result<Received, CallError> {
        match &mut self.0 {
            Source::Kernel(reader) => reader.receive(),
            #[cfg(feature = "udev")]
            Source::Udev(reader) => reader.receive(),
        }
    }
}

const _: () = {
    const fn can_move_between_threads<T: Send>() {}
    can_move_between_threads::<UeventSocket>();
};

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Source::Kernel(reader) => reader.as_fd(),
            #[cfg(feature = "udev")]
            Source::Udev(reader) => reader.as_fd(),
        }
    }
}

impl fmt::Debug for UeventSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Kernel(_) => "kernel",
            #[cfg(feature = "udev")]
            Source::Udev(_) => "udev",
        };
        f.debug_tuple("UeventSocket").field(&kind).finish()
    }
}
