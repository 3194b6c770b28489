//! Hosts that may be allowed, and the secrets that prove them.

use super::DIRECTORY;
use super::configfs::{self, Changed};
use crate::nvme::{DhchapSecret, Nqn};
use crate::{CallError, Root};

/// Whose secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhchapRole {
    /// The host proves itself with it (`dhchap_key`).
    Host,
    /// The target proves itself to that host with it (`dhchap_ctrl_key`).
    Controller,
}

impl DhchapRole {
    fn file(self) -> &'static str {
        match self {
            Self::Host => "dhchap_key",
            Self::Controller => "dhchap_ctrl_key",
        }
    }
}

/// The hash of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhchapHash {
    /// The kernel's default.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DhchapHash {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "hmac(sha256)",
            Self::Sha384 => "hmac(sha384)",
            Self::Sha512 => "hmac(sha512)",
        }
    }
}

/// The Diffie-Hellman group of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffieHellmanGroup {
    /// No Diffie-Hellman exchange: the kernel's default.
    Null,
    /// 2048 bits.
    Ffdhe2048,
    /// 3072 bits.
    Ffdhe3072,
    /// 4096 bits.
    Ffdhe4096,
    /// 6144 bits.
    Ffdhe6144,
    /// 8192 bits.
    Ffdhe8192,
}

impl DiffieHellmanGroup {
    fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Ffdhe2048 => "ffdhe2048",
            Self::Ffdhe3072 => "ffdhe3072",
            Self::Ffdhe4096 => "ffdhe4096",
            Self::Ffdhe6144 => "ffdhe6144",
            Self::Ffdhe8192 => "ffdhe8192",
        }
    }
}

pub(super) fn directory(host: &Nqn) -> String {
    format!("{DIRECTORY}/hosts/{host}")
}

/// Makes a host known; it may connect to nothing yet.
pub fn create_host(root: &Root, host: &Nqn) -> Result<Changed, CallError> {
    configfs::make(root, &directory(host))
}

/// Forgets a host. EBUSY while some subsystem allows it.
pub fn remove_host(root: &Root, host: &Nqn) -> Result<Changed, CallError> {
    configfs::remove(root, &directory(host))
}

/// Sets a secret. Standing connections are not asked again; the error holds no secret. The kernel has no way to take a
/// secret back (`nvmet_auth_set_key`): remove the host and make it anew.
#[doc(alias = "dhchap_key")]
#[doc(alias = "dhchap_ctrl_key")]
pub fn set_dhchap_key(
    root: &Root,
    host: &Nqn,
    role: DhchapRole,
    secret: &DhchapSecret,
) -> Result<Changed, CallError> {
    let path = format!("{}/{}", directory(host), role.file());
    configfs::set_text(root, &path, secret.expose()).map_err(without_value)
}

fn without_value(error: CallError) -> CallError {
    CallError { value: None, ..error }
}

/// Sets the hash that this host's exchange uses.
#[doc(alias = "dhchap_hash")]
pub fn set_dhchap_hash(root: &Root, host: &Nqn, hash: DhchapHash) -> Result<Changed, CallError> {
    configfs::set_text(root, &format!("{}/dhchap_hash", directory(host)), hash.as_str())
}

/// Sets the group that this host's exchange uses.
#[doc(alias = "dhchap_dhgroup")]
pub fn set_dhchap_dhgroup(root: &Root, host: &Nqn, group: DiffieHellmanGroup) -> Result<Changed, CallError> {
    configfs::set_text(root, &format!("{}/dhchap_dhgroup", directory(host)), group.as_str())
}
