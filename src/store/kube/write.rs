//! Making and changing records.
//!
//! A spec is written by a merge patch that says `null` where the record says nothing, whoever wrote what was there. A status
//! is applied by the server as long as nobody else has a field of it; from then on, and where that is not known, it is patched like a spec: an apply
//! would leave there what somebody else has and what we took from him, and readers would see that beside what is new. Each is one request, and is
//! stored whole or not at all. What an older definition does not know is refused before anything is stored.
//!
//! A node's heartbeat is the exception: a node that cannot say that it lives is taken for dead, and its volumes are taken over, which is worse than
//! anything that a field of a newer version could say. What the definition does not know is left out of it by the API server, which knows what that is.

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Map, Value, json};

use super::failure::Failed;
use super::form;
use super::place::{Half, Place};
use super::told::News;
use super::{KubeStore, MANAGER, names, place, revision, told};
use crate::domain::{Key, Kind, Record, Revision};
use crate::ports::StoreError;

/// How often a write is made anew because the other record of its object was written.
pub(super) const TRIES: usize = 8;

/// The half of an object that a record is.
pub(super) struct Target<'a> {
    pub(super) key: &'a Key,
    pub(super) place: Place,
    pub(super) half: Half,
    pub(super) name: String,
    pub(super) api: Api<DynamicObject>,
}

impl Target<'_> {
    /// Whether it is a node's word that it lives.
    fn is_beat(&self) -> bool {
        self.key.kind == Kind::NodeStatus
    }
}

/// What is written.
struct What<'a> {
    record: &'a Record,
    half: Value,
    /// What it says that was not told before it was written: the watch may show it before it is answered.
    news: Vec<News>,
}

impl KubeStore {
    pub(super) async fn put_record(
        &self,
        key: &Key,
        record: Option<&Record>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let target = self.target(key);
        let now = match record {
            Some(record) => {
                let what = What { record, half: self.half(key, record)?, news: self.news(key, record) };
                match expected {
                    Revision(0) => self.make(&target, &what).await?,
                    _ => self.change(&target, &what, expected).await?,
                }
            }
            None => self.remove(&target, expected).await?,
        };
        self.came_to(now);
        Ok(now)
    }

    /// A record as half of its object. A volume's status has its conditions beside the record, a copy's what its volume makes of it.
    fn half(&self, key: &Key, record: &Record) -> Result<Value, StoreError> {
        let mut half = form::write(key, record)
            .map_err(|error| StoreError::Corrupt { key: key.clone(), why: error.to_string() })?;
        if let Record::VolumeStatus(status) = record {
            let (held, now) = (self.inner.held.of_volume(&key.name), told::now_seconds());
            let conditions = self.inner.told.conditions(&key.name, status, held.as_ref(), &now);
            form::set(&mut half, &["conditions"], conditions);
        }
        if let Record::ReplicaStatus(status) = record {
            form::set(&mut half, &["summary"], json!(self.inner.copies.summary(&key.name, status)));
        }
        Ok(half)
    }

