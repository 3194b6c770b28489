//! Any disk is judged without a panic, and what is accepted can be edited.
#![no_main]

use kernel_abi::block::gpt::{self, GptState};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|input: (bool, u64, &[u8])| {
    let (large_sectors, bytes, disk) = input;
    let Ok(geometry) = gpt::Geometry::new(if large_sectors { 4096 } else { 512 }, disk.len() as u64) else {
        return;
    };
    let state = gpt::read(disk, geometry, "fuzz");
    if let Ok(GptState::Healthy(mut table) | GptState::Repairable { mut table, .. }) = state {
        let _ = table.add(Uuid::from_u128(7), gpt::REPLICA_TYPE, gpt::PartitionName::default(), bytes);
        let _ = table.grow(Uuid::from_u128(7), bytes);
        let _ = table.free_extents();
    }
});
