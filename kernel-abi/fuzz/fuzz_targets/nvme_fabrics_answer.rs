#![no_main]
//! Whatever `/dev/nvme-fabrics` says is read or refused.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = kernel_abi::nvme::fabrics::parse_answer(bytes);
    let _ = kernel_abi::nvme::fabrics::parse_supported(bytes);
});
