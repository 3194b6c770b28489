//! Bounds-checked reading of numbers and texts at a byte offset.

/// The `N` bytes at `at`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A text field that ends at the first NUL or at its `N`-th byte. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn text<const N: usize>(bytes: &[u8], at: usize) -> Option<String> {
    let field: [u8; N] = array(bytes, at)?;
    let used = field.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(used).into_owned())
}

macro_rules! numbers {
    ($($name:ident $from:ident $type:ty;)*) => {$(
        pub(super) fn $name(bytes: &[u8], at: usize) -> Option<$type> {
            array(bytes, at).map(<$type>::$from)
        }
    )*};
}

numbers! {
    le16 from_le_bytes u16;
    le32 from_le_bytes u32;
    be16 from_be_bytes u16;
    be32 from_be_bytes u32;
    be64 from_be_bytes u64;
}
