//! The custom resources, group `mdfabric.io`: made of the domain's types, so that a field is described once.
//!
//! ```text
//! Volume       mdvol     what a user asks for / what its owner made of it
//! Replica      mdrep     what a provider shall do / what it did
//! Drive        mddrive   what an admin decided / what the node sees
//! StorageNode  mdnode    what an admin decided / what the node says of itself
//! ```
//!
//! Guarantees: whatever can be judged from one object and the one before is refused by the API server, with the reason. A rule about a spec stands on
//! the spec: the API server does not hold it against one that stays as it is, so that a status can be recorded whatever a later definition thinks of
//! the spec. Rules about a status stand on the object, whose status must not be taken away. Every text and list has an end, which the API
//! server needs to know what a rule can cost. `deploy/crds/` has them as YAML; a test keeps it so. The store itself reads and writes plain JSON ([`super::form`]): these types are what that JSON is held to.

mod drive;
mod node;
mod replica;
mod volume;

pub use drive::Drive;
pub use node::StorageNode;
pub use replica::Replica;
pub use volume::Volume;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::store::codec::MAX_RECORD_BYTES;

/// The API group.
pub const GROUP: &str = "mdfabric.io";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// The most elements of a list that says nothing else: far more than any record has.
const MAX_ITEMS: usize = 1024;
/// Characters of a UUID.
const UUID_CHARS: usize = 36;

/// What the API server has to be told, as JSON: each a `CustomResourceDefinition`.
pub fn definitions() -> Result<Vec<Value>, serde_json::Error> {
    [Volume::crd(), Replica::crd(), Drive::crd(), StorageNode::crd()].iter().map(definition).collect()
}

fn definition(generated: &CustomResourceDefinition) -> Result<Value, serde_json::Error> {
    let mut definition = serde_json::to_value(generated)?;
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    if let Some(schema) = definition.pointer_mut(schema) {
        if let Some(status) = schema.pointer_mut("/properties/status") {
            undefault(status);
        }
        bound(schema);
    }
    Ok(definition)
}

/// A status is written whole: what its writer left out shall not come from elsewhere.
fn undefault(schema: &mut Value) {
    each_object(schema, &mut |object| {
        object.remove("default");
    });
}

/// Gives every text and list an end, and every number a format that Kubernetes knows. What is `null` is not kept, so that a
/// rule need not tell it from what is not there.
fn bound(schema: &mut Value) {
    each_object(schema, &mut |object| {
        object.remove("nullable");
        match object.get("type").and_then(Value::as_str) {
            Some("string") if !object.contains_key("enum") => bound_text(object),
            Some("array") => {
                object.entry("maxItems").or_insert(json!(MAX_ITEMS));
                object.entry("x-kubernetes-list-type").or_insert(json!("atomic"));
            }
            Some("integer") => bound_number(object),
            _ => {}
        }
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
    });
}

fn bound_text(object: &mut Map<String, Value>) {
    let is_uuid = object.get("format").and_then(Value::as_str) == Some("uuid");
    let longest = if is_uuid { UUID_CHARS } else { MAX_RECORD_BYTES };
    object.entry("maxLength").or_insert(json!(longest));
}

/// The API server counts to the largest `int64` and calls no number unsigned.
fn bound_number(object: &mut Map<String, Value>) {
    let format = object.get("format").and_then(Value::as_str).unwrap_or_default().to_owned();
    let narrow = ["uint8", "uint16"].contains(&format.as_str());
    object.insert("format".to_owned(), json!(if narrow { "int32" } else { "int64" }));
    if format == "uint32" {
        object.entry("maximum").or_insert(json!(u32::MAX));
    }
}

/// Every schema within a schema. Names of properties are none.
pub(super) fn each_object(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(object) = schema.as_object_mut() else { return };
    change(object);
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(|property| each_object(property, change));
    }
    if let Some(items) = object.get_mut("items") {
        each_object(items, change);
    }
}

#[cfg(test)]
pub(in crate::store) mod tests;
