//! Any bytes as the start of a device, with the ext4 magic in place.
#![no_main]

/// Offset of `s_magic` on the device, bytes.
const MAGIC: std::ops::Range<usize> = 1080..1082;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut start = bytes.to_vec();
    if let Some(magic) = start.get_mut(MAGIC) {
        magic.copy_from_slice(&[0x53, 0xef]);
    }
    let _ = kernel_abi::fs::ext4::Ext4Superblock::parse(&start);
    let _ = kernel_abi::fs::Detected::from_bytes(&start);
});
