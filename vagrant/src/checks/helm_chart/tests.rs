//! Each mistake is noticed, and its absence is not.

use serde_json::{Value, json};

use super::documents::{of_environment, of_table, of_versions};
use super::judges::Chart;
use crate::setup::helm::Object;

/// A chart with nothing wrong.
fn good() -> Vec<Value> {
    let meta = |name: &str| json!({ "name": name, "namespace": "mdfabric-system" });
    vec![
        json!({ "kind": "CSIDriver", "metadata": { "name": "d.io" } }),
        json!({ "kind": "StorageClass", "metadata": { "name": "c" }, "provisioner": "d.io" }),
        json!({ "kind": "ServiceAccount", "metadata": meta("a") }),
        json!({ "kind": "Role", "metadata": meta("r"), "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] }),
        json!({ "kind": "Role", "metadata": meta("l-view"), "rules": [{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "resourceNames": ["ours"], "verbs": ["patch"] }] }),
        json!({ "kind": "ValidatingAdmissionPolicy", "metadata": { "name": "p" }, "spec": {
                "matchConditions": [{ "expression": "!(u in [\"system:serviceaccount:mdfabric-system:a\"])" }] } }),
        json!({ "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": "p" },
                "spec": { "policyName": "p", "validationActions": ["Deny"] } }),
        json!({ "kind": "RoleBinding", "metadata": meta("r"), "roleRef": { "kind": "Role", "name": "r" },
                "subjects": [{ "kind": "ServiceAccount", "name": "a", "namespace": "mdfabric-system" }] }),
        json!({ "kind": "ConfigMap", "metadata": meta("m") }),
        json!({ "kind": "Service", "metadata": meta("s"),
                "spec": { "selector": { "app": "x" }, "ports": [{ "targetPort": "health" }] } }),
        json!({ "kind": "DaemonSet", "metadata": meta("n"), "spec": {
            "selector": { "matchLabels": { "app": "x" } },
            "template": { "metadata": { "labels": { "app": "x", "more": "y" } }, "spec": {
                "serviceAccountName": "a",
                "containers": [{
                    "name": "one", "image": "r.example:5000/i:v1", "command": ["/bin/one"],
                    "args": ["--csi-address=/csi/csi.sock", "--kubelet-registration-path=/k/plugins/d.io/csi.sock"],
                    "ports": [{ "name": "health" }], "livenessProbe": { "httpGet": { "port": "health" }, "periodSeconds": 20 },
                    "startupProbe": { "exec": { "command": ["/bin/one", "alive"] } },
                    "volumeMounts": [{ "name": "v", "mountPath": "/csi" }, { "name": "w", "mountPath": "/w" }],
                }],
                "volumes": [{ "name": "v", "hostPath": { "path": "/k/plugins/d.io" } }, { "name": "w", "configMap": { "name": "m" } }],
            } },
        } }),
    ]
}

fn problems(objects: Vec<Value>) -> Vec<String> {
    let objects = objects.into_iter().map(|object| Object { typed: true, object }).collect();
    Chart::new(objects, &[]).problems()
}

/// The chart with one thing that is different in the object of that kind.
fn with(kind: &str, pointer: &str, value: Value) -> Vec<Value> {
    let mut objects = good();
    let object = objects.iter_mut().find(|object| object["kind"] == kind).unwrap();
    *object.pointer_mut(pointer).unwrap() = value;
    objects
}

#[test]
fn a_good_chart_has_no_problems() {
    assert_eq!(problems(good()), [""; 0]);
    assert_eq!(problems(Vec::new()), ["nothing is rendered"]);
}

#[test]
fn one_mistake_is_noticed_and_named() {
    let container = "/spec/template/spec/containers/0";
    let of = |field: &str| format!("{container}/{field}");
    let meta = "/metadata/namespace";
    for (kind, pointer, value, said) in [
        ("ServiceAccount", "/metadata/name", json!("b"), "no pod runs as it"),
        ("DaemonSet", "/spec/template/spec/serviceAccountName", json!("b"), "no ServiceAccount \"b\""),
        ("RoleBinding", "/subjects/0/name", json!("b"), "no ServiceAccount \"b\""),
        ("RoleBinding", "/subjects/0/namespace", json!("default"), "no ServiceAccount \"a\""),
        ("RoleBinding", "/roleRef/name", json!("q"), "no Role \"q\""),
        ("RoleBinding", "/roleRef/kind", json!("ClusterRole"), "no ClusterRole \"r\""),
        ("Role", "/metadata/name", json!("q"), "nobody has it"),
        ("Role", "/rules/0/verbs/0", json!("*"), "allows \"*\""),
        ("Role", "/rules/0/resources/0", json!("secrets"), "allows \"secrets\""),
        ("Role", "/rules/0/verbs/0", json!("escalate"), "allows \"escalate\""),
        ("ConfigMap", "/metadata/name", json!("q"), "no ConfigMap \"m\""),
        ("ConfigMap", meta, json!("kube-system"), "namespace \"kube-system\""),
        ("ConfigMap", meta, json!(null), "namespace \"\""),
        ("Service", "/spec/selector/app", json!("z"), "its selector finds nothing"),
        ("Service", "/spec/ports/0/targetPort", json!("q"), "no container has port \"q\""),
        ("StorageClass", "/provisioner", json!("e.io"), "driver \"e.io\""),
        ("CSIDriver", "/metadata/name", json!("e.io"), "DaemonSet n: driver \"d.io\""),
        ("DaemonSet", "/spec/selector/matchLabels/app", json!("z"), "its selector finds nothing"),
        (
            "DaemonSet",
            "/spec/template/spec/volumes/0/hostPath/path",
            json!("/q"),
            "/k/plugins/d.io, which is no volume",
        ),
        ("DaemonSet", "/spec/template/spec/volumes/1/name", json!("q"), "mounts \"w\""),
        ("DaemonSet", "/spec/template/spec/volumes/1/name", json!("q"), "nobody mounts \"q\""),
        ("DaemonSet", &of("image"), json!("r.example:5000/i"), "neither tag nor digest"),
        ("DaemonSet", &of("image"), json!("i:latest"), "neither tag nor digest"),
        ("DaemonSet", &of("image"), json!("i@sha256:abc"), "neither tag nor digest"),
        ("DaemonSet", &of("volumeMounts/1/mountPath"), json!("/csi"), "two volumes at /csi"),
        ("DaemonSet", &of("livenessProbe/httpGet/port"), json!("q"), "asks port \"q\""),
        ("DaemonSet", &of("args/0"), json!("--csi-address=/q/csi.sock"), "is told of /q/csi.sock"),
        ("DaemonSet", &of("livenessProbe/periodSeconds"), json!(19), "is ended after 57 s without an answer"),
        ("DaemonSet", &of("startupProbe/exec/command/0"), json!("/bin/cat"), "is asked by /bin/cat"),
        ("ValidatingAdmissionPolicyBinding", "/spec/policyName", json!("q"), "no policy \"q\""),
        ("ValidatingAdmissionPolicyBinding", "/spec/policyName", json!("q"), "Policy p: nothing is denied"),
        ("ValidatingAdmissionPolicyBinding", "/spec/validationActions/0", json!("Warn"), "nothing is denied"),
        (
            "ValidatingAdmissionPolicy",
            "/spec/matchConditions/0/expression",
            json!("!(u in [\"system:serviceaccount:mdfabric-system:ab\"])"),
            "it stops system:serviceaccount:mdfabric-system:a",
        ),
    ] {
        let told = problems(with(kind, pointer, value));
        assert!(told.iter().any(|told| told.contains(said)), "{kind} {pointer}: {told:?}");
    }
}

#[test]
fn what_is_there_twice_or_has_no_type_is_noticed() {
    let mut twice = good();
    twice.extend(twice.get(1).cloned());
    assert_eq!(problems(twice), ["StorageClass c is there twice"]);
    let object = json!({ "apiVersion": "v1beta9", "kind": "StorageClass", "metadata": { "name": "c" }, "provisioner": "d.io" });
    let mut objects: Vec<Object> = good().into_iter().map(|object| Object { typed: true, object }).collect();
    objects.push(Object { typed: false, object: json!({ "kind": "ServiceMonitor", "apiVersion": "monitoring.coreos.com/v1",
        "metadata": { "name": "s", "namespace": "mdfabric-system" }, "spec": { "selector": { "matchLabels": { "app": "q" } } } }) });
    objects.push(Object { typed: false, object });
    let told = Chart::new(objects, &[]).problems();
    assert!(told.iter().any(|told| told == "StorageClass c: Kubernetes has no type v1beta9"), "{told:?}");
    assert!(told.iter().any(|told| told == "ServiceMonitor s: its selector finds nothing"), "{told:?}");
    assert!(!told.iter().any(|told| told.starts_with("ServiceMonitor s: Kubernetes")), "{told:?}");
}

#[test]
fn what_reaches_too_far_or_is_watched_by_nobody_is_noticed() {
    let every_lease = |verbs: Value| {
        let rule = json!({ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs });
        problems(with("Role", "/rules/0", rule))
    };
    assert_eq!(every_lease(json!(["list", "patch"])), ["Role r: reaches every lease"]);
    assert_eq!(every_lease(json!(["update"])), ["Role r: reaches every lease"]);
    assert_eq!(every_lease(json!(["delete"])), ["Role r: reaches every lease"]);
    assert_eq!(every_lease(json!(["list", "watch", "create"])), [""; 0]);
    let mut objects = good();
    for object in &mut objects {
        if let Some(container) = object.pointer_mut("/spec/template/spec/containers/0") {
            container.as_object_mut().unwrap().remove("livenessProbe");
        }
    }
    assert_eq!(problems(objects), ["DaemonSet n, one: nobody asks whether it hangs"]);
}

#[test]
fn an_account_of_somebody_else_counts() {
    let objects = with("DaemonSet", "/spec/template/spec/serviceAccountName", json!("theirs"));
    let objects = objects.into_iter().filter(|object| {
        let names_it = [
            "ServiceAccount",
            "RoleBinding",
            "Role",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ];
        !names_it.iter().any(|kind| object["kind"] == *kind)
    });
    let objects = objects.map(|object| Object { typed: true, object }).collect();
    assert_eq!(Chart::new(objects, &["theirs"]).problems(), [""; 0]);
}

#[test]
fn the_table_has_a_row_for_every_value_and_no_other() {
    let values = json!({ "image": { "tag": "", "args": [] }, "node": { "port": 1 }, "classes": {} });
    let table =
        |rows: &[&str]| rows.iter().map(|row| format!("| `{row}` | x | y |\n")).collect::<Vec<_>>().concat();
    assert_eq!(of_table(&values, &table(&["image.tag", "image.args", "node", "classes"])), [""; 0]);
    assert_eq!(
        of_table(&values, &table(&["image.t", "image.args", "node.port", "node.old", "classes"])),
        [
            "README.md: no row for image.tag",
            "README.md: a row for image.t, which values.yaml does not have",
            "README.md: a row for node.old, which values.yaml does not have"
        ]
    );
}

#[test]
fn the_charts_versions_are_the_workspaces() {
    let chart = json!({ "version": "0.1.0", "appVersion": "0.2.0" });
    assert_eq!(
        of_versions(&chart, "0.1.0"),
        ["Chart.yaml: appVersion is \"0.2.0\", and the workspace's 0.1.0"]
    );
}

#[test]
fn a_setting_that_the_daemon_does_not_know_is_noticed() {
    let template = "- {name: MDFABRIC_NODE, value: a}\n- {name: MDFABRIC_NODES, value: b}\n";
    let said = of_environment(template, "\"NODE\" => layer.node = 1,");
    assert_eq!(said, ["src/config/environment.rs does not know MDFABRIC_NODES"]);
}

#[test]
fn definitions_are_those_of_the_roles() {
    let mut objects = with(
        "Role",
        "/rules/0",
        json!({ "apiGroups": ["mdfabric.io"], "resources": ["volumes", "volumes/status"], "verbs": ["get"] }),
    );
    assert_eq!(problems(objects.clone()), [""; 0]);
    let definition = |plural| json!({ "kind": "CustomResourceDefinition", "metadata": { "name": plural }, "spec": { "names": { "plural": plural } } });
    objects.push(definition("volumes"));
    assert_eq!(problems(objects.clone()), [""; 0]);
    objects.push(definition("drives"));
    assert_eq!(problems(objects), ["definitions of {\"drives\", \"volumes\"}, and roles for {\"volumes\"}"]);
}
