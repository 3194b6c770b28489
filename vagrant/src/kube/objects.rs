//! Objects of Kubernetes that scenarios make, and what they look at in those that they get.

use serde_json::{Value, json};

use crate::spec::SHELL_IMAGE;

/// What the driver calls itself.
const DRIVER: &str = "csi.mdfabric.io";

/// A namespace in which pods may be privileged.
#[must_use]
pub fn namespace(name: &str) -> Value {
    let labels = json!({"pod-security.kubernetes.io/enforce": "privileged"});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A class of volumes, beside those of the chart and like them.
#[must_use]
pub fn class(name: &str, parameters: &Value) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
        "parameters": parameters,
    })
}

/// A class of attributes: what a claim can change of a volume that there is.
#[must_use]
pub fn attributes(name: &str, parameters: &Value) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttributesClass",
        "metadata": {"name": name},
        "driverName": DRIVER,
        "parameters": parameters,
    })
}

/// A claim for a volume of a file system.
#[must_use]
pub fn claim(name: &str, class: &str, size: &str) -> Value {
    let spec = claimed(class, size);
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})
}

/// The same claim, but for a block device.
#[must_use]
pub fn block(claim: Value) -> Value {
    with(claim, "volumeMode", json!("Block"))
}

/// The object with one more field in its `spec`.
#[must_use]
pub fn with(mut object: Value, field: &str, said: Value) -> Value {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(field.to_owned(), said);
    }
    object
}

fn claimed(class: &str, size: &str) -> Value {
    json!({
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": class,
        "resources": {"requests": {"storage": size}},
    })
}

/// A pod that runs `script` with the claim at `/data`, and stays until it is deleted.
#[must_use]
pub fn pod(name: &str, claim: &str, script: &str) -> Value {
    let stay = format!("{script}; trap 'exit 0' TERM; while :; do sleep 1; done");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            // Process 1 takes no signal that it does not ask for.
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main",
                "image": SHELL_IMAGE,
                "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-c", stay],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    })
}

/// The directory of the programs under test and of the lab's own, on every guest and in the pods of [`stateful`].
pub const PROGRAMS: &str = "/opt/mdfabric";

/// One pod, `NAME-0`, that runs `script` with a volume of its own at `/data`, whose claim is `data-NAME-0`. It sees the guest's devices,
/// among them those that log outside of it, and its programs.
#[must_use]
pub fn stateful(name: &str, class: &str, size: &str, script: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [{
                    "name": "main",
                    "image": SHELL_IMAGE,
                    "imagePullPolicy": "Never",
                    "command": ["/bin/sh", "-c", script],
                    "securityContext": {"privileged": true},
                    // The default is a file in /dev, which is the guest's.
                    "terminationMessagePath": "/termination-log",
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        {"name": "dev", "mountPath": "/dev"},
                        {"name": "programs", "mountPath": PROGRAMS, "readOnly": true},
                    ],
                }],
                "volumes": [
                    {"name": "dev", "hostPath": {"path": "/dev"}},
                    {"name": "programs", "hostPath": {"path": PROGRAMS}},
                ],
            }},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claimed(class, size)}],
        },
    })
}

/// What logs outside of a guest, by name.
const PORTS: &str = "/dev/virtio-ports";

/// The same set, but its volume is a block device, at `/data` too. The pod has a `/dev` of its own then, with all that the guest's had when it
/// began: no container gets a device of its own where the guest's `/dev` is mounted.
#[must_use]
pub fn of_device(mut set: Value) -> Value {
    if let Some(claim) = set.pointer_mut("/spec/volumeClaimTemplates/0") {
        *claim = block(claim.take());
    }
    if let Some(path) = set.pointer_mut("/spec/template/spec/volumes/0/hostPath/path") {
        *path = json!(PORTS);
    }
    let container = set.pointer_mut("/spec/template/spec/containers/0").and_then(Value::as_object_mut);
    if let Some(container) = container {
        container.insert("volumeDevices".to_owned(), json!([{"name": "data", "devicePath": "/data"}]));
        let mounts = json!([
            {"name": "dev", "mountPath": PORTS},
            {"name": "programs", "mountPath": PROGRAMS, "readOnly": true},
        ]);
        container.insert("volumeMounts".to_owned(), mounts);
    }
    set
}

