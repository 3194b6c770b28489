//! Names and numbers of NVMe, checked once where they enter.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::ParseError;

/// Longest NQN in bytes (`NVMF_NQN_FIELD_LEN` less its NUL, `include/linux/nvme.h`: 223).
const MAX_NQN_BYTES: usize = 223;

/// An NVMe qualified name that is safe as one directory name in configfs and as one value of a comma-separated
/// option: 1 to 223 printable ASCII characters, none of them `/`, `,` or a space, the first one not a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nqn(String);

impl Nqn {
    /// Checks `text`.
    pub fn new(text: impl Into<String>) -> Result<Self, ParseError> {
        let text = text.into();
        let fits = (1..=MAX_NQN_BYTES).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b',');
        if fits && plain && !text.starts_with('.') {
            return Ok(Self(text));
        }
        Err(ParseError::new(
            "NQN",
            format!("{text:?} is not 1 to 223 printable characters without '/' and ','"),
        ))
    }

    /// The name as the kernel takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Nqn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::new(text)
    }
}

impl AsRef<str> for Nqn {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Nqn {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// A namespace globally unique identifier, 16 bytes in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nguid(pub [u8; 16]);

impl Nguid {
    /// The NGUID with the same 16 bytes as `uuid`.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

impl fmt::Display for Nguid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).simple().fmt(f)
    }
}

impl FromStr for Nguid {
    type Err = ParseError;

    /// 32 hexadecimal digits, with or without dashes: the kernel takes both and prints the dashed form (`%pUb`).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_uuid("NGUID", text).map(Self::from_uuid)
    }
}

/// The UUID in `text`; `what` names the field in the error.
pub(crate) fn parse_uuid(what: &'static str, text: &str) -> Result<Uuid, ParseError> {
    Uuid::try_parse(text.trim()).map_err(|error| ParseError::new(what, format!("{text:?}: {error}")))
}

/// A namespace id, 1 to `0xffff_fffe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(u32);

impl Nsid {
    /// The first namespace of a subsystem.
    pub const FIRST: Self = Self(1);

    /// `None` for the two numbers that mean "none" and "all" (`NVME_NSID_ALL`, `include/linux/nvme.h`).
    #[must_use]
    pub fn new(nsid: u32) -> Option<Self> {
        (nsid != 0 && nsid != u32::MAX).then_some(Self(nsid))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Nsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Nsid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = decimal(text.trim()).and_then(Self::new);
        number.ok_or_else(|| ParseError::new("namespace id", format!("{text:?} is not 1 to 0xfffffffe")))
    }
}

/// A controller of this host: `nvmeN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ControllerName(pub u32);

impl fmt::Display for ControllerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nvme{}", self.0)
    }
}

impl FromStr for ControllerName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let number = text.strip_prefix("nvme").and_then(decimal);
        number.map(Self).ok_or_else(|| ParseError::new("controller name", format!("{text:?} is not nvmeN")))
    }
}

/// A namespace's block device: `nvmeXnY`, X the subsystem's instance and Y the head's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadName {
    /// Instance of the subsystem (of the controller, when the kernel runs with `nvme_core.multipath=N`).
    pub subsystem: u32,
    /// Instance of the head in its subsystem. Not the namespace id.
    pub head: u32,
}

impl HeadName {
    /// The head that the hidden path device `nvmeXcNnY` belongs to, and N, the controller of that path.
    #[must_use]
    pub fn of_path(text: &str) -> Option<(Self, ControllerName)> {
        let (subsystem, rest) = text.strip_prefix("nvme")?.split_once('c')?;
        let (controller, head) = rest.split_once('n')?;
        let name = Self { subsystem: decimal(subsystem)?, head: decimal(head)? };
        Some((name, ControllerName(decimal(controller)?)))
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nvme{}n{}", self.subsystem, self.head)
    }
}

