//! What one object says of another one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::judges::{Chart, called, list, text};
use super::pods::{self, template};

/// Our own kinds.
const GROUP: &str = "mdfabric.io";
/// What runs pods.
pub(super) const RUNNERS: &[&str] = &["DaemonSet", "Deployment"];
const BINDINGS: &[&str] = &["ClusterRoleBinding", "RoleBinding"];
/// Roles that the cluster's admin gives to people: their names end so.
const FOR_PEOPLE: [&str; 2] = ["-view", "-operate"];

/// Reading secrets, running programs in pods, and getting more rights.
const NEVER: [&str; 6] = ["secrets", "pods/exec", "escalate", "bind", "impersonate", "deletecollection"];

/// Pods run as accounts that there are, and none is there for nothing.
pub(super) fn accounts(chart: &Chart) -> Vec<String> {
    let of = |runner: &Value| text(template(runner), "/spec/serviceAccountName").to_owned();
    let mut problems = Vec::new();
    for runner in chart.of(RUNNERS) {
        if !chart.has("ServiceAccount", text(runner, "/metadata/namespace"), &of(runner)) {
            problems.push(format!("{}: no ServiceAccount {:?}", called(runner), of(runner)));
        }
    }
    for account in chart.of(&["ServiceAccount"]) {
        if !chart.of(RUNNERS).any(|runner| of(runner) == text(account, "/metadata/name")) {
            problems.push(format!("{}: no pod runs as it", called(account)));
        }
    }
    problems
}

/// Bindings give roles that there are to accounts that there are.
pub(super) fn bindings(chart: &Chart) -> Vec<String> {
    let mut problems = Vec::new();
    for binding in chart.of(BINDINGS) {
        let (kind, name) = role_of(binding);
        let home = if kind == "Role" { text(binding, "/metadata/namespace") } else { "" };
        if !chart.has(kind, home, name) {
            problems.push(format!("{}: no {kind} {name:?}", called(binding)));
        }
        let accounts = list(binding, "/subjects").map(|one| (text(one, "/namespace"), text(one, "/name")));
        let unknown = accounts.filter(|(home, name)| !chart.has("ServiceAccount", home, name));
        problems.extend(unknown.map(|(_, name)| format!("{}: no ServiceAccount {name:?}", called(binding))));
    }
    problems
}

/// Every role is given to somebody or meant for people.
pub(super) fn idle(chart: &Chart) -> Vec<String> {
    let is_given = |role: &&Value| {
        let this = (text(role, "/kind"), text(role, "/metadata/name"));
        chart.of(BINDINGS).any(|binding| role_of(binding) == this)
            || FOR_PEOPLE.iter().any(|end| this.1.ends_with(end))
    };
    let roles = chart.of(&["ClusterRole", "Role"]).filter(|role| !is_given(role));
    roles.map(|role| format!("{}: nobody has it", called(role))).collect()
}

