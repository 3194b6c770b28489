//! What the server has, and how it changes.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::Asked;
use super::schema::{ratcheted, shaped, undeclared};
use crate::store::kube::crd::tests::{refusals, schema};

/// Why something is not done.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) name: Option<String>,
}

impl Refused {
    pub(crate) fn new(code: u16, reason: &str, message: &str) -> Self {
        Self { code, reason: reason.to_owned(), message: message.to_owned(), name: None }
    }

    fn of(code: u16, reason: &str, name: &str, message: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::new(code, reason, message) }
    }
}

/// How a patch is meant.
pub(crate) struct How {
    pub(crate) apply: bool,
    pub(crate) force: bool,
    /// What the definition does not know is refused, not left out.
    pub(crate) strict: bool,
    pub(crate) manager: String,
}

/// Who has fields: a name, and how they came to be his.
type Manager = (String, &'static str);
/// What each says of a status.
type Owned = BTreeMap<Manager, Value>;

/// One change, as a watch shows it.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) plural: String,
    pub(crate) kind: &'static str,
    pub(crate) revision: u64,
    pub(crate) object: Value,
}

/// Everything there is. A clone is a backup.
#[derive(Clone)]
pub(crate) struct Objects {
    schemas: HashMap<String, Value>,
    there: BTreeMap<(String, String), Value>,
    /// What there was when events were forgotten last.
    base: BTreeMap<(String, String), Value>,
    /// What each manager says of a status, by object.
    owned: HashMap<(String, String), Owned>,
    pages: HashMap<String, (Vec<Value>, u64)>,
    pub(crate) events: Vec<Event>,
    /// Events up to here are forgotten.
    pub(crate) floor: u64,
    pub(crate) revision: u64,
    uids: u128,
}

impl Objects {
    pub(crate) fn new() -> Self {
        let kinds = [
            ("volumes", "Volume"),
            ("replicas", "Replica"),
            ("drives", "Drive"),
            ("storagenodes", "StorageNode"),
        ];
        Self {
            schemas: kinds.map(|(plural, kind)| (plural.to_owned(), schema(kind))).into(),
            there: BTreeMap::new(),
            base: BTreeMap::new(),
            owned: HashMap::new(),
            pages: HashMap::new(),
            events: Vec::new(),
            floor: 0,
            revision: 1,
            uids: 0,
        }
    }

    /// The definition of a kind, to be made older.
    pub(crate) fn schema(&mut self, plural: &str) -> &mut Value {
        self.schemas.get_mut(plural).unwrap()
    }

    /// A definition that is not there.
    pub(crate) fn forget_kind(&mut self, plural: &str) {
        self.schemas.remove(plural);
    }

