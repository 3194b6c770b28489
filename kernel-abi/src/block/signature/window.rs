//! The parts of a device that are read, held in memory.

use std::io;
use std::ops::Range;

use crate::block::ReadAt;

const HEAD_BYTES: u64 = 512 << 10;
/// Two ZFS labels and what is cut off below their alignment.
const TAIL_BYTES: u64 = 768 << 10;
/// VMFS keeps its marks at 1 and 2 MiB.
const MIDDLE: [u64; 2] = [1 << 20, 2 << 20];
const MIDDLE_BYTES: u64 = 4096;

pub(super) struct Windows {
    size_bytes: u64,
    parts: Vec<(u64, Vec<u8>)>,
}

impl Windows {
    pub(super) fn read(device: &(impl ReadAt + ?Sized), size_bytes: u64) -> io::Result<Self> {
        let head = 0..HEAD_BYTES.min(size_bytes);
        let tail = size_bytes.saturating_sub(TAIL_BYTES)..size_bytes;
        let inside = MIDDLE.into_iter().filter(|start| start + MIDDLE_BYTES <= size_bytes);
        let middle = inside.map(|start| start..start + MIDDLE_BYTES);
        let ranges = [head, tail].into_iter().chain(middle);
        let parts = ranges.map(|range| part(device, range)).collect::<io::Result<_>>()?;
        Ok(Self { size_bytes, parts })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What was read from `offset` to the end of its window.
    pub(super) fn from(&self, offset: u64) -> Option<&[u8]> {
        self.parts.iter().find_map(|(start, bytes)| {
            let skip = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(skip..).filter(|rest| !rest.is_empty())
        })
    }
}

fn part(device: &(impl ReadAt + ?Sized), range: Range<u64>) -> io::Result<(u64, Vec<u8>)> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    device.read_exact_at(&mut bytes, range.start)?;
    Ok((range.start, bytes))
}
