//! Making a range zero, and proving that it is.
//!
//! Reading back goes around the page cache (`O_DIRECT`), so that it is the drive that answers. Offsets and lengths are
//! bytes and multiples of the logical sector; the kernel refuses others with EINVAL.
//!
//! Every function reports the bytes done to a callback after each chunk, and stops when it says so: what runs for an hour
//! must be able to end in a second.

pub(super) mod direct;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use direct::AlignedBuffer;
use nix::errno::Errno;

use super::ioctl;
use super::{ReadAt, WriteAt};
use crate::{CallError, call};

/// Bytes per `BLKZEROOUT` and per `BLKDISCARD`: small enough that a stop is heard soon on a drive that writes zeroes at
/// 100 MB/s, large enough to cost nothing elsewhere.
const ZERO_CHUNK_BYTES: u64 = 64 << 20;
/// Bytes per direct read or write.
const DIRECT_CHUNK_BYTES: u64 = 1 << 20;

/// How a run over a range ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// All of it.
    Finished,
    /// The callback stopped it after this many bytes.
    Stopped {
        /// Bytes done.
        done_bytes: u64,
    },
}

/// What reading back found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Everything that was read is zero.
    Zero,
    /// The first byte that is not.
    NonZero {
        /// Its offset on the device.
        offset: u64,
    },
    /// The callback stopped it; what was read until then is zero.
    Stopped {
        /// Bytes read.
        done_bytes: u64,
    },
}

/// What discarding came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// The run ended so. The content is undefined: zero on most drives, promised by none.
    Run(Run),
    /// The device cannot (EOPNOTSUPP).
    Unsupported,
}

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Every byte.
    Full,
    /// This many windows of 1 MiB, evenly spaced, the first and the last always among them; all of it where the range is
    /// no longer than that.
    Sampled {
        /// How many; less than two count as two.
        windows: u32,
    },
}

/// Which half of a [`wipe`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WipePhase {
    /// Writing zeroes.
    Zeroing,
    /// Reading back.
    Verifying,
}

