//! What goes over the control node: `struct dm_ioctl`, the target specs, the list of maps.
//!
//! Answers come from the kernel, but are read as if they came from anywhere: every offset in them is checked.

mod answer;

use std::mem::offset_of;

use nix::errno::Errno;

use super::Target;
use crate::{DevNum, ParseError};

pub use answer::{decode_list, decode_targets};

pub(super) const HEADER_BYTES: usize = 312;
const SPEC_BYTES: usize = 40;
/// `DM_NAME_LEN` and `DM_UUID_LEN`, terminating NUL included.
const NAME_BYTES: usize = 128;
const UUID_BYTES: usize = 129;

/// `struct dm_ioctl`; here for its offsets only, the bytes are handled as bytes.
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; NAME_BYTES],
    uuid: [u8; UUID_BYTES],
    data: [u8; 7],
}

const _: () = {
    assert!(size_of::<Header>() == HEADER_BYTES);
    assert!(offset_of!(Header, data_size) == 12);
    assert!(offset_of!(Header, data_start) == 16);
    assert!(offset_of!(Header, target_count) == 20);
    assert!(offset_of!(Header, open_count) == 24);
    assert!(offset_of!(Header, flags) == 28);
    assert!(offset_of!(Header, event_nr) == 32);
    assert!(offset_of!(Header, padding) == 36);
    assert!(offset_of!(Header, dev) == 40);
    assert!(offset_of!(Header, name) == 48);
    assert!(offset_of!(Header, uuid) == 176);
    assert!(offset_of!(Header, data) == 305);
};

/// `struct dm_target_spec`.
#[repr(C)]
struct Spec {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; 16],
}

const _: () = {
    assert!(size_of::<Spec>() == SPEC_BYTES);
    assert!(offset_of!(Spec, length) == 8);
    assert!(offset_of!(Spec, status) == 16);
    assert!(offset_of!(Spec, next) == 20);
    assert!(offset_of!(Spec, target_type) == 24);
};

pub(super) mod flag {
    pub(in crate::dm) const READONLY: u32 = 1 << 0;
    pub(in crate::dm) const SUSPEND: u32 = 1 << 1;
    pub(in crate::dm) const STATUS_TABLE: u32 = 1 << 4;
    pub(in crate::dm) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(in crate::dm) const INACTIVE_PRESENT: u32 = 1 << 6;
    pub(in crate::dm) const BUFFER_FULL: u32 = 1 << 8;
    pub(in crate::dm) const SKIP_LOCKFS: u32 = 1 << 10;
    pub(in crate::dm) const NOFLUSH: u32 = 1 << 11;
    pub(in crate::dm) const UUID: u32 = 1 << 14;
    pub(in crate::dm) const DATA_OUT: u32 = 1 << 16;
    pub(in crate::dm) const DEFERRED_REMOVE: u32 = 1 << 17;
}

/// Version of the ioctl interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Incompatible changes; 4 since Linux 2.6.
    pub major: u32,
    /// Compatible extensions.
    pub minor: u32,
    /// Fixes.
    pub patch: u32,
}

/// How a map is named in a call. The UUID survives a rename and is what tells our maps from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKey<'a> {
    /// By name.
    Name(&'a str),
    /// By UUID, prefix included.
    Uuid(&'a str),
    /// By device number.
    Device(DevNum),
}

impl<'a> From<&'a str> for MapKey<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<DevNum> for MapKey<'_> {
    fn from(device: DevNum) -> Self {
        Self::Device(device)
    }
}

impl std::fmt::Display for MapKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "map {name}"),
            Self::Uuid(uuid) => write!(f, "map uuid {uuid}"),
            Self::Device(device) => write!(f, "map {device}"),
        }
    }
}

/// The header's answer about one map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of the kernel's, not a state machine")]
pub struct MapStatus {
    /// Name.
    pub name: String,
    /// UUID; empty when it was created without.
    pub uuid: String,
    /// Device number: `/dev/dm-<minor>`.
    pub device: DevNum,
    /// How many hold it open.
    pub open_count: u32,
    /// Counts the target's events.
    pub event_nr: u32,
    /// Targets in the live table.
    pub target_count: u32,
    /// I/O is held.
    pub suspended: bool,
    /// Writes are refused.
    pub read_only: bool,
    /// A table is live.
    pub has_live_table: bool,
    /// A table is loaded and waits for resume.
    pub has_inactive_table: bool,
    /// It goes when its last user closes it.
    pub deferred_remove: bool,
}

