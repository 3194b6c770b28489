//! Any answer of device-mapper is read without a panic: lists, rows, and what multipath says in them.
#![no_main]

use kernel_abi::dm::{self, MultipathStatus, MultipathTable};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let _ = dm::decode_list(answer);
    for row in dm::decode_targets(answer).into_iter().flatten() {
        let _ = row.parameters.parse::<MultipathStatus>();
        let _ = row.parameters.parse::<MultipathTable>();
    }
});
