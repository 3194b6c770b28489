//! Any content is probed without a panic, and every finding can be printed.
#![no_main]

use kernel_abi::block::signature;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|disk: &[u8]| {
    for found in signature::probe(disk, disk.len() as u64, "fuzz").into_iter().flatten() {
        let _ = found.to_string();
    }
});
