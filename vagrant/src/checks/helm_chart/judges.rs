//! The objects of a rendered chart, and everything that is held against them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{links, pods};
use crate::setup::helm::{NAMESPACE, Object};

/// Kinds that are in no namespace.
const OF_THE_CLUSTER: [&str; 8] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CSIDriver",
    "CustomResourceDefinition",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "VolumeAttributesClass",
];
/// Where objects may be beside the release's namespace: events about what is in no namespace are there.
const EVENTS: &str = "default";
/// What Kubernetes itself has no type for.
const FOREIGN: &str = "monitoring.coreos.com/v1";

/// See the module.
pub(super) struct Chart {
    objects: Vec<Object>,
    /// Service accounts that somebody else makes.
    foreign: &'static [&'static str],
}

/// Something that is held against a chart; says what is wrong.
type Judge = fn(&Chart) -> Vec<String>;

const JUDGES: [Judge; 18] = [
    types,
    names,
    namespaces,
    links::accounts,
    links::bindings,
    links::idle,
    links::rules,
    links::leases,
    links::policies,
    links::definitions,
    links::selectors,
    links::driver,
    pods::images,
    pods::mounts,
    pods::sources,
    pods::ports,
    pods::patience,
    pods::sockets,
];

impl Chart {
    pub(super) fn new(objects: Vec<Object>, foreign: &'static [&'static str]) -> Self {
        Self { objects, foreign }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        if self.objects.is_empty() {
            return vec!["nothing is rendered".to_owned()];
        }
        JUDGES.iter().flat_map(|judge| judge(self)).collect()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(|object| &object.object)
    }

    pub(super) fn of(&self, kinds: &'static [&'static str]) -> impl Iterator<Item = &Value> {
        self.all().filter(|object| kinds.contains(&text(object, "/kind")))
    }

    /// Whether there is such an object. An account may be somebody else's.
    pub(super) fn has(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let is_it = |object: &Value| {
            text(object, "/kind") == kind
                && text(object, "/metadata/name") == name
                && text(object, "/metadata/namespace") == namespace
        };
        kind == "ServiceAccount" && self.foreign.contains(&name) || self.all().any(is_it)
    }
}

/// The text at `pointer`; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The parts of the list at `pointer`; none where there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// `Kind name`
pub(super) fn called(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"))
}

fn types(chart: &Chart) -> Vec<String> {
    let unknown = |object: &&Object| !object.typed && text(&object.object, "/apiVersion") != FOREIGN;
    let told = |object: &Object| {
        format!("{}: Kubernetes has no type {}", called(&object.object), text(&object.object, "/apiVersion"))
    };
    chart.objects.iter().filter(unknown).map(told).collect()
}

/// What is there twice would be written by whichever comes last.
fn names(chart: &Chart) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let key = |object: &Value| (called(object), text(object, "/metadata/namespace").to_owned());
    chart
        .all()
        .filter(|object| !seen.insert(key(object)))
        .map(|object| format!("{} is there twice", called(object)))
        .collect()
}

fn namespaces(chart: &Chart) -> Vec<String> {
    let is_wrong = |object: &&Value| {
        let namespace = text(object, "/metadata/namespace");
        if OF_THE_CLUSTER.contains(&text(object, "/kind")) {
            !namespace.is_empty()
        } else {
            namespace != NAMESPACE && namespace != EVENTS
        }
    };
    let told =
        |object: &Value| format!("{}: namespace {:?}", called(object), text(object, "/metadata/namespace"));
    chart.all().filter(is_wrong).map(told).collect()
}