/// Zeroes a range of the device at `path`: the drive's own command where it has one (`BLKZEROOUT`), else, or for a regular
/// file, by writing with `O_DIRECT`. Returns after a flush of the drive's cache.
///
/// Needs no claim: the caller knows that the range is free. Errors: EINVAL for unaligned ranges or beyond the end.
#[doc(alias = "BLKZEROOUT")]
pub fn zero_out(
    path: &Path,
    range: Range<u64>,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Run, CallError> {
    let file = open_direct(path, true)?;
    let command = |offset, bytes| {
        let _in_call = call::enter("BLKZEROOUT", path.display());
        match ioctl::zero_out(&file, offset, bytes) {
            Err(errno) if is_unsupported(errno, &file) => write_zeroes(&file, offset..offset + bytes),
            other => other.map_err(io::Error::from),
        }
    };
    let run = in_chunks(&range, ZERO_CHUNK_BYTES, command, &mut progress);
    let run = run.map_err(|source| call_error("BLKZEROOUT", path, &range, source))?;
    let _in_call = call::enter("fsync", path.display());
    file.sync().map_err(|source| CallError::new("fsync", path.display(), source))?;
    Ok(run)
}

/// Tells the drive that a range is not needed. What reads give afterwards is undefined.
#[doc(alias = "BLKDISCARD")]
pub fn discard(
    path: &Path,
    range: Range<u64>,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Discarded, CallError> {
    let file = open_direct(path, true)?;
    let command = |offset, bytes| {
        let _in_call = call::enter("BLKDISCARD", path.display());
        ioctl::discard(&file, offset, bytes).map_err(io::Error::from)
    };
    match in_chunks(&range, ZERO_CHUNK_BYTES, command, &mut progress) {
        Ok(run) => Ok(Discarded::Run(run)),
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Discarded::Unsupported),
        Err(source) => Err(call_error("BLKDISCARD", path, &range, source)),
    }
}

/// Reads a range of the device at `path` back, around the page cache, and says where the first byte lies that is not zero.
/// The callback hears bytes read, of which a sampled run has fewer than the range.
pub fn verify_zero(
    path: &Path,
    range: Range<u64>,
    thoroughness: Thoroughness,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Verified, CallError> {
    let file = open_direct(path, false)?;
    let read = |bytes: &mut [u8], offset| {
        let _in_call = call::enter("pread O_DIRECT", path.display());
        file.read_exact_at(bytes, offset)
    };
    let found = first_non_zero(read, &range, thoroughness, &mut progress);
    found.map_err(|source| call_error("pread O_DIRECT", path, &range, source))
}

/// Zeroes all of a range, then reads it back.
pub fn wipe(
    path: &Path,
    range: Range<u64>,
    thoroughness: Thoroughness,
    mut progress: impl FnMut(WipePhase, u64) -> ControlFlow<()>,
) -> Result<Verified, CallError> {
    match zero_out(path, range.clone(), |done| progress(WipePhase::Zeroing, done))? {
        Run::Stopped { .. } => Ok(Verified::Stopped { done_bytes: 0 }),
        Run::Finished => verify_zero(path, range, thoroughness, |done| progress(WipePhase::Verifying, done)),
    }
}

/// Calls `step(offset, bytes)` over the range. A range that ends before it starts is empty.
fn in_chunks(
    range: &Range<u64>,
    chunk_bytes: u64,
    mut step: impl FnMut(u64, u64) -> io::Result<()>,
    progress: &mut impl FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Run> {
    let mut offset = range.start;
    while offset < range.end {
        let bytes = chunk_bytes.min(range.end - offset);
        step(offset, bytes)?;
        offset += bytes;
        let done_bytes = offset - range.start;
        if progress(done_bytes).is_break() && offset < range.end {
            return Ok(Run::Stopped { done_bytes });
        }
    }
    Ok(Run::Finished)
}

fn first_non_zero(
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
    range: &Range<u64>,
    thoroughness: Thoroughness,
    progress: &mut impl FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Verified> {
    let mut buffer = AlignedBuffer::zeroed(DIRECT_CHUNK_BYTES)?;
    let mut done_bytes = 0;
    for window in windows(range, thoroughness) {
        let length = window.end - window.start;
        let bytes = buffer.first_mut(length)?;
        read(bytes, window.start)?;
        if let Some(index) = position_of_non_zero(bytes) {
            return Ok(Verified::NonZero { offset: window.start + index as u64 });
        }
        done_bytes += length;
        if progress(done_bytes).is_break() && window.end < range.end {
            return Ok(Verified::Stopped { done_bytes });
        }
    }
    Ok(Verified::Zero)
}

/// The windows to read, in order: by chunk, with the chunks between the samples left out.
fn windows(range: &Range<u64>, thoroughness: Thoroughness) -> impl Iterator<Item = Range<u64>> {
    let (start, end) = (range.start, range.end.max(range.start));
    let chunks = (end - start).div_ceil(DIRECT_CHUNK_BYTES);
    let count = match thoroughness {
        Thoroughness::Full => chunks,
        Thoroughness::Sampled { windows } => chunks.min(u64::from(windows.max(2))),
    };
    (0..count).map(move |sample| {
        let from = start + spread(sample, count, chunks) * DIRECT_CHUNK_BYTES;
        from..end.min(from.saturating_add(DIRECT_CHUNK_BYTES))
    })
}

/// The `sample`-th of `count` chunk indices spread evenly over `0..chunks`, ends included.
fn spread(sample: u64, count: u64, chunks: u64) -> u64 {
    if count == chunks || count < 2 {
        return sample;
    }
    let index = u128::from(sample) * u128::from(chunks - 1) / u128::from(count - 1);
    u64::try_from(index).unwrap_or(sample)
}

/// Word by word first: this reads whole drives.
fn position_of_non_zero(bytes: &[u8]) -> Option<usize> {
    let block = bytes.chunks(4096).position(|block| block.iter().fold(0, |all, byte| all | byte) != 0)?;
    let start = block * 4096;
    let within = bytes.get(start..)?.iter().position(|&byte| byte != 0)?;
    Some(start + within)
}

fn write_zeroes(file: &File, range: Range<u64>) -> Result<(), io::Error> {
    let mut buffer = AlignedBuffer::zeroed(DIRECT_CHUNK_BYTES)?;
    let write = |offset, bytes| file.write_all_at(buffer.first_mut(bytes)?, offset);
    in_chunks(&range, DIRECT_CHUNK_BYTES, write, &mut |_| ControlFlow::Continue(())).map(drop)
}

/// A device without the command says EOPNOTSUPP; a regular file, which has no such ioctl, ENOTTY.
fn is_unsupported(errno: Errno, file: &File) -> bool {
    let is_device = file.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device());
    errno == Errno::EOPNOTSUPP || (errno == Errno::ENOTTY && !is_device)
}

pub(super) fn open_direct(path: &Path, write: bool) -> Result<File, CallError> {
    let mut options = OpenOptions::new();
    options.read(true).write(write).custom_flags(libc::O_DIRECT);
    let _in_call = call::enter("open O_DIRECT", path.display());
    options.open(path).map_err(|source| CallError::new("open O_DIRECT", path.display(), source))
}

fn call_error(call: &'static str, path: &Path, range: &Range<u64>, source: io::Error) -> CallError {
    CallError::new(call, path.display(), source).with_value(format!("{}..{}", range.start, range.end))
}

#[cfg(test)]
mod tests;
