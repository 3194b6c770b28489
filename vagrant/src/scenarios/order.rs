//! When a scenario is played, and beside what.

use super::{Needs, Scenario};

/// What nothing else may run beside, by the beginning of its name, and why.
const ALONE: &[(&str, &str)] = &[
    ("stall_", "prints how long writes wait, and a provider that is starved for 0.4 s counts as gone"),
    (
        "daemon_killed_reattaches",
        "nothing may be made anew, and a provider without a daemon is the first to count as gone",
    ),
    ("move_of_one_of_two_copies_under_load", "no copy may be missing for a moment"),
    ("scale_1_2_3_2_1_under_load", "likewise"),
    ("scale_down_refused_when_not_in_sync", "likewise, once it is in sync again"),
    ("lab_moves_bytes_between_guests", "asks for a speed"),
    ("idle_costs_nothing", "prints what daemons take of a processor"),
    ("lab_leaves_nothing_behind", "looks at the host's own mounts and network devices"),
];

/// What takes longer than a minute and a half: begun first, so that the workers end together.
const LONG: &[&str] = &[
    "grow_in_place_raw_ext4_xfs",
    "nodes_are_drained_and_a_drive_is_evicted",
    "lost_copy_is_replaced_after_the_timeout",
    "killed_before_every_step",
    "killed_after_every_step",
    "volume_life_xfs",
    "volume_life_ext4_and_raw",
    "systemd_unit_runs_the_daemon",
];

/// Whether the scenario `name` is played while nothing else runs.
#[must_use]
pub fn is_alone(name: &str) -> bool {
    ALONE.iter().any(|(begin, _)| name.starts_with(begin))
}

/// Where a scenario stands in the order. Those without the shared lab come before there is one, since it makes way for them;
/// those that share a cluster stand together. Alone it is the other way round: the cluster of those before is still there.
pub(super) fn place(scenario: &Scenario) -> (u8, bool) {
    let rank = match scenario.lab {
        Needs::Nothing => 0,
        Needs::Blank | Needs::AsIs => 1,
        Needs::Cluster => 2,
    };
    (if is_alone(scenario.name) { 2 - rank } else { rank }, !LONG.contains(&scenario.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_scenarios() {
        let all = super::super::all();
        for (begin, _) in ALONE {
            assert!(all.iter().any(|scenario| scenario.name.starts_with(begin)), "{begin}");
        }
        for name in LONG {
            assert!(all.iter().any(|scenario| scenario.name == *name), "{name}");
        }
    }
}
