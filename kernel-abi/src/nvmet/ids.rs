//! Names that the target gives its subsystems, and where it listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::ParseError;
use crate::nvme::Fabric;

/// A subsystem's serial number: 1 to 20 printable ASCII characters (`NVMET_SN_MAX_SIZE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial(String);

impl Serial {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        printable("serial number", text.into(), 20).map(Self)
    }

    /// The number as the kernel takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A subsystem's model: 1 to 40 printable ASCII characters (`NVMET_MN_MAX_SIZE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model(String);

impl Model {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        printable("model", text.into(), 40).map(Self)
    }

    /// The model as the kernel takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// No space at either end: the kernel pads with them and readers cut them off.
fn printable(what: &'static str, text: String, limit: usize) -> Result<String, ParseError> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if (1..=limit).contains(&text.len()) && plain && text.trim() == text {
        return Ok(text);
    }
    Err(ParseError::new(what, format!("{text:?} is not 1 to {limit} printable characters")))
}

/// Where a port listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortAddress {
    /// tcp or rdma.
    pub transport: Fabric,
    /// Address; decides `addr_adrfam`.
    pub addr: IpAddr,
    /// Port number.
    pub svc: u16,
}

impl PortAddress {
    /// `ipv4` or `ipv6`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.addr {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        }
    }
}

impl fmt::Display for PortAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, SocketAddr::new(self.addr, self.svc))
    }
}
