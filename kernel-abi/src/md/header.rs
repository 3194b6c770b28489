//! A member's header on its device: superblock and bitmap, read and written past the page cache.
//!
//! Assumptions: for writing, nobody else uses the device. Devices are opened with `O_EXCL`, so a member of a running
//! array, a mounted partition or a map's path answers EBUSY; a device that is only exported by nvmet does not.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;

use super::bitmap::{Bitmap, BitmapError, BitmapHeader, HEADER_BYTES};
use super::geometry::{BLOCK_BYTES, DATA_OFFSET, SECTOR_BYTES, SUPER_OFFSET};
use super::superblock::{FeatureMap, Superblock, SuperblockError};
use crate::{CallError, call};

#[cfg(test)]
mod tests;

/// Byte at which the superblock lies.
const SUPER_AT: u64 = SUPER_OFFSET * SECTOR_BYTES;
/// What is wiped, bytes: everything before the data of a member of ours.
const HEADER_AREA: u64 = DATA_OFFSET * SECTOR_BYTES;
/// What is written in one call when wiping, bytes.
const WIPE_STEP: usize = 64 << 10;

/// Superblock and bitmap of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHeader {
    /// The superblock.
    pub superblock: Superblock,
    /// The bitmap, with all its bits.
    pub bitmap: Bitmap,
}

