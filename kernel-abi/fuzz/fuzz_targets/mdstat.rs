//! Any text: no panic.
#![no_main]

use kernel_abi::md::mdstat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = mdstat::parse(text);
});