/// The same pod, but on no other node than this one.
#[must_use]
pub fn on(node: &str, pod: Value) -> Value {
    with(pod, "nodeSelector", json!({"kubernetes.io/hostname": node}))
}

/// Whether a node, a pod or whatever else has conditions says that it is `Ready`.
#[must_use]
pub fn is_ready(object: &Value) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

/// Whether a `DaemonSet` or a Deployment has all its pods, as it is now, and all of them ready.
#[must_use]
pub fn is_rolled_out(object: &Value) -> bool {
    let number = |at: &str| object.pointer(at).and_then(Value::as_u64).unwrap_or_default();
    let is_seen = number("/metadata/generation") == number("/status/observedGeneration");
    let (wanted, updated, ready) = if object["kind"] == "DaemonSet" {
        ("/status/desiredNumberScheduled", "/status/updatedNumberScheduled", "/status/numberReady")
    } else {
        ("/spec/replicas", "/status/updatedReplicas", "/status/readyReplicas")
    };
    is_seen && number(wanted) > 0 && [updated, ready].iter().all(|at| number(at) == number(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_can_be_told_its_node() {
        let pod = on("node-2", pod("p", "c", "true"));
        assert_eq!(pod["spec"]["nodeSelector"]["kubernetes.io/hostname"], "node-2");
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "c");
    }

    #[test]
    fn every_volume_of_a_stateful_pod_is_mounted() {
        let set = stateful("s", "class", "1Gi", "true");
        let pod = &set["spec"]["template"]["spec"];
        let named = |list: &Value, at: &str| -> Vec<Value> {
            list.as_array().unwrap().iter().map(|item| item.pointer(at).unwrap().clone()).collect()
        };
        let claims = named(&set["spec"]["volumeClaimTemplates"], "/metadata/name");
        let mounted = named(&pod["containers"][0]["volumeMounts"], "/name");
        assert_eq!(mounted, [claims, named(&pod["volumes"], "/name")].concat());
        assert_eq!(set["spec"]["selector"]["matchLabels"], set["spec"]["template"]["metadata"]["labels"]);
    }

    #[test]
    fn a_set_on_a_device_claims_one_and_has_the_guest_s_ports() {
        let set = of_device(stateful("s", "class", "1Gi", "true"));
        let (claim, pod) = (&set["spec"]["volumeClaimTemplates"][0], &set["spec"]["template"]["spec"]);
        assert_eq!(
            (&claim["spec"]["volumeMode"], &claim["spec"]["storageClassName"]),
            (&json!("Block"), &json!("class"))
        );
        let container = &pod["containers"][0];
        assert_eq!(
            container["volumeDevices"],
            json!([{"name": claim["metadata"]["name"], "devicePath": "/data"}])
        );
        for mount in container["volumeMounts"].as_array().unwrap() {
            let source =
                pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]);
            assert_eq!(source.unwrap()["hostPath"]["path"], mount["mountPath"], "{mount}");
        }
    }

    #[test]
    fn readiness_is_a_condition_of_that_name() {
        let with =
            |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
        assert!(is_ready(&with("Ready", "True")));
        assert!(
            !is_ready(&with("Ready", "False"))
                && !is_ready(&with("Scheduled", "True"))
                && !is_ready(&json!({}))
        );
    }

    #[test]
    fn a_rollout_is_done_when_its_newest_generation_is_ready_everywhere() {
        let daemons = |generation: u64, ready: u64| {
            json!({"kind": "DaemonSet", "metadata": {"generation": 2}, "status": {
                "observedGeneration": generation, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": ready}})
        };
        assert!(is_rolled_out(&daemons(2, 3)));
        assert!(!is_rolled_out(&daemons(1, 3)) && !is_rolled_out(&daemons(2, 2)));
        let deployment = json!({"kind": "Deployment", "metadata": {"generation": 1}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": 1}});
        assert!(is_rolled_out(&deployment));
        assert!(!is_rolled_out(&json!({"kind": "Deployment"})));
    }
}
