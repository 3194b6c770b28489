//! What of a volume waits for a call into this node's kernel that does not come back.

use super::serving::Serving;
use super::stop;
use crate::domain::Reason;
use crate::plan::Lane;
use crate::plan::stuck::{self, ANSWERED, STUCK};

pub(super) fn plan(serving: &mut Serving) {
    let name = &serving.spec.name;
    let legs = stop::partitions(serving.status, serving.spec.stripe_width).into_iter().map(Lane::Leg);
    let lanes = [Lane::Volume(name.clone()), Lane::ShutDown(name.clone()), Lane::Eviction(name.clone())];
    let overdue: Vec<Reason> = lanes
        .into_iter()
        .chain(legs)
        .filter_map(|lane| Some(stuck::of(serving.input, &lane)?.reason(serving.input.me)))
        .collect();
    serving.next.reasons.extend(overdue);
}

/// Tells in events that something of the volume got stuck, its providers' drives among it, and that nothing is any more.
pub(super) fn tell(serving: &mut Serving) {
    let is_stuck = |reasons: &[Reason]| reasons.iter().find(|reason| reason.code == STUCK).cloned();
    match (is_stuck(&serving.status.reasons), is_stuck(&serving.next.reasons)) {
        (None, Some(reason)) => serving.event(STUCK, reason.message),
        (Some(_), None) => serving.event(ANSWERED, "what was stuck has been answered by the kernel"),
        (None, None) | (Some(_), Some(_)) => {}
    }
}
