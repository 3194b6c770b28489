//! How long nothing of a volume was acknowledged, seen from outside the guests.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Used;
use super::world::World;
use crate::guest::ack::RECORD;

/// How often the logs are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Waits that are noted.
const NOTED: Duration = Duration::from_millis(200);

/// Until the chaos is over. The time before the first write is nobody's wait.
pub(super) fn run(world: &World<'_>, used: &Used, port: usize) {
    let (mut seen, mut last) = (0, Instant::now());
    while !world.is_over() {
        let size = logged(world, port);
        if size >= seen + RECORD as u64 {
            if seen > 0 && last.elapsed() >= NOTED {
                world.line.stalled(used.name, last.elapsed());
            }
            (seen, last) = (size, Instant::now());
        }
        sleep(LOOK);
    }
    if seen > 0 && last.elapsed() >= NOTED {
        world.line.stalled(used.name, last.elapsed());
    }
}

/// Bytes in the logs of all nodes.
pub(super) fn logged(world: &World<'_>, port: usize) -> u64 {
    let logs = world.parties().iter().map(|party| fs::metadata(party.node.files().ack_log(port)));
    logs.flatten().map(|file| file.len()).sum()
}
