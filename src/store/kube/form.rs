//! A record as half of an object, and an object as records.
//!
//! ```text
//! Volume, Replica         spec: there as long as the object    status: there as soon as it was written
//! Drive, StorageNode      spec: where an admin decided         status: where the node said something
//! Lease                   the whole object, if it has our label and somebody holds it
//! ```
//!
//! An object that is being deleted and that nothing of ours holds any more is gone already, whoever else still holds it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::place::{Half, Place};
use super::summary::{DriveSummary, VolumeSummary};
use super::{MANAGER, names};
use crate::domain::{Bytes, Key, Kind, Lease, Record, Timestamp};
use crate::store::codec;

/// Holds an object until its data is gone.
pub(super) const FINALIZER: &str = "mdfabric.io/data";
/// What a lease of ours is found by.
pub(super) const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "mdfabric");
/// How often a lease was renewed; `leaseTransitions` counts something else.
const RENEWALS: &str = "mdfabric.io/renewals";
/// A lease's term to the millisecond; `leaseDurationSeconds` cannot say it.
const TERM: &str = "mdfabric.io/term-millis";

/// A record that cannot be a part of an object. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    /// Not even the other stores take it.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
    /// The record is about something else than its key.
    #[error("it is about {found:?}")]
    OtherName {
        /// What it is about.
        found: String,
    },
    /// The API server counts to the largest `int64`.
    #[error("{path} is {value}, more than a number of Kubernetes can be")]
    TooLarge {
        /// Where.
        path: String,
        /// What.
        value: u64,
    },
    /// A record that has no JSON.
    #[error("it cannot be written as JSON: {why}")]
    Json {
        /// Why not.
        why: String,
    },
}

impl From<serde_json::Error> for FormError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json { why: error.to_string() }
    }
}

/// The half of an object that a record is, with `null` for whatever it does not say: as part of a merge patch it takes away
/// what is there.
pub(super) fn write(key: &Key, record: &Record) -> Result<Value, FormError> {
    codec::encode(key, record)?;
    if let Some(found) = name_in(record).filter(|name| *name != key.name) {
        return Err(FormError::OtherName { found });
    }
    let half = match record {
        Record::VolumeSpec(spec) => with(json(spec)?, "size", json!(quantity(spec.size))),
        Record::VolumeStatus(status) => with(json(status)?, "summary", json(&VolumeSummary::from(status))?),
        Record::ReplicaSpec(spec) => json(spec)?,
        Record::ReplicaStatus(status) => json(status)?,
        Record::DriveSpec(spec) => json(spec)?,
        Record::DriveStatus(status) => with(json(status)?, "summary", json(&DriveSummary::from(status))?),
        Record::NodeSpec(spec) => json(spec)?,
        Record::NodeStatus(status) => json(status)?,
        Record::Lease(lease) => return Ok(write_lease(lease)),
    };
    let half = plain_lists(without(half, named_by(key.kind)));
    check_numbers("", &half)?;
    Ok(half)
}

fn json(value: &impl serde::Serialize) -> Result<Value, FormError> {
    Ok(serde_json::to_value(value)?)
}

fn with(mut half: Value, field: &str, value: Value) -> Value {
    set(&mut half, &[field], value);
    half
}

/// Says something in a part of an object; parts that are not there are made.
pub(super) fn set(object: &mut Value, path: &[&str], said: Value) {
    let mut part = object;
    for field in path {
        let Value::Object(fields) = part else { return };
        part = fields.entry(*field).or_insert_with(|| json!({}));
    }
    *part = said;
}

fn without(mut half: Value, field: &str) -> Value {
    if let Value::Object(fields) = &mut half {
        fields.remove(field);
    }
    half
}

/// What a record says its key is.
fn name_in(record: &Record) -> Option<String> {
    match record {
        Record::VolumeSpec(spec) => Some(spec.name.to_string()),
        Record::ReplicaSpec(spec) => Some(spec.id.to_string()),
        Record::DriveSpec(spec) => Some(spec.id.to_string()),
        Record::VolumeStatus(_)
        | Record::ReplicaStatus(_)
        | Record::DriveStatus(_)
        | Record::NodeSpec(_)
        | Record::NodeStatus(_)
        | Record::Lease(_) => None,
    }
}

/// The field that says what the object's name says already. A drive's id need not be the name of any object.
const fn named_by(kind: Kind) -> &'static str {
    match kind {
        Kind::VolumeSpec => "name",
        Kind::ReplicaSpec => "id",
        Kind::VolumeStatus
        | Kind::ReplicaStatus
        | Kind::DriveSpec
        | Kind::DriveStatus
        | Kind::NodeSpec
        | Kind::NodeStatus
        | Kind::Lease => "",
    }
}

