//! What a volume's status says, told as Kubernetes tells things: conditions in its status, and events.
//!
//! Both have the words of the record. An event is named after what it says, so that one which is told twice is one; no event is
//! waited for, and one that cannot be told is logged.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use uuid::Uuid;

use super::place::Place;
use super::{KubeStore, summary};
use crate::domain::{Key, Reason, Record, Severity, Timestamp, VolumeStatus};

/// Who tells.
const CONTROLLER: &str = "mdfabric.io/daemon";
/// Where events about what is in no namespace are.
const NAMESPACE: &str = "default";
/// The longest note of an event, bytes (`validation.NoteLengthLimit`, pkg/apis/core).
const LONGEST_NOTE: usize = 1024;
/// The condition that every volume has: each of its copies holds every write.
const WHOLE: &str = "Whole";

/// What was told of each volume, by whomever.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<String, Last>>);

#[derive(Default, Clone)]
struct Last {
    /// Of the newest event.
    at: Timestamp,
    /// Reasons that stood.
    codes: BTreeSet<String>,
    /// Conditions by type: status and since when.
    conditions: HashMap<String, (String, String)>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A volume went, and what was told of it.
    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Everything there is was listed: what was told of other volumes is of no use any more.
    pub(super) fn keep(&self, volumes: &HashSet<&str>) {
        self.lock().retain(|name, _| volumes.contains(name.as_str()));
    }

    /// A status as the API server has it: whatever it says was told.
    pub(super) fn note(&self, name: &str, status: &VolumeStatus, object: &DynamicObject) {
        let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
        let since = conditions.into_iter().flatten().filter_map(|condition| {
            let text = |field: &str| condition.get(field)?.as_str().map(str::to_owned);
            Some((text("type")?, (text("status")?, text("lastTransitionTime")?)))
        });
        let last = Last {
            at: newest(status),
            codes: status.reasons.iter().map(|reason| reason.code.clone()).collect(),
            conditions: since.collect(),
        };
        self.lock().insert(name.to_owned(), last);
    }

    fn last(&self, name: &str) -> Last {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// The conditions of a status that is to be written, and of an object that may be `held`. One that stands keeps the time since when.
    pub(super) fn conditions(
        &self,
        name: &str,
        status: &VolumeStatus,
        held: Option<&Reason>,
        now: &str,
    ) -> Value {
        let last = self.last(name);
        let whole = whole(status);
        let reasons = status
            .reasons
            .iter()
            .chain(held)
            .map(|reason| (reason.code.as_str(), "True", reason.code.as_str(), reason.to_string()));
        let all = std::iter::once((WHOLE, whole.0, whole.1, whole.2)).chain(reasons);
        let mut types = BTreeSet::new();
        let conditions = all.filter(|(kind, ..)| types.insert((*kind).to_owned())).map(|(kind, stands, reason, message)| {
            let before = last.conditions.get(kind).filter(|(before, _)| before == stands);
            let since = before.map_or(now, |(_, since)| since.as_str());
            json!({ "type": kind, "status": stands, "reason": reason, "message": message, "lastTransitionTime": since })
        });
        Value::Array(conditions.collect())
    }

    /// What a status says that was not told: events, and reasons that stand now.
    fn news(&self, name: &str, status: &VolumeStatus) -> Vec<News> {
        let last = self.last(name);
        let events = status.events.iter().filter(|event| event.at > last.at).map(|event| News {
            kind: "Normal",
            reason: event.reason.clone(),
            note: event.message.clone(),
            at: event.at,
        });
        let newest = newest(status);
        let reasons = status.reasons.iter().filter(|reason| !last.codes.contains(&reason.code));
        events.chain(reasons.map(|reason| News::of(reason, newest))).collect()
    }
}

fn newest(status: &VolumeStatus) -> Timestamp {
    status.events.iter().map(|event| event.at).max().unwrap_or_default()
}

/// Whether every copy holds every write: status, reason and message.
fn whole(status: &VolumeStatus) -> (&'static str, &str, String) {
    let wanted = summary::wanted(status);
    let (there, phase) = (status.in_sync.len(), status.phase);
    let message = format!("{there} of {wanted} copies hold every write; {phase}");
    match status.reasons.first() {
        _ if status.created && there >= wanted => ("True", "InSync", message),
        Some(reason) => ("False", &reason.code, message),
        None => ("False", "NotInSync", message),
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    kind: &'static str,
    reason: String,
    note: String,
    at: Timestamp,
}

impl News {
    fn of(reason: &Reason, at: Timestamp) -> Self {
        let kind = match reason.severity {
            Severity::Waiting => "Normal",
            Severity::Warning | Severity::Blocked => "Warning",
        };
        Self { kind, reason: reason.code.clone(), note: reason.to_string(), at }
    }

    /// The event's object. Its name is a function of what it says of whom.
    fn object(&self, place: Place, about: &DynamicObject, teller: &str, now: &str) -> Value {
        let meta = &about.metadata;
        let (name, uid) = (meta.name.clone().unwrap_or_default(), meta.uid.clone().unwrap_or_default());
        let says = format!("{uid} {} {} {}", self.at.0, self.reason, self.note);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, says.as_bytes()).simple();
        let resource = place.resource();
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": format!("{name}.{id}"), "namespace": NAMESPACE },
            "eventTime": now, "type": self.kind, "reason": self.reason, "note": cut(&self.note), "action": "Record",
            "reportingController": CONTROLLER, "reportingInstance": teller,
            "regarding": {
                "apiVersion": resource.api_version, "kind": resource.kind, "name": name, "uid": uid,
                "resourceVersion": meta.resource_version,
            },
        })
    }
}

