//! When a scenario is played, and beside what.

use super::{Needs, Scenario};

/// What is played with daemons that bear no more silence of each other than they do by default, by the beginning of its name.
const STRICT: &str = "stall_";

/// What nothing else may run beside, by the beginning of its name, and why.
const ALONE: &[(&str, &str)] = &[
    (STRICT, "prints how long writes wait, and a provider that is starved for 0.4 s counts as gone"),
    ("lab_moves_bytes_between_guests", "asks for a speed"),
    ("idle_costs_nothing", "prints what daemons take of a processor"),
    (ON_REQUEST, "three larger guests and a control plane take the whole machine"),
    (
        "chaos_for_a_minute",
        "takes two processors: beside a neighbour more is late than what the seed makes late",
    ),
    ("lab_leaves_nothing_behind", "looks at the host's own mounts and network devices"),
];

/// What takes longer than a minute and a half: begun first, so that the workers end together.
const LONG: &[&str] = &[
    "grow_in_place_raw_ext4_xfs",
    "nodes_are_drained_and_a_drive_is_evicted",
    "lost_copy_is_replaced_after_the_timeout",
    "killed_before_every_step",
    "killed_after_every_step",
    "scale_1_2_3_2_1_under_load",
    "csi_sanity",
    "simulated_kernel_does_as_the_real_one",
    "stripes_of_two_columns",
    "volume_life_xfs",
    "volume_life_ext4_and_raw",
    "systemd_unit_runs_the_daemon",
];

/// What is played only if something is asked for and it is that, by the beginning of its name: the first time it builds Kubernetes, which takes a quarter of an hour.
const ON_REQUEST: &str = "kube_";

/// Whether the scenario `name` is played only if it is asked for.
#[must_use]
pub fn is_on_request(name: &str) -> bool {
    name.starts_with(ON_REQUEST)
}

/// Whether the scenario `name` is played while nothing else runs.
#[must_use]
pub fn is_alone(name: &str) -> bool {
    ALONE.iter().any(|(begin, _)| name.starts_with(begin))
}

/// Whether the scenario `name` is played with daemons as patient as they are by default, and no more.
#[must_use]
pub fn is_strict(name: &str) -> bool {
    name.starts_with(STRICT)
}

/// Where a scenario stands in the order. Those without the shared lab come before there is one, since it makes way for them;
/// those that share a cluster stand together. Alone it is the other way round: the cluster of those before is still there. Kubernetes, which
/// none of them can use, comes last.
pub(super) fn place(scenario: &Scenario) -> (u8, bool) {
    let rank = match scenario.lab {
        Needs::Nothing => 0,
        Needs::Blank | Needs::AsIs => 1,
        Needs::Cluster => 2,
        Needs::Kube => 3,
    };
    let is_turned = is_alone(scenario.name) && scenario.lab != Needs::Kube;
    (if is_turned { 2 - rank } else { rank }, !LONG.contains(&scenario.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_scenarios() {
        let all = super::super::all();
        assert!(all.iter().any(|scenario| is_on_request(scenario.name)));
        for (begin, _) in ALONE {
            assert!(all.iter().any(|scenario| scenario.name.starts_with(begin)), "{begin}");
        }
        for name in LONG {
            assert!(all.iter().any(|scenario| scenario.name == *name), "{name}");
        }
    }
}
