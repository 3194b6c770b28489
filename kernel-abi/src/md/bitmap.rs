//! The internal write-intent bitmap, version 4 (drivers/md/md-bitmap.h, `struct bitmap_super_s`): a header of 256
//! bytes, then one bit per chunk, lowest chunk in the lowest bit of the first byte. A set bit says "members may differ".

use std::ops::RangeInclusive;

use uuid::Uuid;

use super::geometry::{BITMAP_CHUNK_BYTES, BITMAP_RESERVED, BLOCK_BYTES, SECTOR_BYTES};
use super::wire::{Block, Fields, Truncated};

#[cfg(test)]
mod tests;

/// Bytes before the first bit.
pub const HEADER_BYTES: usize = 256;
/// "bitm".
const MAGIC: u32 = 0x6d74_6962;
/// Little-endian bits, not clustered. (3 is host-endian, 5 clustered, 6 the bitmap of newer kernels.)
const VERSION: u32 = 4;
/// Least data of one bit, bytes (`md_bitmap_read_sb`).
const MIN_CHUNK_BYTES: u32 = 512;
/// Seconds between two rounds of clearing bits on disk.
const DAEMON_SLEEP: u32 = 5;
/// Longest bitmap that is read, bits only: 64 TiB at 1 MiB per bit. Bounds what hostile bytes can make us allocate.
pub const MAX_BIT_BYTES: u64 = 8 << 20;

/// Why bytes are not a bitmap that Linux 6.12 would take for an internal one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BitmapError {
    /// Fewer bytes than header and bits need.
    #[error("{have} bytes are too few for the bitmap, which needs {need}")]
    TooShort {
        /// Bytes given.
        have: usize,
        /// Bytes of header and bits.
        need: u64,
    },
    /// Something else lies here, or nothing (0).
    #[error("magic {found:#010x} is not the bitmap's")]
    Magic {
        /// What stands in its place.
        found: u32,
    },
    /// Not version 4.
    #[error("bitmap version {found} is not 4")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Not a power of two of at least 512 bytes.
    #[error("bitmap chunk of {found} bytes")]
    ChunkSize {
        /// What it says.
        found: u32,
    },
    /// More bits than [`MAX_BIT_BYTES`] hold.
    #[error("a bitmap of {chunks} chunks is absurd")]
    TooLarge {
        /// Chunks that `sync_size` and the chunk size give.
        chunks: u64,
    },
}

/// What stands before the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitmapHeader {
    /// The array: equal to the superblock's `set_uuid`.
    pub uuid: Uuid,
    /// Must not be below the superblock's, else the kernel takes all bits as set.
    pub events: u64,
    /// Events of the array when bits were last cleared: a member older than this cannot be re-added by bitmap.
    pub events_cleared: u64,
    /// What the bits cover, sectors.
    pub sync_size: u64,
    /// 2 is stale, 4 a write error.
    pub state: u32,
    /// Data of one bit, bytes.
    pub chunk_bytes: u32,
    /// Seconds between two rounds of clearing bits on disk.
    pub daemon_sleep: u32,
    /// Writes that may lag on write-mostly members; 0 is none.
    pub write_behind: u32,
    /// Room for header and bits, sectors; 0 is "no more than now".
    pub sectors_reserved: u32,
    /// Nodes of a cluster; 0.
    pub nodes: u32,
}

impl BitmapHeader {
    /// Reads the first 256 bytes of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BitmapError> {
        let too_short = |Truncated| BitmapError::TooShort { have: bytes.len(), need: HEADER_BYTES as u64 };
        let fixed = bytes.first_chunk::<HEADER_BYTES>().ok_or(Truncated).map_err(too_short)?;
        let (magic, version, header) = read_fields(fixed).map_err(too_short)?;
        if magic != MAGIC {
            return Err(BitmapError::Magic { found: magic });
        }
        if version != VERSION {
            return Err(BitmapError::Version { found: version });
        }
        if header.chunk_bytes < MIN_CHUNK_BYTES || !header.chunk_bytes.is_power_of_two() {
            return Err(BitmapError::ChunkSize { found: header.chunk_bytes });
        }
        Ok(header)
    }

    /// The 256 bytes that stand before the bits.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let head = Block::default().u32(MAGIC).u32(VERSION).put(self.uuid.as_bytes());
        let counts = head.u64(self.events).u64(self.events_cleared).u64(self.sync_size);
        let knobs =
            counts.u32(self.state).u32(self.chunk_bytes).u32(self.daemon_sleep).u32(self.write_behind);
        knobs.u32(self.sectors_reserved).u32(self.nodes).padded(HEADER_BYTES)
    }

    /// Data of one bit, sectors.
    #[must_use]
    pub fn chunk_sectors(&self) -> u64 {
        (u64::from(self.chunk_bytes) / SECTOR_BYTES).max(1)
    }

    /// Chunks, that is bits, there are.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.sync_size.div_ceil(self.chunk_sectors())
    }

    /// Bytes that the bits fill.
    #[must_use]
    pub fn bit_bytes(&self) -> u64 {
        self.chunks().div_ceil(8)
    }

    /// Bytes that header and bits fill; an error beyond [`MAX_BIT_BYTES`].
    pub fn whole_bytes(&self) -> Result<usize, BitmapError> {
        Ok(HEADER_BYTES + bounded_bit_bytes(self)?)
    }
}