fn check_numbers(path: &str, value: &Value) -> Result<(), FormError> {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            Err(FormError::TooLarge { path: path.to_owned(), value: number.as_u64().unwrap_or_default() })
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(field, value)| check_numbers(&format!("{path}.{field}"), value))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_numbers(path, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// What a lease's object has beside its name.
fn write_lease(lease: &Lease) -> Value {
    let seconds = lease.term_millis.div_ceil(1000).clamp(1, i32::MAX.unsigned_abs().into());
    let (label, value) = LABEL;
    json!({
        "metadata": {
            "labels": { label: value },
            "annotations": { RENEWALS: lease.renewals.to_string(), TERM: lease.term_millis.to_string() },
        },
        "spec": { "holderIdentity": lease.holder, "leaseDurationSeconds": seconds },
    })
}

/// A merge patch replaces a list as it stands: `null` within it takes nothing away, and would be kept.
fn plain_lists(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(field, value)| (field, plain_lists(value))).collect()
        }
        list @ Value::Array(_) => without_nulls(list),
        other => other,
    }
}

/// What is left of a half when nothing is asked to go.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(field, value)| (field, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The record of `kind` that an object has, if it has one; or why it cannot be read.
pub(super) fn read(kind: Kind, object: &DynamicObject) -> Option<Result<Record, String>> {
    if is_gone(object) {
        return None;
    }
    let record = match kind {
        Kind::Lease => return read_lease(object),
        Kind::VolumeSpec => volume_spec(object),
        Kind::ReplicaSpec => named(half(object, Half::Spec)?, "id", object),
        Kind::DriveSpec => drive_spec(half(object, Half::Spec)?)?,
        Kind::NodeSpec => node_spec(half(object, Half::Spec)?)?,
        Kind::VolumeStatus | Kind::ReplicaStatus | Kind::DriveStatus | Kind::NodeStatus => {
            half(object, Half::Status)?.clone()
        }
    };
    Some(
        names::of(object).and_then(|_| parse(kind, Value::Object(record)).map_err(|error| error.to_string())),
    )
}

/// Whether nothing of ours holds an object that is being deleted.
pub(super) fn is_gone(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some() && !is_held(object)
}

