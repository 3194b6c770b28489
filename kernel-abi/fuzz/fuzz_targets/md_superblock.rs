//! Any bytes: no panic, and what is taken for a superblock is written back as the same one.
#![no_main]

use kernel_abi::md::superblock::Superblock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(superblock) = Superblock::parse(bytes) {
        assert_eq!(Superblock::parse(&superblock.encode()), Ok(superblock));
    }
});
