//! What the lab's binary does inside a guest: load, proof, and a measure of the network.

pub mod ack;
pub mod lives;
pub mod pattern;
pub mod reader;
pub mod tcp;
pub mod verify;
pub mod writer;

/// Bytes of a block: the unit in which versions are counted, and the smallest write.
pub const BLOCK: usize = 4096;

/// A buffer whose start is aligned as `O_DIRECT` asks for.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// `length` zero bytes.
    pub(crate) fn new(length: usize) -> Self {
        let bytes = vec![0; length + BLOCK];
        let start = bytes.as_ptr().align_offset(BLOCK);
        Self { bytes, start, length }
    }

    pub(crate) fn get(&self, length: usize) -> &[u8] {
        self.bytes.get(self.start..self.start + length.min(self.length)).unwrap_or_default()
    }

    pub(crate) fn get_mut(&mut self, length: usize) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + length.min(self.length)).unwrap_or_default()
    }
}