    pub(super) fn target<'a>(&self, key: &'a Key) -> Target<'a> {
        let (place, half) = place::of(key.kind);
        Target { key, place, half, name: names::object(&key.name), api: self.api(place) }
    }

    /// Writes a record that is there. Where its object has another revision than expected it is tried again, as long as the
    /// record itself is what it was.
    async fn change(
        &self,
        target: &Target<'_>,
        what: &What<'_>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let mut at = expected;
        for _ in 0..TRIES {
            let sole = self.inner.known.is_sole(target.key, at);
            match self.patch(target, &what.half, at, sole).await {
                Ok(object) => return self.settle(target, what, &object),
                Err(failed) => at = self.after(target, failed, expected).await?,
            }
        }
        Err(self.never_still())
    }

    /// Where to try again after a write that was not taken; or what it came to.
    pub(super) async fn after(
        &self,
        target: &Target<'_>,
        failed: Failed,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        let conflict = |found| StoreError::Conflict { key: target.key.clone(), expected, found };
        if failed.is_absent(&target.name) {
            return Err(conflict(Revision(0)));
        }
        if !failed.is_conflict() {
            return Err(failed.of_write(&self.inner.name, "put", target.key));
        }
        let Some(object) = self.object("put", target.key).await? else { return Err(conflict(Revision(0))) };
        let now = revision(&object);
        if now < expected {
            self.inner.back.send_replace(());
            return Err(conflict(now));
        }
        let there = self.note(target.key.kind, &object);
        if self.inner.known.is_same(target.key, expected, there.as_ref()) {
            return Ok(now);
        }
        Err(conflict(if there.is_some() { now } else { Revision(0) }))
    }

    /// What a write comes to that is overtaken time and again.
    pub(super) fn never_still(&self) -> StoreError {
        self.said("put", "the object changes all the time")
    }

    /// Writes a half as it is at a revision, of which nobody else has a field if it is `sole`.
    pub(super) async fn patch(
        &self,
        target: &Target<'_>,
        half: &Value,
        at: Revision,
        sole: bool,
    ) -> Result<DynamicObject, Failed> {
        match target.half {
            Half::Spec => self.merge(target, &spec_patch(target, half, at), None).await,
            Half::Status if sole => self.apply(target, half, at).await,
            Half::Status => self.merge(target, &status_patch(half, at), Some(Half::Status)).await,
        }
    }

    async fn apply(&self, target: &Target<'_>, half: &Value, at: Revision) -> Result<DynamicObject, Failed> {
        let (params, status) = (PatchParams::apply(MANAGER).force(), applied(target, half, at));
        match self.ask(target.api.patch_status(&target.name, &params, &Patch::Apply(&status))).await {
            Err(failed) if target.is_beat() && failed.is_undeclared() => {
                tracing::warn!(key = %target.key, ?failed, "what the definition does not know of a heartbeat is left out");
                self.merge(target, &status_patch(half, at), Some(Half::Status)).await
            }
            answer => answer,
        }
    }

    /// A merge patch of the object, or of its status alone.
    pub(super) async fn merge(
        &self,
        target: &Target<'_>,
        patch: &Value,
        part: Option<Half>,
    ) -> Result<DynamicObject, Failed> {
        let strict = Some(ValidationDirective::Strict).filter(|_| !target.is_beat());
        let field_manager = Some(MANAGER.to_owned());
        let params = PatchParams { field_manager, field_validation: strict, ..PatchParams::default() };
        let patch = Patch::Merge(patch);
        match part {
            Some(Half::Status) => self.ask(target.api.patch_status(&target.name, &params, &patch)).await,
            Some(Half::Spec) | None => self.ask(target.api.patch(&target.name, &params, &patch)).await,
        }
    }

    /// Holds what the API server has now against what was written, and tells what is new in it.
    fn settle(
        &self,
        target: &Target<'_>,
        what: &What<'_>,
        object: &DynamicObject,
    ) -> Result<Revision, StoreError> {
        self.note(target.key.kind, object);
        if !is(target.key.kind, object, what.record) {
            let there = object.data.get(target.half.field()).cloned().unwrap_or_default();
            let half = &what.half;
            let wrote = if target.place == Place::Lease { half.get("spec").unwrap_or(half) } else { half };
            return Err(StoreError::Refused { key: target.key.clone(), why: differs(wrote, &there) });
        }
        self.tell_news(what.record, &what.news, object);
        self.written(target.place).send_replace(revision(object));
        Ok(revision(object))
    }

    /// Writes a record that is not there, and makes its object where there is none.
    async fn make(&self, target: &Target<'_>, what: &What<'_>) -> Result<Revision, StoreError> {
        for _ in 0..TRIES {
            let made = match (target.half, target.place.is_its_spec()) {
                (Half::Spec, _) => self.create(target, Some(&what.half)).await?,
                (Half::Status, true) => None,
                (Half::Status, false) => self.create_unless_there(target).await?,
            };
            if let Some(object) = made.as_ref().filter(|_| target.half == Half::Spec) {
                return self.settle(target, what, object);
            }
            let there = match made {
                Some(object) => Some(object),
                None => self.object("put", target.key).await?,
            };
            let Some(object) = there else { return Err(nothing_to_be_status_of(target.key)) };
            if let Some(object) = self.join(target, &what.half, &object).await? {
                return self.settle(target, what, &object);
            }
        }
        Err(self.never_still())
    }

    async fn create_unless_there(&self, target: &Target<'_>) -> Result<Option<DynamicObject>, StoreError> {
        match self.object("put", target.key).await? {
            Some(object) => Ok(Some(object)),
            None => self.create(target, None).await,
        }
    }

    /// Makes the object; `None` where it is there.
    async fn create(
        &self,
        target: &Target<'_>,
        half: Option<&Value>,
    ) -> Result<Option<DynamicObject>, StoreError> {
        let object =
            new_object(target, half).map_err(|why| StoreError::Corrupt { key: target.key.clone(), why })?;
        match self.ask(self.post_strictly(target, &object)).await {
            Ok(object) => Ok(Some(object)),
            Err(failed) if failed.is_there() => Ok(None),
            Err(failed) => Err(failed.of_write(&self.inner.name, "put", target.key)),
        }
    }

    /// What [`Api::create`] does, and refused where the definition does not know a field: that is nothing it can ask for.
    async fn post_strictly(
        &self,
        target: &Target<'_>,
        object: &DynamicObject,
    ) -> kube::Result<DynamicObject> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let request = kube::core::Request::new(target.api.resource_url()).create(&params, body);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        if let Ok(strict) = format!("{}&fieldValidation=Strict", request.uri()).parse() {
            *request.uri_mut() = strict;
        }
        self.inner.client.request(request).await
    }

    /// Writes a record into an object that is there without it. `None` when somebody else wrote the object first.
    async fn join(
        &self,
        target: &Target<'_>,
        half: &Value,
        object: &DynamicObject,
    ) -> Result<Option<DynamicObject>, StoreError> {
        let now = revision(object);
        if form::is_gone(object) {
            return Err(held_by_others(target.key, object));
        }
        if self.note(target.key.kind, object).is_some() {
            return Err(StoreError::Conflict { key: target.key.clone(), expected: Revision(0), found: now });
        }
        let written = match self.adopt(target, object).await {
            Ok(adopted) => {
                let object = adopted.as_ref().unwrap_or(object);
                self.patch(target, half, revision(object), form::is_ours_alone(object)).await
            }
            Err(failed) => Err(failed),
        };
        match written {
            Ok(object) => Ok(Some(object)),
            Err(failed) if failed.is_conflict() || failed.is_absent(&target.name) => Ok(None),
            Err(failed) => Err(failed.of_write(&self.inner.name, "put", target.key)),
        }
    }

    /// From now on an object does not go before its data: it is held, and says by itself who it is.
    async fn adopt(
        &self,
        target: &Target<'_>,
        object: &DynamicObject,
    ) -> Result<Option<DynamicObject>, Failed> {
        let due = target.place.has_data() && (target.half == Half::Spec || target.place.is_its_spec());
        let identity: Map<String, Value> = match target.place {
            Place::Volume => {
                form::adopted(object).into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
            }
            Place::Replica | Place::Drive | Place::Node | Place::Lease => Map::new(),
        };
        if !due || form::is_held(object) && identity.is_empty() {
            return Ok(None);
        }
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        if !form::is_held(object) {
            finalizers.push(form::FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": held_by(&finalizers, revision(object)), "spec": identity });
        self.merge(target, &patch, None).await.map(Some)
    }
}

/// That a write is for this revision only, and who holds the object afterwards.
pub(super) fn held_by(finalizers: &[String], revision: Revision) -> Value {
    json!({ "resourceVersion": revision.0.to_string(), "finalizers": finalizers })
}

/// That a write is for this revision only.
pub(super) fn at(revision: Revision) -> Value {
    json!({ "resourceVersion": revision.0.to_string() })
}

/// Whether what is there is what was written. A heartbeat is there when its time is: what an older definition does not know was left out.
fn is(kind: Kind, object: &DynamicObject, record: &Record) -> bool {
    match (form::read(kind, object), record) {
        (Some(Ok(Record::NodeStatus(there))), Record::NodeStatus(wrote)) => {
            there.heartbeat_at == wrote.heartbeat_at
        }
        (Some(Ok(there)), wrote) => there == *wrote,
        (Some(Err(_)) | None, _) => false,
    }
}

fn status_patch(half: &Value, revision: Revision) -> Value {
    json!({ "metadata": at(revision), "status": half })
}

/// What a spec's patch says. A lease says its label and its figures beside its spec, and when it was renewed.
fn spec_patch(target: &Target<'_>, half: &Value, revision: Revision) -> Value {
    let mut patch = if target.place == Place::Lease { lease_now(half) } else { json!({ "spec": half }) };
    form::set(&mut patch, &["metadata", "resourceVersion"], json!(revision.0.to_string()));
    patch
}

fn lease_now(half: &Value) -> Value {
    let mut lease = half.clone();
    form::set(&mut lease, &["spec", "renewTime"], json!(told::now_micros()));
    lease
}

/// What a status is applied as: only what it says.
fn applied(target: &Target<'_>, half: &Value, revision: Revision) -> Value {
    let resource = target.place.resource();
    json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": { "name": target.name, "resourceVersion": revision.0.to_string() },
        "status": form::without_nulls(half.clone()),
    })
}

