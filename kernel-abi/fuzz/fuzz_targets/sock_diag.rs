#![no_main]
//! Whatever arrives on a sock_diag socket is read or refused.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = kernel_abi::sock::parse_messages(bytes);
});
