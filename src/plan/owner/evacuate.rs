//! Moving copies off a node or a drive that is being emptied. What finds no place is served on, with the reason.

use super::serving::Serving;
use super::{heal, relocate};
use crate::domain::{MoveCause, Reason};
use crate::plan::evacuate;

/// Begins to move a copy, if one is due and this node does not fill enough others just now.
pub(super) fn plan(serving: &mut Serving) {
    let Some(leaving) = evacuate::due(serving.input.world, serving.status).cloned() else { return };
    let node = &leaving.node;
    let queued = Reason::waiting("MoveQueued", format_args!("the copy on {node} moves after others"));
    let no_room = |whys: String| evacuate::cannot_move(node, &whys);
    let Some(place) = heal::find_place(serving, &leaving, evacuate::FIRST, queued, no_room) else { return };
    let message = format!("{node} is emptied: a new copy is built on {}", place.node);
    serving.event("ReplicaJoining", message);
    relocate::join_at(serving, place, Some(leaving.replica), MoveCause::Evacuate);
}
