//! A comparison takes minutes, or goes on as long as a leg holds what it reads; it is begun by itself, and can be begun anew: it gives
//! way to what somebody asked for.

use super::serving::Serving;
use crate::plan::{Lane, Step};

/// Another node is to have the volume, or nobody.
pub(super) fn to_a_release(serving: &mut Serving) {
    abandon(serving);
}

/// The volume is to be mounted here, or to be seen somewhere, or not any more. What failed a moment ago is not due, and costs no
/// comparison.
pub(super) fn to_a_mount(serving: &mut Serving) {
    let (memory, now) = (&serving.input.memory, serving.input.now);
    let asked =
        |step: &Step| matches!(step, Step::Mount { .. } | Step::Publish { .. } | Step::Unpublish { .. });
    let due = |step: &Step| asked(step) && memory.waits(step, now).is_none();
    if serving.plan.steps.iter().any(due) {
        serving.plan.steps.retain(|step| !is_comparison(step));
        abandon(serving);
    }
}

fn abandon(serving: &mut Serving) {
    let lane = Lane::Volume(serving.spec.name.clone());
    if serving.input.memory.running.get(&lane).is_some_and(|(step, _)| is_comparison(step)) {
        serving.plan.abandon.insert(lane);
    }
}

const fn is_comparison(step: &Step) -> bool {
    matches!(step, Step::Compare { .. } | Step::Check { .. })
}
