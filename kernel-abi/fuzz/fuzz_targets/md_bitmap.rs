//! Any bytes: no panic, no bit beyond the array, and what is taken for a bitmap is written back as the same one.
#![no_main]

use kernel_abi::md::bitmap::Bitmap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bitmap) = Bitmap::parse(bytes) {
        assert!(bitmap.dirty_chunks().all(|chunk| chunk < bitmap.header.chunks()));
        assert_eq!(Bitmap::parse(&bitmap.encode()), Ok(bitmap));
    }
});
