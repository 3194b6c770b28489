#![no_main]
//! Whatever stands in the lists of modules, each module's own file is loaded last.

use kernel_abi::module::{ModulesBuiltin, ModulesDep};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let name = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    if let Some(order) = ModulesDep::parse(bytes).load_order(&name) {
        assert!(!order.is_empty());
    }
    let _ = ModulesBuiltin::parse(bytes).contains(&name);
});
