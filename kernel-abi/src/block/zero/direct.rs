//! Memory that `O_DIRECT` accepts.

use std::io;

/// Satisfies every drive's `dma_alignment`, and covers a 4096-byte sector.
const ALIGNMENT: usize = 4096;

/// A buffer whose first byte is aligned to 4096.
pub(in crate::block) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    /// `bytes` zeroes.
    pub(in crate::block) fn zeroed(bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let memory = vec![0; bytes + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Ok(Self { memory, start })
    }

    /// The first `bytes` bytes.
    pub(in crate::block) fn first_mut(&mut self, bytes: u64) -> io::Result<&mut [u8]> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let aligned = self.memory.get_mut(self.start..).unwrap_or_default();
        aligned.get_mut(..bytes).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}