/// Why a member's header could not be read. The variants call for different answers: another path, a blank device, a
/// damaged one, a full copy.
#[derive(Debug, thiserror::Error)]
pub enum ReadHeaderError {
    /// The device did not answer.
    #[error("cannot read the member's header")]
    Call(#[source] CallError),
    /// No member of an MD array: zeros, or something else's bytes.
    #[error("no md superblock (magic {magic:#010x})")]
    NoSuperblock {
        /// What stands where the magic would; 0 on a blank device.
        magic: u32,
    },
    /// A superblock that the kernel would refuse.
    #[error("corrupt md superblock")]
    CorruptSuperblock(#[source] SuperblockError),
    /// A superblock that says it has no bitmap.
    #[error("the superblock has no internal bitmap")]
    NoBitmap {
        /// It is good otherwise.
        superblock: Box<Superblock>,
    },
    /// A good superblock that places its bitmap outside the header.
    #[error("bitmap at {offset} sectors from the superblock does not lie before the data")]
    MisplacedBitmap {
        /// The superblock.
        superblock: Box<Superblock>,
        /// Sectors from the superblock.
        offset: i32,
    },
    /// A good superblock beside a bitmap that the kernel would refuse.
    #[error("corrupt bitmap")]
    CorruptBitmap {
        /// The superblock.
        superblock: Box<Superblock>,
        /// What is wrong with the bitmap.
        source: BitmapError,
    },
    /// A good superblock beside the good bitmap of another array.
    #[error("the bitmap is of array {found}")]
    ForeignBitmap {
        /// The superblock.
        superblock: Box<Superblock>,
        /// Whose bitmap it is.
        found: uuid::Uuid,
    },
}

impl From<CallError> for ReadHeaderError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<SuperblockError> for ReadHeaderError {
    fn from(error: SuperblockError) -> Self {
        match error {
            SuperblockError::Magic { found } => Self::NoSuperblock { magic: found },
            other => Self::CorruptSuperblock(other),
        }
    }
}

/// Reads the superblock of the member at `path`, without its bitmap.
pub fn read_superblock(path: &Path) -> Result<Superblock, ReadHeaderError> {
    read_superblock_of(&Device::open(path, OpenOptions::new().read(true), 0)?)
}

/// Reads superblock and bitmap of the member at `path` as they are on the medium.
///
/// Caveats: reads block while a leg queues. On a member of a running array this is what the kernel wrote last, and a
/// superblock caught in the middle of being written reads as corrupt.
pub fn read_member_header(path: &Path) -> Result<MemberHeader, ReadHeaderError> {
    let device = Device::open(path, OpenOptions::new().read(true), 0)?;
    let superblock = read_superblock_of(&device)?;
    let bitmap = read_bitmap_of(&device, &superblock)?;
    Ok(MemberHeader { superblock, bitmap })
}

/// Writes `header` to the device at `path`: the bitmap, a flush, the superblock, a flush. What superblock was there is
/// cleared before, so a crash leaves none: never an old one beside a new bitmap, nor a new one beside an old bitmap.
///
/// Fails with EBUSY when somebody holds the device, and with EINVAL, nothing written, when the header's bitmap would
/// not lie between superblock and data.
pub fn write_member_header(path: &Path, header: &MemberHeader) -> Result<(), CallError> {
    let bits = header.bitmap.encode();
    let invalid = || CallError::new("write md header", path.display(), Errno::EINVAL);
    let at = bitmap_at(&header.superblock, bits.len() as u64).ok_or_else(invalid)?;
    let device = Device::open(path, OpenOptions::new().write(true), libc::O_EXCL)?;
    device.clear_superblock()?;
    device.write(at, &bits)?;
    device.flush()?;
    device.write(SUPER_AT, &header.superblock.encode())?;
    device.flush()
}

/// Zeroes the first MiB of the device at `path`: first the superblock, and when that is on the medium the rest.
///
/// Fails with EBUSY when somebody holds the device.
pub fn wipe_member_header(path: &Path) -> Result<(), CallError> {
    let device = Device::open(path, OpenOptions::new().write(true), libc::O_EXCL)?;
    device.clear_superblock()?;
    let zeros = vec![0; WIPE_STEP];
    for at in (0..HEADER_AREA).step_by(WIPE_STEP) {
        device.write(at, &zeros)?;
    }
    device.flush()
}

fn read_superblock_of(device: &Device<'_>) -> Result<Superblock, ReadHeaderError> {
    Ok(Superblock::parse(device.read(SUPER_AT, BLOCK_BYTES)?.bytes())?)
}

fn read_bitmap_of(device: &Device<'_>, superblock: &Superblock) -> Result<Bitmap, ReadHeaderError> {
    let boxed = || Box::new(superblock.clone());
    if !superblock.feature_map.contains(FeatureMap::BITMAP_OFFSET) {
        return Err(ReadHeaderError::NoBitmap { superblock: boxed() });
    }
    let misplaced =
        || ReadHeaderError::MisplacedBitmap { superblock: boxed(), offset: superblock.bitmap_offset };
    let corrupt = |source| ReadHeaderError::CorruptBitmap { superblock: boxed(), source };
    let at = bitmap_at(superblock, HEADER_BYTES as u64).ok_or_else(misplaced)?;
    let first = device.read(at, BLOCK_BYTES)?;
    let length =
        BitmapHeader::parse(first.bytes()).and_then(|header| header.whole_bytes()).map_err(corrupt)?;
    bitmap_at(superblock, length as u64).ok_or_else(misplaced)?;
    let whole = device.read(at, length.next_multiple_of(BLOCK_BYTES))?;
    let bitmap = Bitmap::parse(whole.bytes()).map_err(corrupt)?;
    if bitmap.header.uuid != superblock.set_uuid {
        return Err(ReadHeaderError::ForeignBitmap { superblock: boxed(), found: bitmap.header.uuid });
    }
    Ok(bitmap)
}

/// The byte at which a bitmap of `length` bytes begins, if it lies wholly between superblock and data and on a
/// 4096-byte boundary (mdadm's and ours do).
fn bitmap_at(superblock: &Superblock, length: u64) -> Option<u64> {
    let offset = u64::try_from(superblock.bitmap_offset).ok()?;
    let at = SUPER_AT + offset * SECTOR_BYTES;
    let end = at.checked_add(length)?.div_ceil(SECTOR_BYTES);
    let placed = at >= SUPER_AT + BLOCK_BYTES as u64 && end <= superblock.data_offset;
    (placed && at.is_multiple_of(BLOCK_BYTES as u64)).then_some(at)
}

/// A device open past the page cache.
struct Device<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Device<'a> {
    fn open(path: &'a Path, options: &mut OpenOptions, flags: i32) -> Result<Self, CallError> {
        let _in_call = call::enter("open", path.display());
        let opened = options.custom_flags(libc::O_DIRECT | flags).open(path);
        let file = opened.map_err(|source| CallError::new("open", path.display(), source))?;
        Ok(Self { path, file })
    }

    fn read(&self, at: u64, length: usize) -> Result<Aligned, CallError> {
        let mut buffer = Aligned::zeroed(length);
        let _in_call = call::enter("read", self.path.display());
        let done = self.file.read_exact_at(buffer.bytes_mut(), at);
        done.map_err(|source| self.failed("read", at, length, source))?;
        Ok(buffer)
    }

    /// `bytes` is a multiple of 4096 long.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), CallError> {
        let mut buffer = Aligned::zeroed(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        let _in_call = call::enter("write", self.path.display());
        let done = self.file.write_all_at(buffer.bytes(), at);
        done.map_err(|source| self.failed("write", at, bytes.len(), source))
    }

    /// On the medium when this returns.
    fn clear_superblock(&self) -> Result<(), CallError> {
        self.write(SUPER_AT, &[0; BLOCK_BYTES])?;
        self.flush()
    }

    fn flush(&self) -> Result<(), CallError> {
        let _in_call = call::enter("fsync", self.path.display());
        self.file.sync_all().map_err(|source| CallError::new("fsync", self.path.display(), source))
    }

    fn failed(&self, call: &'static str, at: u64, length: usize, source: io::Error) -> CallError {
        CallError::new(call, self.path.display(), source).with_value(format_args!("{length} bytes at {at}"))
    }
}

/// Memory at an address that `O_DIRECT` takes on every device.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn zeroed(length: usize) -> Self {
        let memory = vec![0; length + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self { memory, start, length }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.length).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + self.length).unwrap_or_default()
    }
}
