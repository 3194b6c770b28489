//! Block devices: what sysfs says of them, the partition table and the kernel's view of it, zeroing, foreign content.
//!
//! Everything that parses on-disk bytes takes a [`ReadAt`], so that files, devices and byte slices are read by the same
//! code; [`gpt::write`] takes a [`WriteAt`], so that tests can break any of its steps.

pub mod blkpg;
pub mod compare;
pub mod device;
pub mod gpt;
mod ioctl;
mod ping;
pub mod signature;
pub mod zero;

pub use ping::ping;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read at an offset.
pub trait ReadAt {
    /// Fills `buffer` from `offset` (bytes), or fails.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Bytes that can be written at an offset and made to last.
pub trait WriteAt: ReadAt {
    /// Writes all of `bytes` at `offset` (bytes).
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once everything written survives a power cut.
    fn sync(&self) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl WriteAt for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|start| self.get(start..));
        let bytes = from.and_then(|rest| rest.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Little-endian fields of on-disk structures; a field outside the bytes is `None`.
pub(crate) mod field {
    /// The `N` bytes at `offset`.
    pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
        bytes.get(offset..)?.first_chunk().copied()
    }

    /// The u16 at `offset`.
    pub(crate) fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
        array(bytes, offset).map(u16::from_le_bytes)
    }

    /// The u32 at `offset`.
    pub(crate) fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
        array(bytes, offset).map(u32::from_le_bytes)
    }

    /// The u64 at `offset`.
    pub(crate) fn le64(bytes: &[u8], offset: usize) -> Option<u64> {
        array(bytes, offset).map(u64::from_le_bytes)
    }
}
