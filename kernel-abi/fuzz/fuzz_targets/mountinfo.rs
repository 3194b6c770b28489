//! Any text as `/proc/self/mountinfo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = kernel_abi::fs::parse_mountinfo(&String::from_utf8_lossy(bytes));
});
