//! Every guard of `plan/safety.rs` is turned off in turn: the search has to find what then goes wrong, a broken promise or a
//! stall. A guard that nobody misses is either not needed or not watched.

use mdfabric::plan::safety::Guard;
use mdfabric::sim::Config;

use super::support::{Failure, failure, on_all_processors};
use super::{a_new_copy_differs, alone, chaos, failover, healing, hung, ledger, queueing, wiped, zombie};

type Scenario = (&'static str, fn(Config));

/// Where a guard is missed soonest is not known beforehand: each seed tries them all.
const SCENARIOS: [Scenario; 13] = [
    ("the owner dies", |config| drop(failover::the_owner_dies(config))),
    ("its processes live on", failover::the_processes_live_on),
    ("its host is shut down", failover::the_host_is_shut_down),
    ("a paused owner wakes up", zombie::the_owner_wakes_up),
    ("a new copy differs", a_new_copy_differs),
    ("a volume goes while its owner is away", ledger::a_volume_goes_while_its_owner_is_away),
    ("a copy is back after another was filled", healing::a_copy_is_back_after_another_was_filled),
    ("records ask for the end of a copy", wiped::records_ask_for_the_end_of_a_copy),
    ("a drive hangs", hung::an_idle_drive_hangs),
    ("a copy is back beside a leg that holds", queueing::a_copy_is_back_beside_a_leg_that_holds),
    ("a copy is lost without the store", alone::writes_wait),
    ("a copy is lost, and its owner may go on alone", alone::writes_go_on),
    ("random faults", |config| chaos::play(&chaos::script(&config))),
];

/// Seeds after which a guard counts as missed by nobody; `SABOTAGE_SEEDS` says otherwise.
const SEEDS: u64 = 60;

struct Find {
    scenario: &'static str,
    seed: u64,
    failure: Failure,
}

fn search(guard: Guard, seeds: u64) -> Option<Find> {
    (1..=seeds).find_map(|seed| {
        SCENARIOS.iter().find_map(|(scenario, play)| {
            let run = |sabotage| failure(|| play(Config { seed, sabotage, ..Config::default() }));
            let failure = run(Some(guard))?;
            assert!(run(None).is_none(), "{scenario}, seed {seed}, fails with every guard on");
            Some(Find { scenario, seed, failure })
        })
    })
}

#[test]
fn every_guard_is_missed() {
    let seeds = std::env::var("SABOTAGE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let is_looked_for = |guard: &Guard| !Guard::ONLY_IN_THE_MODEL.contains(guard);
    let guards: Vec<Guard> = Guard::ALL.iter().copied().filter(is_looked_for).collect();
    let finds = on_all_processors(&guards, |guard| search(*guard, seeds));
    for (guard, find) in guards.iter().zip(&finds) {
        println!("{guard:?} off: {}", find.as_ref().map_or("nobody notices".to_owned(), told));
    }
    let missed: Vec<_> = guards.iter().zip(&finds).filter(|(_, find)| find.is_none()).collect();
    assert!(
        missed.is_empty(),
        "turned off, and nobody notices: {:?}",
        missed.iter().map(|(guard, _)| guard).collect::<Vec<_>>()
    );
}

fn told(find: &Find) -> String {
    let Find { scenario, seed, failure } = find;
    let kind = if failure.is_broken { "a broken promise" } else { "a stall" };
    let ticks = failure.at / 10;
    format!("{kind} in \"{scenario}\", seed {seed}, after {ticks} ticks: {}", failure.why)
}
