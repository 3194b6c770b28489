//! Little-endian fields, read and written in the order in which the kernel's structs declare them.

use uuid::Uuid;

/// The bytes ended inside a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truncated;

/// Takes fields off the front of bytes from outside.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Truncated> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, Truncated> {
        self.array().map(Uuid::from_bytes)
    }
}

/// Appends fields to a block that is zero-filled to its full length at the end.
#[derive(Default)]
pub(super) struct Block(Vec<u8>);

impl Block {
    pub(super) fn put(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.put(value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.put(value.to_le_bytes())
    }

    pub(super) fn i32(self, value: i32) -> Self {
        self.put(value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.put(value.to_le_bytes())
    }

    /// The block, `length` bytes long.
    pub(super) fn padded(mut self, length: usize) -> Vec<u8> {
        self.0.resize(length, 0);
        self.0
    }
}