/// One map of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// Name.
    pub name: String,
    /// UUID, `None` where it has none or the kernel (before 5.13) does not tell.
    pub uuid: Option<String>,
    /// Device number.
    pub device: DevNum,
    /// Counts the target's events.
    pub event_nr: u32,
}

/// One call's buffer: header, then payload.
#[derive(Debug, Clone)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// An empty call with room for `payload_bytes` of answer.
    pub(super) fn new(flags: u32, payload_bytes: usize) -> Self {
        let mut request = Self(vec![0; HEADER_BYTES + payload_bytes]);
        request.put(offset_of!(Header, version), &4u32.to_ne_bytes());
        request.put(offset_of!(Header, data_start), &312u32.to_ne_bytes());
        request.put(offset_of!(Header, flags), &flags.to_ne_bytes());
        request
    }

    /// Names the map. The kernel wants exactly one key (dm-ioctl.c `__find_device_hash_cell`).
    pub(super) fn keyed(self, key: MapKey<'_>) -> Result<Self, ParseError> {
        match key {
            MapKey::Name(name) => self.named(name),
            MapKey::Uuid(uuid) => self.identified(uuid),
            MapKey::Device(device) => Ok(self.numbered(device)),
        }
    }

    /// Puts the name in: 1 to 127 bytes, no `/`.
    pub(super) fn named(mut self, name: &str) -> Result<Self, ParseError> {
        if name.contains('/') {
            return Err(ParseError::new("map name", format!("{name:?} has a slash")));
        }
        self.put_text(offset_of!(Header, name), "map name", name, NAME_BYTES)?;
        Ok(self)
    }

    /// Puts the UUID in: 1 to 128 bytes.
    pub(super) fn identified(mut self, uuid: &str) -> Result<Self, ParseError> {
        self.put_text(offset_of!(Header, uuid), "map uuid", uuid, UUID_BYTES)?;
        Ok(self)
    }

    fn numbered(mut self, device: DevNum) -> Self {
        self.put(offset_of!(Header, dev), &encode_device(device).to_ne_bytes());
        self
    }

    /// Appends the targets of a table: spec, parameters, NUL, each padded to eight bytes.
    pub(super) fn with_targets(mut self, targets: &[Target]) -> Result<Self, ParseError> {
        let count = u32::try_from(targets.len()).map_err(|error| ParseError::new("table", error))?;
        self.put(offset_of!(Header, target_count), &count.to_ne_bytes());
        for target in targets {
            self.0.extend(encode_target(target)?);
        }
        Ok(self)
    }

    /// Appends `struct dm_target_msg`: the sector, then the words.
    pub(super) fn with_message(
        mut self,
        sector: u64,
        text: &str,
        answer_bytes: usize,
    ) -> Result<Self, ParseError> {
        without_nul("message", text)?;
        self.0.extend(sector.to_ne_bytes());
        self.0.extend(text.as_bytes());
        self.0.push(0);
        let length = self.0.len().max(HEADER_BYTES + answer_bytes);
        self.0.resize(length, 0);
        Ok(self)
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Flags as the kernel left them.
    pub(super) fn flags(&self) -> u32 {
        word(&self.0, offset_of!(Header, flags)).unwrap_or(0)
    }

    pub(super) fn version(&self) -> Option<Version> {
        let part = |index: usize| word(&self.0, offset_of!(Header, version) + 4 * index);
        Some(Version { major: part(0)?, minor: part(1)?, patch: part(2)? })
    }

    pub(super) fn status(&self) -> Result<MapStatus, ParseError> {
        self.status_fields().ok_or_else(|| ParseError::new("dm_ioctl", "shorter than its header"))
    }

    fn status_fields(&self) -> Option<MapStatus> {
        let flags = self.flags();
        let text = |offset, length| Some(text_of(self.0.get(offset..offset + length)?));
        Some(MapStatus {
            name: text(offset_of!(Header, name), NAME_BYTES)?,
            uuid: text(offset_of!(Header, uuid), UUID_BYTES)?,
            device: decode_device(long(&self.0, offset_of!(Header, dev))?),
            open_count: word(&self.0, offset_of!(Header, open_count))?,
            event_nr: word(&self.0, offset_of!(Header, event_nr))?,
            target_count: word(&self.0, offset_of!(Header, target_count))?,
            suspended: flags & flag::SUSPEND != 0,
            read_only: flags & flag::READONLY != 0,
            has_live_table: flags & flag::ACTIVE_PRESENT != 0,
            has_inactive_table: flags & flag::INACTIVE_PRESENT != 0,
            deferred_remove: flags & flag::DEFERRED_REMOVE != 0,
        })
    }

    fn payload(&self) -> Result<&[u8], ParseError> {
        let start = word(&self.0, offset_of!(Header, data_start)).map_or(usize::MAX, |start| start as usize);
        self.0
            .get(start..)
            .ok_or_else(|| ParseError::new("dm_ioctl", format!("data_start {start} is outside")))
    }

    fn put_text(&mut self, at: usize, what: &'static str, text: &str, room: usize) -> Result<(), ParseError> {
        without_nul(what, text)?;
        if text.is_empty() || text.len() >= room {
            return Err(ParseError::new(what, format!("{text:?} is not 1 to {} bytes", room - 1)));
        }
        self.put(at, text.as_bytes());
        Ok(())
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Tells the kernel how long the buffer is.
pub(super) fn set_data_size(buffer: &mut [u8]) -> Result<(), Errno> {
    let length = u32::try_from(buffer.len()).map_err(|_| Errno::E2BIG)?;
    let at = offset_of!(Header, data_size);
    buffer.get_mut(at..at + 4).ok_or(Errno::EINVAL)?.copy_from_slice(&length.to_ne_bytes());
    Ok(())
}

fn encode_target(target: &Target) -> Result<Vec<u8>, ParseError> {
    without_nul("target type", &target.kind)?;
    without_nul("target parameters", &target.parameters)?;
    let mut kind = [0; 16];
    let room = kind.get_mut(..target.kind.len()).filter(|place| (1..16).contains(&place.len()));
    let wrong = || ParseError::new("target type", format!("{:?} is not 1 to 15 bytes", target.kind));
    room.ok_or_else(wrong)?.copy_from_slice(target.kind.as_bytes());
    let length = (SPEC_BYTES + target.parameters.len() + 1).next_multiple_of(8);
    let next = u32::try_from(length).map_err(|error| ParseError::new("target parameters", error))?;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(target.start_sector.to_ne_bytes());
    bytes.extend(target.sectors.to_ne_bytes());
    bytes.extend(0i32.to_ne_bytes());
    bytes.extend(next.to_ne_bytes());
    bytes.extend(kind);
    bytes.extend(target.parameters.as_bytes());
    bytes.resize(length, 0);
    Ok(bytes)
}

/// `huge_encode_dev` (`include/linux/kdev_t.h`).
fn encode_device(device: DevNum) -> u64 {
    let DevNum { major, minor } = device;
    u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// `huge_decode_dev`: twelve bits of major, twenty of minor.
fn decode_device(device: u64) -> DevNum {
    let [a, b, c, d, ..] = device.to_le_bytes();
    let low = u32::from_le_bytes([a, b, c, d]);
    DevNum { major: (low & 0xf_ff00) >> 8, minor: (low & 0xff) | ((low >> 12) & 0xf_ff00) }
}

/// Up to the first NUL, at most `room` bytes.
fn c_bytes(bytes: &[u8], room: usize) -> &[u8] {
    let bytes = bytes.get(..room).unwrap_or(bytes);
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Up to the first NUL, or all of it.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(c_bytes(bytes, bytes.len())).into_owned()
}

fn without_nul(what: &'static str, text: &str) -> Result<(), ParseError> {
    if text.contains('\0') { Err(ParseError::new(what, format!("{text:?} has a NUL"))) } else { Ok(()) }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests;
