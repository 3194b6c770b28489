//! Moving copies off a node or a drive that is being emptied. What finds no place is served on, with the reason.

use super::relocate;
use super::serving::Serving;
use crate::domain::{MoveCause, Reason};
use crate::plan::{candidate, evacuate, heal, timing};

/// Begins to move a copy, if one is due and this node does not fill enough others just now.
pub(super) fn plan(serving: &mut Serving) {
    let Some(leaving) = evacuate::due(serving.input.world, serving.status).cloned() else { return };
    if heal::under_way(serving.input, serving.so_far) >= timing::HEALS_PER_NODE {
        serving.plan.wake(serving.input.now.plus(timing::RETRY_MAX_MILLIS));
        return serving.wait(Reason::waiting(
            "MoveQueued",
            format_args!("the copy on {} moves after others", leaving.node),
        ));
    }
    let volume = (serving.spec, serving.status);
    match candidate::place(serving.input, volume, &leaving, evacuate::FIRST, serving.so_far) {
        Ok(place) => {
            let message = format!("{} is emptied: a new copy is built on {}", leaving.node, place.node);
            serving.event("ReplicaJoining", message);
            relocate::join_at(serving, place, Some(leaving.replica), MoveCause::Evacuate);
        }
        Err(unfit) => {
            let whys: Vec<String> = unfit.iter().map(ToString::to_string).collect();
            serving.plan.wake(serving.input.now.plus(timing::RETRY_MAX_MILLIS));
            serving.wait(Reason::blocked(
                "CannotMove",
                format_args!(
                    "the copy on {} stays and is served, there is no room: {}",
                    leaving.node,
                    whys.join("; ")
                ),
                "free space, add a drive, or `uncordon` what is to be emptied",
            ));
        }
    }
}