/// Whether an object is held until its data is gone.
pub(super) fn is_held(object: &DynamicObject) -> bool {
    object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Whether nobody has a field of an object's status but us, by applying it: what the next one does not say is taken away then.
/// What somebody edited stays his, and what we took from him by a patch is ours by that too.
pub(super) fn is_ours_alone(object: &DynamicObject) -> bool {
    let entries = object.metadata.managed_fields.iter().flatten();
    let of_status = entries.filter(|entry| {
        let names_it = |fields: &FieldsV1| fields.0.get("f:status").is_some();
        entry.subresource.as_deref() == Some("status") || entry.fields_v1.as_ref().is_some_and(names_it)
    });
    let mut others = of_status.map(|entry| {
        entry.manager.as_deref() != Some(MANAGER) || entry.operation.as_deref() != Some("Apply")
    });
    half(object, Half::Status).is_none() || others.next() == Some(false) && others.next().is_none()
}

/// The fields of a half, where there are any.
pub(super) fn half(object: &DynamicObject, half: Half) -> Option<&Map<String, Value>> {
    object.data.get(half.field()).and_then(Value::as_object)
}

fn parse(kind: Kind, record: Value) -> Result<Record, serde_json::Error> {
    use serde_json::from_value;
    Ok(match kind {
        Kind::VolumeSpec => Record::VolumeSpec(from_value(record)?),
        Kind::VolumeStatus => Record::VolumeStatus(from_value(record)?),
        Kind::ReplicaSpec => Record::ReplicaSpec(from_value(record)?),
        Kind::ReplicaStatus => Record::ReplicaStatus(from_value(record)?),
        Kind::DriveSpec => Record::DriveSpec(from_value(record)?),
        Kind::DriveStatus => Record::DriveStatus(from_value(record)?),
        Kind::NodeSpec => Record::NodeSpec(from_value(record)?),
        Kind::NodeStatus => Record::NodeStatus(from_value(record)?),
        Kind::Lease => Record::Lease(from_value(record)?),
    })
}

/// A spec with the object's name in it.
fn named(spec: &Map<String, Value>, field: &str, object: &DynamicObject) -> Map<String, Value> {
    let mut spec = spec.clone();
    spec.insert(field.to_owned(), json!(names::of(object).unwrap_or_default()));
    spec
}

/// That its object was deleted says nothing of a volume's data: who deletes a definition deletes all its objects, past every admission, and does not mean
/// them (apiextensions-apiserver, `CRDFinalizer::deleteInstances`). Data goes where `deleting` says so, and only there. A volume that was made by hand
/// is known by its object.
fn volume_spec(object: &DynamicObject) -> Map<String, Value> {
    let none = Map::new();
    let mut spec = named(half(object, Half::Spec).unwrap_or(&none), "name", object);
    if let Some(size) = spec.get("size").and_then(Value::as_str).and_then(bytes) {
        spec.insert("size".to_owned(), json!(size));
    }
    let given = adopted(object);
    spec.extend(given.into_iter().map(|(field, value)| (field.to_owned(), value)));
    spec
}

/// The identity of a volume whose spec does not say it.
pub(super) fn adopted(object: &DynamicObject) -> Vec<(&'static str, Value)> {
    let meta = &object.metadata;
    let says = |field: &str| {
        half(object, Half::Spec).and_then(|spec| spec.get(field)).is_some_and(|value| !value.is_null())
    };
    let uid = meta.uid.as_ref().map(|uid| ("uid", json!(uid)));
    let made = meta.creation_timestamp.as_ref().map(|time| time.0.as_millisecond());
    let made = made
        .and_then(|millis| u64::try_from(millis).ok())
        .map(|millis| ("createdAt", json!(Timestamp(millis))));
    uid.into_iter().chain(made).filter(|(field, _)| !says(field)).collect()
}

fn is_set(spec: &Map<String, Value>, field: &str) -> bool {
    spec.get(field).is_some_and(|value| !value.is_null())
}

/// What somebody's editor left out is not so.
fn filled(spec: &Map<String, Value>, missing: &[(&str, Value)]) -> Map<String, Value> {
    let mut spec = spec.clone();
    for (field, value) in missing {
        if !is_set(&spec, field) {
            spec.insert((*field).to_owned(), value.clone());
        }
    }
    spec
}

/// A drive that was added has the GUID of its table.
fn drive_spec(spec: &Map<String, Value>) -> Option<Map<String, Value>> {
    let no = ["wipe", "cordoned", "evicting", "removing"].map(|field| (field, json!(false)));
    let missing: Vec<_> = no.into_iter().chain([("addedAt", json!(0))]).collect();
    is_set(spec, "diskGuid").then(|| filled(spec, &missing))
}

fn node_spec(spec: &Map<String, Value>) -> Option<Map<String, Value>> {
    let fields = ["cordoned", "draining"];
    let decided = fields.iter().any(|field| is_set(spec, field));
    decided.then(|| filled(spec, &fields.map(|field| (field, json!(false)))))
}

/// A lease without our label, or one that nobody holds, is none.
fn read_lease(object: &DynamicObject) -> Option<Result<Record, String>> {
    let (label, value) = LABEL;
    object.metadata.labels.as_ref()?.get(label).filter(|found| *found == value)?;
    let spec = half(object, Half::Spec)?;
    let holder = spec.get("holderIdentity").and_then(Value::as_str).filter(|holder| !holder.is_empty())?;
    let seconds = spec.get("leaseDurationSeconds").and_then(Value::as_u64).unwrap_or(1);
    let lease = || -> Result<Record, String> {
        names::of(object)?;
        let holder = holder.parse().map_err(|error| format!("holderIdentity: {error}"))?;
        let renewals = annotation(object, RENEWALS)?.unwrap_or(0);
        let term_millis = annotation(object, TERM)?.unwrap_or(seconds.saturating_mul(1000));
        Ok(Record::Lease(Lease { holder, renewals, term_millis }))
    };
    Some(lease())
}

fn annotation(object: &DynamicObject, name: &str) -> Result<Option<u64>, String> {
    let text = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(name));
    text.map(|text| text.parse().map_err(|_| format!("annotation {name} is {text:?}, not a number")))
        .transpose()
}

/// A size as Kubernetes writes it: the largest binary unit that it is a multiple of.
pub(super) fn quantity(Bytes(bytes): Bytes) -> String {
    let units = [("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = units.into_iter().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    fits.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// The size that [`quantity`] wrote, or somebody by hand.
fn bytes(text: &str) -> Option<Bytes> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        "Pi" => 50,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes)
}

/// The key of the record that is `kind`'s half of an object; its own spelling where that is none of ours.
pub(super) fn key(kind: Kind, object: &DynamicObject) -> Key {
    Key { kind, name: names::of(object).unwrap_or_else(|_| names::claimed(object)) }
}

/// Where the records of an object are.
pub(super) fn kinds(place: Place) -> &'static [Kind] {
    match place {
        Place::Volume => &[Kind::VolumeSpec, Kind::VolumeStatus],
        Place::Replica => &[Kind::ReplicaSpec, Kind::ReplicaStatus],
        Place::Drive => &[Kind::DriveSpec, Kind::DriveStatus],
        Place::Node => &[Kind::NodeSpec, Kind::NodeStatus],
        Place::Lease => &[Kind::Lease],
    }
}

#[cfg(test)]
mod tests;
