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
        Place::Volume if speaker(&object.data) == Some(me.as_str()) && !is_asked_for(&object.data) => {
            Some(Reason::warning(
                CODE,
                "deleting the object says nothing of the data: the volume stays, and can be used",
                "`mdfabric volume rm`, or `deleting: true` in its spec, gives up the data once it is attached nowhere",
            ))
        }
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

/// Whose daemon speaks for a volume: where it is attached, else where its first copy is.
fn speaker(volume: &Value) -> Option<&str> {
    let places = ["/spec/attachment/node", "/status/members/0/node"];
    places.iter().find_map(|place| volume.pointer(place)).and_then(Value::as_str)
}

fn is_asked_for(volume: &Value) -> bool {
    volume.pointer("/spec/deleting") == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff;
    use serde_json::json;

    use super::*;

    fn told_by(node: &str, data: &Value) -> bool {
        let mut object = DynamicObject::new("v", &Place::Volume.resource());
        object.metadata.finalizers = Some(vec![form::FINALIZER.to_owned()]);
        object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        object.data = data.clone();
        why(&node.parse().unwrap(), Place::Volume, &object).is_some()
    }

    #[test]
    fn of_a_volume_that_stays_one_daemon_speaks() {
        let status = json!({ "members": [{ "node": "n2" }, { "node": "n1" }] });
        let detached = json!({ "spec": { "deleting": false, "attachment": null }, "status": status });
        assert_eq!(["n1", "n2"].map(|node| told_by(node, &detached)), [false, true]);
        let attached = json!({ "spec": { "attachment": { "node": "n1" } }, "status": status });
        assert_eq!(["n1", "n2"].map(|node| told_by(node, &attached)), [true, false]);
        let asked_for = json!({ "spec": { "deleting": true }, "status": status });
        assert_eq!(["n1", "n2"].map(|node| told_by(node, &asked_for)), [false, false]);
    }
}
