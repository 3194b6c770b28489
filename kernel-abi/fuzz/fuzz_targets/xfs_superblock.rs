//! Any bytes as the start of a device, with the XFS magic in place.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let start = [b"XFSB".as_slice(), bytes].concat();
    let _ = kernel_abi::fs::xfs::XfsSuperblock::parse(&start);
    let _ = kernel_abi::fs::Detected::from_bytes(bytes);
});
