//! Any text as what `/proc` says of a process.
#![no_main]

use kernel_abi::holders::{parse_maps, parse_mnt_id, parse_pending, parse_stat};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = (parse_stat(&text), parse_pending(&text), parse_mnt_id(&text), parse_maps(&text));
});