fn role_of(binding: &Value) -> (&str, &str) {
    (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"))
}

/// Everything is named that is allowed, and what nobody here needs is not allowed.
pub(super) fn rules(chart: &Chart) -> Vec<String> {
    let mut problems = Vec::new();
    for role in chart.of(&["ClusterRole", "Role"]) {
        let words = list(role, "/rules").flat_map(|rule| {
            ["/apiGroups", "/resources", "/verbs"].into_iter().flat_map(move |field| list(rule, field))
        });
        let bad = words.filter_map(Value::as_str).filter(|word| word.contains('*') || NEVER.contains(word));
        problems.extend(bad.map(|word| format!("{}: allows {word:?}", called(role))));
    }
    problems
}

/// Who may change or take away leases may do so to the own one: others' are in the same namespace.
pub(super) fn leases(chart: &Chart) -> Vec<String> {
    let says = |rule: &Value, field: &str, words: &[&str]| {
        list(rule, field).any(|word| words.iter().any(|one| word == one))
    };
    let is_too_much = |rule: &Value| {
        says(rule, "/resources", &["leases"])
            && says(rule, "/verbs", &["update", "patch", "delete"])
            && list(rule, "/resourceNames").next().is_none()
    };
    let roles = chart.of(&["ClusterRole", "Role"]).filter(|role| list(role, "/rules").any(is_too_much));
    roles.map(|role| format!("{}: reaches every lease", called(role))).collect()
}

/// Policies are carried out, and stop no daemon.
pub(super) fn policies(chart: &Chart) -> Vec<String> {
    let mut problems = Vec::new();
    for policy in chart.of(&["ValidatingAdmissionPolicy"]) {
        if !chart.of(&["ValidatingAdmissionPolicyBinding"]).any(|binding| denies(binding, policy)) {
            problems.push(format!("{}: nothing is denied by it", called(policy)));
        }
        let stopped = chart.of(&["DaemonSet"]).map(user).filter(|user| !lets_by(policy, user));
        problems.extend(stopped.map(|user| format!("{}: it stops {user}", called(policy))));
    }
    for binding in chart.of(&["ValidatingAdmissionPolicyBinding"]) {
        let policy = text(binding, "/spec/policyName");
        if !chart.has("ValidatingAdmissionPolicy", "", policy) {
            problems.push(format!("{}: no policy {policy:?}", called(binding)));
        }
    }
    problems
}

fn denies(binding: &Value, policy: &Value) -> bool {
    text(binding, "/spec/policyName") == text(policy, "/metadata/name")
        && list(binding, "/spec/validationActions").any(|action| action == "Deny")
}

/// Whether a policy's conditions name a user, as its expressions do.
fn lets_by(policy: &Value, user: &str) -> bool {
    let named = format!("{user:?}");
    list(policy, "/spec/matchConditions").any(|condition| text(condition, "/expression").contains(&named))
}

/// What the API server calls whoever a pod runs as.
fn user(runner: &Value) -> String {
    let account = text(template(runner), "/spec/serviceAccountName");
    format!("system:serviceaccount:{}:{account}", text(runner, "/metadata/namespace"))
}

/// What the roles name of our own group is defined here, and nothing else. A chart without definitions leaves them to somebody else.
pub(super) fn definitions(chart: &Chart) -> Vec<String> {
    let defined: BTreeSet<&str> =
        chart.of(&["CustomResourceDefinition"]).map(|one| text(one, "/spec/names/plural")).collect();
    let ours =
        chart.of(&["ClusterRole", "Role"]).flat_map(|role| list(role, "/rules")).filter(|rule| is_ours(rule));
    let named = ours.flat_map(|rule| list(rule, "/resources")).filter_map(Value::as_str);
    let named: BTreeSet<&str> = named.filter(|resource| !resource.contains('/')).collect();
    if defined.is_empty() || named.is_empty() || defined == named {
        return Vec::new();
    }
    vec![format!("definitions of {defined:?}, and roles for {named:?}")]
}

fn is_ours(rule: &Value) -> bool {
    list(rule, "/apiGroups").any(|group| group == GROUP)
}

/// Whoever looks for pods or services finds some.
pub(super) fn selectors(chart: &Chart) -> Vec<String> {
    const LABELS: &str = "/spec/selector/matchLabels";
    let pods: Vec<&Value> = chart.of(RUNNERS).map(template).collect();
    let services: Vec<&Value> = chart.of(&["Service"]).collect();
    let finds = |object: &&Value| match text(object, "/kind") {
        "DaemonSet" | "Deployment" => is_subset(object, LABELS, &[template(object)]),
        "PodDisruptionBudget" => is_subset(object, LABELS, &pods),
        "Service" => is_subset(object, "/spec/selector", &pods),
        "ServiceMonitor" => is_subset(object, LABELS, &services),
        _ => true,
    };
    let lost = chart.all().filter(|object| !finds(object));
    lost.map(|object| format!("{}: its selector finds nothing", called(object))).collect()
}

/// Whether one of those has all labels that are asked for.
fn is_subset(object: &Value, pointer: &str, labelled: &[&Value]) -> bool {
    let Some(wanted) = object.pointer(pointer).and_then(Value::as_object) else { return false };
    let label =
        |one: &Value, key: &str| one.pointer("/metadata/labels").and_then(|labels| labels.get(key)).cloned();
    let has_all = |one: &&Value| wanted.iter().all(|(key, value)| label(one, key).as_ref() == Some(value));
    !wanted.is_empty() && labelled.iter().any(has_all)
}

/// The driver is called the same everywhere: by its object, the classes, and the folder where the kubelet looks for it.
pub(super) fn driver(chart: &Chart) -> Vec<String> {
    let names: Vec<&str> = chart.of(&["CSIDriver"]).map(|driver| text(driver, "/metadata/name")).collect();
    let [name] = names.as_slice() else { return vec![format!("drivers: {names:?}")] };
    let mut said: Vec<(String, String)> = Vec::new();
    let mut note =
        |object: &Value, pointer: &str| said.push((called(object), text(object, pointer).to_owned()));
    chart.of(&["StorageClass"]).for_each(|class| note(class, "/provisioner"));
    chart.of(&["VolumeAttributesClass"]).for_each(|class| note(class, "/driverName"));
    for runner in chart.of(&["DaemonSet"]) {
        said.extend(pods::registrations(runner).map(|place| (called(runner), place)));
    }
    said.retain(|(_, said)| said != name);
    said.into_iter().map(|(object, said)| format!("{object}: driver {said:?} instead of {name:?}")).collect()
}