fn read_fields(bytes: &[u8; HEADER_BYTES]) -> Result<(u32, u32, BitmapHeader), Truncated> {
    let mut at = Fields::new(bytes);
    let (magic, version) = (at.u32()?, at.u32()?);
    let header = BitmapHeader {
        uuid: at.uuid()?,
        events: at.u64()?,
        events_cleared: at.u64()?,
        sync_size: at.u64()?,
        state: at.u32()?,
        chunk_bytes: at.u32()?,
        daemon_sleep: at.u32()?,
        write_behind: at.u32()?,
        sectors_reserved: at.u32()?,
        nodes: at.u32()?,
    };
    Ok((magic, version, header))
}

/// Data of one bit, bytes, for a new array of `sync_size` sectors: 1 MiB, or as much more as it takes for the bits to
/// fit into the reserved area (from 1022 GiB on).
#[must_use]
pub fn chunk_bytes_for(sync_size: u64) -> u32 {
    let room = u64::from(BITMAP_RESERVED) * SECTOR_BYTES - HEADER_BYTES as u64;
    let fits = |chunk: u32| sync_size.div_ceil(u64::from(chunk) / SECTOR_BYTES).div_ceil(8) <= room;
    let largest = 1 << 31;
    let sizes = std::iter::successors(Some(BITMAP_CHUNK_BYTES), |&chunk| chunk.checked_mul(2));
    sizes.into_iter().find(|&chunk| fits(chunk)).unwrap_or(largest)
}

/// The numbers of the chunks whose bit is set in `bits` (the bytes after the header), in ascending order. Bits beyond
/// the array are ignored.
pub fn dirty_chunks<'a>(header: &BitmapHeader, bits: &'a [u8]) -> impl Iterator<Item = u64> + use<'a> {
    let chunks = header.chunks();
    let marked = (0u64..).zip(bits).filter(|&(_, &byte)| byte != 0);
    marked.flat_map(set_bits).take_while(move |&chunk| chunk < chunks)
}

fn set_bits((at, &byte): (u64, &u8)) -> impl Iterator<Item = u64> + use<> {
    (0..8u64).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at * 8 + bit)
}

/// A whole bitmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    /// What stands before the bits.
    pub header: BitmapHeader,
    /// `header.bit_bytes()` bytes.
    bits: Vec<u8>,
}

impl Bitmap {
    /// The bitmap of a new array whose members are equal: `sync_size` sectors, no bit set, `events` of the superblock.
    /// `None` when the array is larger than any bitmap we write (64 TiB at 1 MiB per bit; chunks grow first).
    #[must_use]
    pub fn clean(uuid: Uuid, sync_size: u64, events: u64) -> Option<Self> {
        let header = BitmapHeader {
            uuid,
            events,
            events_cleared: events,
            sync_size,
            state: 0,
            chunk_bytes: chunk_bytes_for(sync_size),
            daemon_sleep: DAEMON_SLEEP,
            write_behind: 0,
            sectors_reserved: BITMAP_RESERVED,
            nodes: 0,
        };
        Some(Self { header, bits: vec![0; bounded_bit_bytes(&header).ok()?] })
    }

    /// Reads header and bits from the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BitmapError> {
        let header = BitmapHeader::parse(bytes)?;
        let length = bounded_bit_bytes(&header)?;
        let bits = bytes.get(HEADER_BYTES..HEADER_BYTES + length);
        let need = HEADER_BYTES as u64 + header.bit_bytes();
        let bits = bits.ok_or(BitmapError::TooShort { have: bytes.len(), need })?.to_vec();
        Ok(Self { header, bits })
    }

    /// Header, bits and zeros to the end of the area reserved on members of ours, a multiple of 4096 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let used = HEADER_BYTES + self.bits.len();
        let reserved = usize::try_from(u64::from(BITMAP_RESERVED) * SECTOR_BYTES).unwrap_or(used);
        let length = used.max(reserved).next_multiple_of(BLOCK_BYTES);
        Block::default().put(self.header.encode()).put(&self.bits).padded(length)
    }

    /// The numbers of the chunks that may differ, ascending.
    pub fn dirty_chunks(&self) -> impl Iterator<Item = u64> + use<'_> {
        dirty_chunks(&self.header, &self.bits)
    }

    /// How many chunks may differ.
    #[must_use]
    pub fn dirty_count(&self) -> u64 {
        self.dirty_chunks().fold(0, |count, _| count + 1)
    }

    /// The chunks that may differ as ranges, ascending, none touching another.
    #[must_use]
    pub fn dirty_ranges(&self) -> Vec<RangeInclusive<u64>> {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for chunk in self.dirty_chunks() {
            match ranges.last_mut() {
                Some(last) if last.end() + 1 == chunk => *last = *last.start()..=chunk,
                _ => ranges.push(chunk..=chunk),
            }
        }
        ranges
    }

    /// Sets the bit of `chunk`; whether there is such a chunk.
    pub fn mark(&mut self, chunk: u64) -> bool {
        let byte = usize::try_from(chunk / 8).ok().and_then(|at| self.bits.get_mut(at));
        let Some(byte) = byte.filter(|_| chunk < self.header.chunks()) else {
            return false;
        };
        *byte |= 1 << (chunk % 8);
        true
    }
}

fn bounded_bit_bytes(header: &BitmapHeader) -> Result<usize, BitmapError> {
    let too_large = BitmapError::TooLarge { chunks: header.chunks() };
    let bytes = Some(header.bit_bytes()).filter(|&bytes| bytes <= MAX_BIT_BYTES).ok_or(too_large)?;
    usize::try_from(bytes).map_err(|_| too_large)
}
