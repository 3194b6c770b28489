//! How an entry lies in a file.
//!
//! ```text
//! byte 0  magic    2 bytes, 0xfd 'R'
//!      2  version  1 byte
//!      3  length   of the payload, 2 bytes, little endian
//!      5  crc32c   of bytes 2 to 4 and the payload, 4 bytes, little endian
//!      9  payload  the entry in bincode's standard form
//! ```
//!
//! A reader that finds anything else goes on one byte further: whatever was torn or damaged, the next whole entry is
//! found. The length is bounded by its two bytes, what bincode may allocate by its limit.

use super::entry::Entry;

const MAGIC: [u8; 2] = [0xfd, b'R'];
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;
/// The longest payload, and the most that reading one may allocate; bytes.
const PAYLOAD_BYTES: usize = 8 << 10;

/// Entries in the order of the file, and what was left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What could be read.
    pub entries: Vec<Entry>,
    /// Bytes that are no entry: torn by a crash, or damaged.
    pub skipped_bytes: u64,
    /// Whole entries that another version wrote and this one does not understand.
    pub foreign: u64,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<PAYLOAD_BYTES>()
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

/// The entry as it lies in a file; `None` if it is longer than any entry may be.
pub(super) fn encode(entry: &Entry) -> Option<Vec<u8>> {
    let payload = bincode::serde::encode_to_vec(entry, config()).ok()?;
    let length = u16::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES)?;
    let [low, high] = length.to_le_bytes();
    let head = [VERSION, low, high];
    let crc = checksum(&head, &payload).to_le_bytes();
    Some([&MAGIC[..], &head, &crc, &payload].concat())
}

/// Adds every entry in `bytes`, the content of one file, to `reading`.
pub fn scan(mut bytes: &[u8], reading: &mut Reading) {
    while !bytes.is_empty() {
        let taken = take(bytes, reading).unwrap_or_else(|| {
            reading.skipped_bytes += 1;
            1
        });
        bytes = bytes.get(taken..).unwrap_or_default();
    }
}

/// Reads the frame that begins here, whose length is returned; `None` where none does.
fn take(bytes: &[u8], reading: &mut Reading) -> Option<usize> {
    let (magic, rest) = bytes.split_first_chunk::<2>()?;
    let (head, rest) = rest.split_first_chunk::<3>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let [version, low, high] = *head;
    let length = usize::from(u16::from_le_bytes([low, high]));
    let payload = rest.get(..length)?;
    if *magic != MAGIC || length > PAYLOAD_BYTES || u32::from_le_bytes(*crc) != checksum(head, payload) {
        return None;
    }
    match decode(version, payload) {
        Some(entry) => reading.entries.push(entry),
        None => reading.foreign += 1,
    }
    Some(HEADER_BYTES + length)
}

fn decode(version: u8, payload: &[u8]) -> Option<Entry> {
    let (entry, used) = bincode::serde::decode_from_slice(payload, config()).ok()?;
    (version == VERSION && used == payload.len()).then_some(entry)
}
