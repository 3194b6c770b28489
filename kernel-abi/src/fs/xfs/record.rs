//! Big-endian structures written field by field, in the order of the C declaration.

/// A structure on disk under construction: each call appends one field.
pub(super) struct Record {
    bytes: Vec<u8>,
    size: usize,
    crc_at: Option<usize>,
    padding: u8,
}

impl Record {
    /// A structure that fills `size` bytes, what follows its last field being zero.
    pub(super) fn new(size: usize) -> Self {
        Self { bytes: Vec::with_capacity(size), size, crc_at: None, padding: 0 }
    }

    /// What follows the last field is all ones (`NULLAGBLOCK` for ever).
    pub(super) fn padded_with_ones(mut self) -> Self {
        self.padding = 0xff;
        self
    }

    pub(super) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(super) fn fill(mut self, count: usize, byte: u8) -> Self {
        self.bytes.resize(self.bytes.len().saturating_add(count), byte);
        self
    }

    pub(super) fn zeros(self, count: usize) -> Self {
        self.fill(count, 0)
    }

    /// The place of the CRC-32C over the whole structure: four bytes, the only ones in little endian.
    pub(super) fn crc(mut self) -> Self {
        self.crc_at = Some(self.bytes.len());
        self.zeros(4)
    }

    /// Pads to the full size and sets the checksum (`xfs_update_cksum`, `fs/xfs/libxfs/xfs_cksum.h`).
    pub(super) fn finish(mut self) -> Vec<u8> {
        debug_assert!(
            self.bytes.len() <= self.size,
            "{} bytes in a structure of {}",
            self.bytes.len(),
            self.size
        );
        self.bytes.resize(self.size, self.padding);
        let sum = crc32c::crc32c(&self.bytes).to_le_bytes();
        if let Some(field) = self.crc_at.and_then(|at| self.bytes.get_mut(at..)?.first_chunk_mut()) {
            *field = sum;
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Record;

    #[test]
    fn fields_are_big_endian_and_the_checksum_is_not() {
        let bytes = Record::new(12).u16(0x0102).zeros(2).crc().finish();
        let sum = crc32c::crc32c(&[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[..4], [1, 2, 0, 0]);
        assert_eq!(bytes[4..8], sum.to_le_bytes());
        assert_eq!(bytes.len(), 12);
    }
}