fn new_object(target: &Target<'_>, half: Option<&Value>) -> Result<DynamicObject, String> {
    let resource = target.place.resource();
    let mut object = match (target.place, half) {
        (Place::Lease, Some(half)) => lease_now(half),
        (_, Some(half)) => json!({ "spec": form::without_nulls(half.clone()) }),
        (_, None) => json!({ "spec": {} }),
    };
    let mut say = |path: &[&str], said: Value| form::set(&mut object, path, said);
    say(&["apiVersion"], json!(resource.api_version));
    say(&["kind"], json!(resource.kind));
    say(&["metadata", "name"], json!(target.name));
    if let Some(name) = names::annotation(&target.key.name) {
        say(&["metadata", "annotations", names::NAME], json!(name));
    }
    if half.is_some() && target.place.has_data() {
        say(&["metadata", "finalizers"], json!([form::FINALIZER]));
    }
    serde_json::from_value(object).map_err(|error| error.to_string())
}

fn nothing_to_be_status_of(key: &Key) -> StoreError {
    StoreError::Refused { key: key.clone(), why: "there is no object whose status it could be".to_owned() }
}

fn held_by_others(key: &Key, object: &DynamicObject) -> StoreError {
    let holders = object.metadata.finalizers.clone().unwrap_or_default().join(", ");
    let why =
        format!("an object of that name is being deleted and is held by {holders}; that has to let go first");
    StoreError::Refused { key: key.clone(), why }
}

/// The first field in which what is there is not what was written.
fn differs(wrote: &Value, there: &Value) -> String {
    let path = first_difference(wrote, there, "").unwrap_or_default();
    format!(
        "the API server did not keep {path} as it was written; are the definitions of deploy/crds this version's, and does \
         nobody change what is written?"
    )
}

fn first_difference(wrote: &Value, there: &Value, path: &str) -> Option<String> {
    if let (Value::Object(wrote), Value::Object(there)) = (wrote, there) {
        return wrote.iter().find_map(|(field, value)| {
            let found = there.get(field).unwrap_or(&Value::Null);
            first_difference(value, found, &format!("{path}.{field}"))
        });
    }
    let said = |value: &Value| form::without_nulls(value.clone());
    (said(wrote) != said(there)).then(|| path.to_owned())
}