/// As much of a text as an event can say.
fn cut(text: &str) -> &str {
    let end = (0..=LONGEST_NOTE.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Now, as Kubernetes writes it to the microsecond.
pub(super) fn now_micros() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}

/// Now, as Kubernetes writes it to the second.
pub(super) fn now_seconds() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

impl KubeStore {
    /// What a record says that was not told yet.
    pub(super) fn news(&self, key: &Key, record: &Record) -> Vec<News> {
        let Record::VolumeStatus(status) = record else { return Vec::new() };
        self.inner.told.news(&key.name, status)
    }

    /// Tells the news of a volume's status that was written here.
    pub(super) fn tell_news(&self, record: &Record, news: &[News], object: &DynamicObject) {
        let Record::VolumeStatus(status) = record else { return };
        let teller = status.owner.as_ref().map_or_else(|| "controller".to_owned(), ToString::to_string);
        let now = now_micros();
        let events: Vec<Value> =
            news.iter().map(|news| news.object(Place::Volume, object, &teller, &now)).collect();
        if !events.is_empty() {
            let store = self.clone();
            tokio::spawn(async move {
                for event in events {
                    store.post(event).await;
                }
            });
        }
    }

    /// Tells whoever deleted an object why it is there still, once.
    pub(super) fn tell_held(&self, key: &Key, reason: &Reason) {
        let Some((place, object)) = self.inner.held.tell(key, reason) else { return };
        let deleted = object.metadata.deletion_timestamp.as_ref().map(|time| time.0.as_millisecond());
        let at = deleted.and_then(|millis| u64::try_from(millis).ok()).map(Timestamp).unwrap_or_default();
        let event = News::of(reason, at).object(place, &object, self.inner.me.as_str(), &now_micros());
        let store = self.clone();
        tokio::spawn(async move { store.post(event).await });
    }

    async fn post(&self, event: Value) {
        let resource = ApiResource {
            group: "events.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "events.k8s.io/v1".to_owned(),
            kind: "Event".to_owned(),
            plural: "events".to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.inner.client.clone(), NAMESPACE, &resource);
        let Ok(event) = serde_json::from_value::<DynamicObject>(event) else { return };
        match self.ask(api.create(&PostParams::default(), &event)).await {
            Ok(_) => {}
            Err(failed) if failed.is_there() => {}
            Err(failed) => tracing::warn!(?failed, "an event could not be told"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, VolumePhase};

    fn status(events: &[u64], reasons: &[&str]) -> VolumeStatus {
        let event =
            |at: &u64| Event { at: Timestamp(*at), reason: "Moved".to_owned(), message: format!("at {at}") };
        VolumeStatus {
            phase: VolumePhase::Syncing,
            events: events.iter().map(event).collect(),
            reasons: reasons.iter().map(|code| Reason::blocked(code, "no", "do")).collect(),
            ..VolumeStatus::default()
        }
    }

    fn object(conditions: &Value) -> DynamicObject {
        let mut object = DynamicObject::new("v", &Place::Volume.resource());
        object.data = json!({ "status": { "conditions": conditions } });
        object
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let told = Told::default();
        told.note("v", &status(&[1, 2], &["NoPlace"]), &object(&json!([])));
        assert_eq!(told.news("v", &status(&[1, 2], &["NoPlace"])), []);
        let news = told.news("v", &status(&[1, 2, 3], &["NoPlace", "Stuck"]));
        let said: Vec<(&str, &str)> = news.iter().map(|news| (news.kind, news.reason.as_str())).collect();
        assert_eq!(said, [("Normal", "Moved"), ("Warning", "Stuck")]);
        assert_eq!(news[1].note, "Stuck: no (do)");
    }

    #[test]
    fn of_volumes_that_are_gone_nothing_is_remembered() {
        let told = Told::default();
        for name in ["a", "b", "c"] {
            told.note(name, &status(&[1], &[]), &object(&json!([])));
        }
        told.forget("a");
        told.keep(&["b"].into());
        let names: Vec<String> = told.lock().keys().cloned().collect();
        assert_eq!(names, ["b"]);
    }

    #[test]
    fn a_condition_that_stands_keeps_its_time() {
        let told = Told::default();
        let first = told.conditions("v", &status(&[], &["NoPlace"]), None, "2026-01-01T00:00:00Z");
        told.note("v", &status(&[], &["NoPlace"]), &object(&first));
        let same = told.conditions("v", &status(&[], &["NoPlace"]), None, "2026-02-02T00:00:00Z");
        assert_eq!(first, same);
        assert_eq!(first[0]["type"], WHOLE);
        assert_eq!(
            (&first[0]["status"], &first[1]["message"]),
            (&json!("False"), &json!("NoPlace: no (do)"))
        );
        let held = Reason::waiting("DeletionWaits", "it is attached");
        let reasons = status(&[], &["NoPlace", "Stuck", "Stuck"]);
        let other = told.conditions("v", &reasons, Some(&held), "2026-02-02T00:00:00Z");
        assert_eq!(other.as_array().unwrap().len(), 4);
        assert_eq!(other[3]["type"], "DeletionWaits");
        assert_eq!(other[2]["lastTransitionTime"], "2026-02-02T00:00:00Z");
    }

    #[test]
    fn an_event_s_name_is_what_it_says_and_its_note_has_an_end() {
        let news = News::of(&Reason::waiting("Waits", "é".repeat(2000)), Timestamp(1));
        let event = news.object(Place::Volume, &object(&json!([])), "n1", "now");
        assert_eq!(event, news.object(Place::Volume, &object(&json!([])), "n1", "now"));
        assert!(event["note"].as_str().unwrap().len() <= LONGEST_NOTE);
        assert_eq!(event["type"], "Normal");
    }
}
