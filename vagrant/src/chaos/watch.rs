//! How long nothing of a volume was acknowledged, seen from outside the guests.

use std::fs;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::Used;
use super::world::World;
use crate::guest::ack::RECORD;

/// How often the logs are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Waits that are noted.
const NOTED: Duration = Duration::from_millis(200);

/// A wait that lasts this long is explained by the daemons, and again while it lasts: what is waited for changes.
const EXPLAINED: Duration = Duration::from_secs(10);
/// After the first time.
const EXPLAINED_AGAIN: Duration = Duration::from_secs(30);

/// Until the chaos is over. The time before the first write is nobody's wait.
pub(super) fn run(world: &World<'_>, used: &Used, port: usize) {
    thread::scope(|scope| {
        let (mut seen, mut last, mut due) = (0, Instant::now(), EXPLAINED);
        while !world.is_over() {
            let size = logged(world, port);
            if size >= seen + RECORD as u64 {
                note(world, used, seen, last);
                (seen, last, due) = (size, Instant::now(), EXPLAINED);
            } else if seen > 0 && last.elapsed() >= due {
                scope.spawn(|| explain(world, used));
                due += EXPLAINED_AGAIN;
            }
            sleep(LOOK);
        }
        note(world, used, seen, last);
    });
}

fn note(world: &World<'_>, used: &Used, seen: u64, last: Instant) {
    if seen > 0 && last.elapsed() >= NOTED {
        world.line.stalled(used.name, last.elapsed());
    }
}

/// As every node that can be asked sees it: they need not agree while something is cut.
fn explain(world: &World<'_>, used: &Used) {
    for party in world.parties().iter().filter(|party| party.answers()) {
        let name = party.node.name();
        if let Ok(said) = world.ask(name, &format!("explain volume/{}", used.name)) {
            world.line.say(&format!("{}: explained on {name}: {}{}", used.name, said.stdout, said.stderr));
        }
    }
}

/// Bytes in the logs of all nodes.
pub(super) fn logged(world: &World<'_>, port: usize) -> u64 {
    let logs = world.parties().iter().map(|party| fs::metadata(party.node.files().ack_log(port)));
    logs.flatten().map(|file| file.len()).sum()
}