    pub(crate) fn forget_events(&mut self) {
        self.floor = self.revision;
        self.base = self.there.clone();
        self.events.clear();
        self.pages.clear();
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        let of_kind = self.there.iter().filter(|((kind, _), _)| kind == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    fn check_kind(&self, plural: &str) -> Result<(), Refused> {
        let known = ["leases", "events"].contains(&plural) || self.schemas.contains_key(plural);
        if known {
            Ok(())
        } else {
            Err(Refused::new(404, "NotFound", "the server could not find the requested resource"))
        }
    }

    pub(crate) fn get(&self, plural: &str, name: &str) -> Result<Value, Refused> {
        self.check_kind(plural)?;
        let object = self.there.get(&(plural.to_owned(), name.to_owned())).cloned();
        object.ok_or_else(|| Refused::of(404, "NotFound", name, &format!("{plural} {name:?} not found")))
    }

    pub(crate) fn list(&mut self, asked: &Asked) -> Result<Value, Refused> {
        self.check_kind(&asked.plural)?;
        let (mut items, revision) = if let Some(token) = asked.query("continue") {
            let page = self.pages.remove(token);
            page.ok_or_else(|| Refused::new(410, "Expired", "the page is forgotten"))?
        } else {
            let at = asked.exact_revision().unwrap_or(self.revision);
            let then = self.as_of(&asked.plural, at)?;
            (then.into_iter().filter(|object| asked.selects(object)).cloned().collect(), at)
        };
        let limit = asked.query("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let rest = if items.len() > limit { items.split_off(limit) } else { Vec::new() };
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if !rest.is_empty() {
            let token = format!("page-{}", self.pages.len());
            metadata["continue"] = json!(token);
            self.pages.insert(token, (rest, revision));
        }
        Ok(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
    }

    /// The objects of a kind as they were, as far back as events are remembered.
    fn as_of(&self, plural: &str, revision: u64) -> Result<Vec<&Value>, Refused> {
        if revision < self.floor {
            return Err(Refused::new(410, "Expired", "the revision is forgotten"));
        }
        if revision > self.revision {
            return Err(Refused::new(504, "Timeout", "Too large resource version"));
        }
        let base = self.base.iter().filter(|((kind, _), _)| kind == plural);
        let mut then: BTreeMap<&str, &Value> =
            base.map(|((_, name), object)| (name.as_str(), object)).collect();
        let until = |event: &&Event| event.revision <= revision && event.plural == plural;
        for event in self.events.iter().filter(until) {
            let name = event.object["metadata"]["name"].as_str().unwrap_or_default();
            match event.kind {
                "DELETED" => then.remove(name),
                _ => then.insert(name, &event.object),
            };
        }
        Ok(then.into_values().collect())
    }

    pub(crate) fn create(
        &mut self,
        plural: &str,
        mut object: Value,
        manager: &str,
        strict: bool,
    ) -> Result<Value, Refused> {
        self.check_kind(plural)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), name.clone());
        if self.there.contains_key(&key) {
            return Err(Refused::of(
                409,
                "AlreadyExists",
                &name,
                &format!("{plural} {name:?} already exists"),
            ));
        }
        assert!(!manager.is_empty());
        if self.schemas.contains_key(plural) {
            object.as_object_mut().unwrap().remove("status");
        }
        self.uids += 1;
        object["metadata"]["uid"] = json!(uuid::Uuid::from_u128(self.uids));
        object["metadata"]["creationTimestamp"] = json!("2026-11-28T00:00:00Z");
        if strict {
            self.check_declared(plural, &object)?;
        }
        let object = self.checked(plural, &object, None)?;
        Ok(self.store(&key, "ADDED", object))
    }

    /// A field of an object that its definition does not know.
    fn undeclared(&self, plural: &str, object: &Value) -> Option<String> {
        let properties = &self.schemas.get(plural)?["properties"];
        ["spec", "status"].into_iter().find_map(|half| {
            undeclared(&format!(".{half}"), &properties[half], object.get(half).unwrap_or(&Value::Null))
        })
    }

    fn check_declared(&self, plural: &str, object: &Value) -> Result<(), Refused> {
        match self.undeclared(plural, object) {
            None => Ok(()),
            Some(path) => {
                let path = path.trim_start_matches('.');
                let message = format!("strict decoding error: unknown field {path:?}");
                Err(Refused::new(400, "BadRequest", &message))
            }
        }
    }

    /// What is applied has to be declared. It is no client's error to this API server, and nothing is stored.
    fn check_typed(&self, plural: &str, name: &str, patch: &Value) -> Result<(), Refused> {
        let Some(field) = self.undeclared(plural, patch) else { return Ok(()) };
        let message = format!(
            "failed to create typed patch object (/{name}; {}, Kind={}): {field}: field not declared in schema",
            patch["apiVersion"].as_str().unwrap(),
            patch["kind"].as_str().unwrap()
        );
        Err(Refused::new(500, "", &message))
    }

    /// What is stored for an object: held to its schema and its rules.
    fn checked(&self, plural: &str, object: &Value, old: Option<&Value>) -> Result<Value, Refused> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let Some(schema) = self.schemas.get(plural) else { return Ok(object.clone()) };
        let mut stored = object.clone();
        for half in ["spec", "status"] {
            if let Some(value) = object.get(half) {
                let shape = shaped(&schema["properties"][half], value);
                stored[half] =
                    shape.map_err(|why| Refused::of(422, "Invalid", name, &format!("{half}{why}")))?;
            }
        }
        let rules = old.map(|old| ratcheted(schema, &stored, old));
        match refusals(rules.as_ref().unwrap_or(schema), &stored, old).first() {
            Some(why) => Err(Refused::of(422, "Invalid", name, why)),
            None => Ok(stored),
        }
    }

    fn store(&mut self, key: &(String, String), kind: &'static str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        object["metadata"]["managedFields"] = self.managed_fields(key);
        if kind == "DELETED" {
            self.there.remove(key);
            self.owned.remove(key);
        } else {
            self.there.insert(key.clone(), object.clone());
        }
        self.events.push(Event {
            plural: key.0.clone(),
            kind,
            revision: self.revision,
            object: object.clone(),
        });
        object
    }

    pub(crate) fn patch(
        &mut self,
        plural: &str,
        name: &str,
        of_status: bool,
        patch: &Value,
        how: &How,
    ) -> Result<Value, Refused> {
        let old = self.get(plural, name)?;
        check_revision(&old, patch["metadata"]["resourceVersion"].as_str())?;
        let key = (plural.to_owned(), name.to_owned());
        let mut new = old.clone();
        let mut owned = self.owned.get(&key).cloned().unwrap_or_default();
        if how.apply {
            assert!(of_status && how.force, "a status is applied, and by force");
            assert!(patch["metadata"].get("managedFields").is_none());
            self.check_typed(plural, name, patch)?;
            new["status"] = apply(&mut owned, old.get("status"), &patch["status"], &how.manager);
        } else {
            merge(&mut new, patch);
            if how.strict {
                self.check_declared(plural, &new)?;
            }
        }
        let parts: &[&str] = if of_status { &["spec", "metadata"] } else { &["status"] };
        for part in parts {
            keep(&mut new, &old, part);
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        check_finalizers(&old, &new)?;
        let new = self.checked(plural, &new, Some(&old))?;
        if new == old {
            return Ok(old);
        }
        if !how.apply {
            take_fields(&mut owned, &old["status"], &new["status"], &how.manager);
        }
        self.owned.insert(key.clone(), owned);
        let ends = !new["metadata"]["deletionTimestamp"].is_null() && finalizers(&new).is_empty();
        if ends {
            self.store(&key, "DELETED", new.clone());
            return Ok(new);
        }
        Ok(self.store(&key, "MODIFIED", new))
    }

    /// Who has fields of an object's status, as far as that is told.
    fn managed_fields(&self, key: &(String, String)) -> Value {
        let owned = self.owned.get(key).into_iter().flatten();
        let somebody_s =
            owned.filter(|(_, fields)| fields.as_object().is_some_and(|fields| !fields.is_empty()));
        let entry = |((manager, operation), _): (&Manager, &Value)| {
            json!({
                "manager": manager, "operation": operation, "subresource": "status", "fieldsType": "FieldsV1",
                "fieldsV1": { "f:status": {} },
            })
        };
        Value::Array(somebody_s.map(entry).collect())
    }

    pub(crate) fn delete(&mut self, plural: &str, name: &str, options: &Value) -> Result<Value, Refused> {
        let old = self.get(plural, name)?;
        check_revision(&old, options["preconditions"]["resourceVersion"].as_str())?;
        let key = (plural.to_owned(), name.to_owned());
        if finalizers(&old).is_empty() {
            self.store(&key, "DELETED", old);
            return Ok(json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
        }
        if !old["metadata"]["deletionTimestamp"].is_null() {
            return Ok(old);
        }
        let mut new = old;
        new["metadata"]["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
        Ok(self.store(&key, "MODIFIED", new))
    }
}

fn finalizers(object: &Value) -> Vec<Value> {
    object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default()
}

fn check_finalizers(old: &Value, new: &Value) -> Result<(), Refused> {
    let going = !old["metadata"]["deletionTimestamp"].is_null();
    let (before, now) = (finalizers(old), finalizers(new));
    if going && now.iter().any(|finalizer| !before.contains(finalizer)) {
        return Err(Refused::new(
            422,
            "Invalid",
            "no new finalizers can be added if the object is being deleted",
        ));
    }
    Ok(())
}

fn check_revision(object: &Value, expected: Option<&str>) -> Result<(), Refused> {
    if expected.is_none_or(|expected| object["metadata"]["resourceVersion"] == expected) {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refused::of(409, "Conflict", name, "the object has been modified"))
}

fn keep(new: &mut Value, old: &Value, part: &str) {
    match old.get(part) {
        Some(value) => new[part] = value.clone(),
        None => drop(new.as_object_mut().unwrap().remove(part)),
    }
}

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (field, value) in fields {
        if value.is_null() {
            target.remove(field);
        } else {
            merge(target.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

/// What a status is after an apply by force. A manager's fields are what it applied last; others keep theirs, but for those that it changed.
fn apply(owned: &mut Owned, status: Option<&Value>, said: &Value, manager: &str) -> Value {
    let mut status = status.cloned().unwrap_or_else(|| json!({}));
    let me = (manager.to_owned(), "Apply");
    let mut gone = owned.insert(me.clone(), said.clone()).unwrap_or_default();
    subtract(&mut gone, said);
    let changed = other_leaves(said, &status);
    for (_, fields) in owned.iter_mut().filter(|(other, _)| **other != me) {
        subtract(fields, &changed);
        subtract(&mut gone, fields);
    }
    subtract(&mut status, &gone);
    merge(&mut status, said);
    status
}

/// Whoever changes fields by anything but an apply has them, and nobody else has those any more.
fn take_fields(owned: &mut Owned, old: &Value, new: &Value, manager: &str) {
    let (came, went) = (other_leaves(new, old), other_leaves(old, new));
    for fields in owned.values_mut() {
        subtract(fields, &came);
        subtract(fields, &went);
    }
    merge(owned.entry((manager.to_owned(), "Update")).or_insert_with(|| json!({})), &came);
}

/// The leaves of a value that another one does not have, or not as they are.
fn other_leaves(value: &Value, other: &Value) -> Value {
    let empty = serde_json::Map::new();
    let leaves = value.as_object().unwrap_or(&empty).iter().filter_map(|(field, value)| {
        let leaves = match other.get(field) {
            Some(other) if other == value => return None,
            Some(other) if other.is_object() && value.is_object() => other_leaves(value, other),
            _ => value.clone(),
        };
        Some((field.clone(), leaves))
    });
    Value::Object(leaves.collect())
}

/// Takes the leaves of `fields` away.
fn subtract(target: &mut Value, fields: &Value) {
    let (Value::Object(target), Value::Object(fields)) = (target, fields) else { return };
    for (field, value) in fields {
        let nested = value.is_object() && target.get(field).is_some_and(Value::is_object);
        if nested {
            subtract(target.get_mut(field).unwrap(), value);
        }
        let empty = target.get(field).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
        if !nested || empty {
            target.remove(field);
        }
    }
}
