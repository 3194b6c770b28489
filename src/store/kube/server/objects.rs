//! What the server has, and how it changes.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::Asked;
use super::schema::shaped;
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
    pub(crate) manager: String,
}

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
    owned: HashMap<(String, String), BTreeMap<String, Value>>,
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
        let object = self.checked(plural, &object, None)?;
        Ok(self.store(&key, "ADDED", object))
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
        match refusals(schema, &stored, old).first() {
            Some(why) => Err(Refused::of(422, "Invalid", name, why)),
            None => Ok(stored),
        }
    }

    fn store(&mut self, key: &(String, String), kind: &'static str, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
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
        if how.apply {
            assert!(of_status && how.force, "a status is applied, and by force");
            assert!(patch["metadata"].get("managedFields").is_none());
            self.apply(&key, &mut new, &patch["status"], &how.manager);
        } else {
            merge(&mut new, patch);
            if of_status {
                self.take_fields(&key, patch.get("status").unwrap_or(&Value::Null), &how.manager);
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
        let ends = !new["metadata"]["deletionTimestamp"].is_null() && finalizers(&new).is_empty();
        if ends {
            self.store(&key, "DELETED", new.clone());
            return Ok(new);
        }
        Ok(self.store(&key, "MODIFIED", new))
    }

    /// A manager's fields are what it said last; those of others stay.
    fn apply(&mut self, key: &(String, String), object: &mut Value, said: &Value, manager: &str) {
        let owned = self.owned.entry(key.clone()).or_default();
        let before = owned.insert(manager.to_owned(), said.clone()).unwrap_or_default();
        let mut gone = before;
        subtract(&mut gone, said);
        for (_, other) in owned.iter().filter(|(other, _)| *other != manager) {
            subtract(&mut gone, other);
        }
        let mut status = object.get("status").cloned().unwrap_or_else(|| json!({}));
        subtract(&mut status, &gone);
        merge(&mut status, said);
        object["status"] = status;
    }

    /// Whoever writes fields has them, and nobody else has those that go.
    fn take_fields(&mut self, key: &(String, String), said: &Value, manager: &str) {
        let owned = self.owned.entry(key.clone()).or_default();
        for (other, fields) in owned.iter_mut().filter(|(other, _)| *other != manager) {
            assert!(!other.is_empty());
            subtract(fields, said);
        }
        merge(owned.entry(manager.to_owned()).or_insert_with(|| json!({})), said);
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
