//! A word for whoever deletes an object that is held until its data is gone, and now waits.

use kube::api::DynamicObject;
use serde_json::Value;

use super::form;
use super::place::Place;
use crate::domain::{NodeName, Reason};

const CODE: &str = "DeletionWaits";

/// Why an object that was deleted is there still, if that is for the daemon of `me` to say. One that mdfabric itself deletes is not waited for.
pub(super) fn why(me: &NodeName, place: Place, object: &DynamicObject) -> Option<Reason> {
    object.metadata.deletion_timestamp.as_ref().filter(|_| form::is_held(object))?;
    let says = |pointer: &str, text: &str| object.data.pointer(pointer).and_then(Value::as_str) == Some(text);
    match place {
        Place::Volume if says("/spec/attachment/node", me.as_str()) => Some(Reason::waiting(
            CODE,
            format_args!("it is attached on {me} and goes, with its data, once it is detached"),
        )),
        Place::Replica if says("/spec/node", me.as_str()) && says("/spec/wanted", "Present") => {
            Some(Reason::warning(
                CODE,
                "its volume has this copy still, so its data stays",
                "edit the placement or the number of copies of the volume, or delete that",
            ))
        }
        Place::Drive if says("/spec/node", me.as_str()) => Some(Reason::warning(
            CODE,
            "it was added, so it stays in use",
            "`mdfabric drive evict` and `mdfabric drive remove` give it back",
        )),
        Place::Volume | Place::Replica | Place::Drive | Place::Node | Place::Lease => None,
    }
}