impl FromStr for HeadName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (subsystem, head) = text.strip_prefix("nvme")?.split_once('n')?;
            Some(Self { subsystem: decimal(subsystem)?, head: decimal(head)? })
        };
        parse().ok_or_else(|| ParseError::new("namespace device", format!("{text:?} is not nvmeXnY")))
    }
}

/// A plain decimal number: no sign, no space, no leading zero.
fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical { text.parse().ok() } else { None }
}

/// The network transports that replicas travel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fabric {
    /// nvme-tcp.
    Tcp,
    /// nvme-rdma (`RoCE`, `iWARP`, `InfiniBand` with IP addresses).
    Rdma,
}

impl Fabric {
    /// The word for `transport=` and `addr_trtype`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Rdma => "rdma",
        }
    }
}

impl fmt::Display for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Fabric {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "rdma" => Ok(Self::Rdma),
            other => Err(ParseError::new("fabric transport", format!("{other:?} is neither tcp nor rdma"))),
        }
    }
}

/// A time limit that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// No limit: -1 when written, `off` when read.
    Never,
    /// Seconds.
    Seconds(u32),
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("-1"),
            Self::Seconds(seconds) => seconds.fmt(f),
        }
    }
}

impl FromStr for Timeout {
    type Err = ParseError;

    /// As `nvme_ctrl_loss_tmo_show` and its neighbours print it (`drivers/nvme/host/sysfs.c`).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.trim() {
            "off" | "-1" => Ok(Self::Never),
            number => number.parse().map(Self::Seconds).map_err(|_| {
                ParseError::new("controller time-out", format!("{text:?} is neither \"off\" nor seconds"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_could_leave_their_directory_or_their_option_are_refused() {
        for bad in ["", ".", "..", "../x", "a/b", "a,b", "a b", "a\nb", "nqn.\u{e9}", "a\0b"] {
            assert!(Nqn::new(bad).is_err(), "{bad:?}");
        }
        assert!(Nqn::new("n".repeat(224)).is_err());
        assert_eq!(Nqn::new("n".repeat(223)).unwrap().as_str().len(), 223);
    }

    #[test]
    fn heads_and_paths_are_told_apart() {
        let head = HeadName { subsystem: 3, head: 2 };
        assert_eq!("nvme3n2".parse(), Ok(head));
        assert_eq!(HeadName::of_path("nvme3c4n2"), Some((head, ControllerName(4))));
        for other in ["nvme3c4n2", "nvme3n2p1", "nvme3", "ng3n2", "nvme03n2", "nvme+3n2"] {
            assert!(other.parse::<HeadName>().is_err(), "{other}");
        }
        assert_eq!(HeadName::of_path("nvme3n2"), None);
    }

    #[test]
    fn an_nguid_reads_in_both_spellings() {
        let nguid: Nguid = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!("01234567-89ab-cdef-0123-456789abcdef".parse(), Ok(nguid));
        assert_eq!(nguid.to_string(), "0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn timeouts_read_what_the_kernel_prints_and_write_what_it_takes() {
        assert_eq!("off".parse(), Ok(Timeout::Never));
        assert_eq!(Timeout::Never.to_string(), "-1");
        assert_eq!("600\n".parse(), Ok(Timeout::Seconds(600)));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC*") {
            let _ = (Nqn::new(&*text), text.parse::<Nguid>(), text.parse::<Nsid>(), text.parse::<Timeout>());
            let _ = (text.parse::<ControllerName>(), HeadName::of_path(&text));
            if let Ok(head) = text.parse::<HeadName>() {
                prop_assert_eq!(head.to_string(), text);
            }
        }

        #[test]
        fn names_survive_a_round_trip(subsystem: u32, controller: u32, head: u32) {
            let name = HeadName { subsystem, head };
            prop_assert_eq!(name.to_string().parse(), Ok(name));
            let path = format!("nvme{subsystem}c{controller}n{head}");
            prop_assert_eq!(HeadName::of_path(&path), Some((name, ControllerName(controller))));
        }
    }
}
