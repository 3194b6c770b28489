//! Any bytes as a uevent of the kernel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = kernel_abi::uevent::Uevent::parse(bytes);
});
