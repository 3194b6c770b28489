//! `lab chaos` at a size that fits.

use anyhow::Result;

use super::{Needs, Scenario, Stage};
use crate::chaos::{self, Options};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "chaos_for_a_minute",
    shows: "faults and wishes out of seed 1 for a minute while four volumes are written: every acknowledged write is there, on \
            copies that are equal (`lab chaos` goes on for longer)",
    lab: Needs::Nothing,
    run: a_minute,
}];

fn a_minute(stage: &mut Stage<'_>) -> Result<()> {
    chaos::run(stage.parts, &Options { seed: 1, minutes: 1, nodes: 3 })
}
