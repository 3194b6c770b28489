//! Whether two devices hold the same bytes, read around the page cache.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::ReadAt;
use super::zero::direct::AlignedBuffer;
use super::zero::open_direct;
use crate::{CallError, call};

/// Bytes per direct read: small enough that an application's request does not wait long behind it.
const STEP_BYTES: u64 = 256 << 10;

/// The offset of the first sector of 512 bytes in which the devices at `one` and `other` differ; `None` when the range
/// is equal on both. Offsets are bytes and multiples of the larger logical sector.
///
/// Caveats: two members of a running array differ for a moment around every write to the range: look again before you
/// call it a difference. Reads block while a leg queues.
pub fn first_difference(one: &Path, other: &Path, range: Range<u64>) -> Result<Option<u64>, CallError> {
    let (left, right) = (open_direct(one, false)?, open_direct(other, false)?);
    let mut buffers = (buffer(one)?, buffer(other)?);
    let mut offset = range.start;
    while offset < range.end {
        let bytes = STEP_BYTES.min(range.end - offset);
        let ours = read(&left, one, &mut buffers.0, offset, bytes)?;
        let theirs = read(&right, other, &mut buffers.1, offset, bytes)?;
        if let Some(sector) = differing_sector(ours, theirs) {
            return Ok(Some(offset + sector * 512));
        }
        offset += bytes;
    }
    Ok(None)
}

fn buffer(path: &Path) -> Result<AlignedBuffer, CallError> {
    AlignedBuffer::zeroed(STEP_BYTES).map_err(|source| CallError::new("allocate", path.display(), source))
}

fn read<'a>(
    file: &std::fs::File,
    path: &Path,
    buffer: &'a mut AlignedBuffer,
    offset: u64,
    bytes: u64,
) -> Result<&'a [u8], CallError> {
    let failed = |source: io::Error| {
        CallError::new("pread O_DIRECT", path.display(), source).with_value(format!("{offset}+{bytes}"))
    };
    let slice = buffer.first_mut(bytes).map_err(failed)?;
    let _in_call = call::enter("pread O_DIRECT", path.display());
    ReadAt::read_exact_at(file, slice, offset).map_err(failed)?;
    Ok(slice)
}

fn differing_sector(ours: &[u8], theirs: &[u8]) -> Option<u64> {
    if ours == theirs {
        return None;
    }
    let sectors = ours.chunks(512).zip(theirs.chunks(512));
    (0u64..).zip(sectors).find(|(_, (one, other))| one != other).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_sector_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        let mut bytes = vec![7; 3 << 20];
        std::fs::write(&one, &bytes).unwrap();
        bytes[(2 << 20) + 1030] = 8;
        std::fs::write(&other, &bytes).unwrap();
        assert_eq!(first_difference(&one, &other, 0..2 << 20).unwrap(), None);
        assert_eq!(first_difference(&one, &other, 1 << 20..3 << 20).unwrap(), Some((2 << 20) + 1024));
    }
}
