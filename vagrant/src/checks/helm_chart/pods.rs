//! What stands within a pod, and what it says of other objects.

use std::collections::BTreeSet;

use serde_json::Value;

use super::judges::{Chart, called, list, text};
use super::links::RUNNERS;

/// What the control plane itself makes in every namespace.
const GIVEN: &str = "kube-root-ca.crt";
const REGISTRATION: &str = "--kubelet-registration-path=";
const PROBES: [&str; 3] = ["startupProbe", "readinessProbe", "livenessProbe"];
/// A busy node may be silent for as long, s.
const BORNE_SECONDS: u64 = 60;

pub(super) fn template(runner: &Value) -> &Value {
    runner.pointer("/spec/template").unwrap_or(&Value::Null)
}

fn containers(runner: &Value) -> impl Iterator<Item = &Value> {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(move |field| list(template(runner), field))
}

/// Looks at every container.
fn each(chart: &Chart, mut look: impl FnMut(&Value, &Value) -> Vec<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for runner in chart.of(RUNNERS) {
        for container in containers(runner) {
            let said = look(runner, container).into_iter();
            problems
                .extend(said.map(|said| format!("{}, {}: {said}", called(runner), text(container, "/name"))));
        }
    }
    problems
}

/// An image is of one version.
pub(super) fn images(chart: &Chart) -> Vec<String> {
    each(chart, |_, container| {
        let image = text(container, "/image");
        let name = image.rsplit('/').next().unwrap_or_default();
        let is_fixed = match (name.split_once("@sha256:"), name.split_once(':')) {
            (Some((_, digest)), _) => digest.len() == 64,
            (None, Some((_, tag))) => !tag.is_empty() && tag != "latest",
            (None, None) => false,
        };
        if is_fixed { Vec::new() } else { vec![format!("image {image:?} has neither tag nor digest")] }
    })
}

/// Containers mount volumes that there are, each at a place of its own; no volume is there for nothing.
pub(super) fn mounts(chart: &Chart) -> Vec<String> {
    let names = |runner: &Value| -> BTreeSet<String> {
        list(template(runner), "/spec/volumes").map(|volume| text(volume, "/name").to_owned()).collect()
    };
    let mut problems = each(chart, |runner, container| {
        let (volumes, mut places) = (names(runner), BTreeSet::new());
        let mut wrong = Vec::new();
        for mount in list(container, "/volumeMounts") {
            let (name, place) = (text(mount, "/name"), text(mount, "/mountPath"));
            if !volumes.contains(name) {
                wrong.push(format!("mounts {name:?}, which there is not"));
            }
            if !places.insert(place) {
                wrong.push(format!("mounts two volumes at {place}"));
            }
        }
        wrong
    });
    for runner in chart.of(RUNNERS) {
        let used: BTreeSet<&str> = containers(runner)
            .flat_map(|container| list(container, "/volumeMounts"))
            .map(|mount| text(mount, "/name"))
            .collect();
        let idle = names(runner).into_iter().filter(|name| !used.contains(name.as_str()));
        problems.extend(idle.map(|name| format!("{}: nobody mounts {name:?}", called(runner))));
    }
    problems
}

/// Maps of configuration that volumes are made of are there.
pub(super) fn sources(chart: &Chart) -> Vec<String> {
    let mut problems = Vec::new();
    for runner in chart.of(RUNNERS) {
        for volume in list(template(runner), "/spec/volumes") {
            let projected = list(volume, "/projected/sources").map(|source| text(source, "/configMap/name"));
            for map in projected.chain([text(volume, "/configMap/name")]) {
                let is_there = map.is_empty()
                    || map == GIVEN
                    || chart.has("ConfigMap", text(runner, "/metadata/namespace"), map);
                if !is_there {
                    problems.push(format!("{}: no ConfigMap {map:?}", called(runner)));
                }
            }
        }
    }
    problems
}

/// A port that is named is a container's: of a probe that container's own, of a Service anybody's.
pub(super) fn ports(chart: &Chart) -> Vec<String> {
    let mut problems = each(chart, |_, container| {
        let asked = PROBES.iter().filter_map(|probe| container.pointer(&format!("/{probe}/httpGet/port")));
        let unknown = asked.filter_map(Value::as_str).filter(|port| !has_port(container, port));
        unknown.map(|port| format!("a probe asks port {port:?}, which it does not have")).collect()
    });
    for service in chart.of(&["Service"]) {
        for port in list(service, "/spec/ports").map(|port| text(port, "/targetPort")) {
            if !chart.of(RUNNERS).flat_map(containers).any(|container| has_port(container, port)) {
                problems.push(format!("{}: no container has port {port:?}", called(service)));
            }
        }
    }
    problems
}

/// Programs of ours, which are those that say what is run, are started anew where they hang. Nothing is ended that was silent for less than [`BORNE_SECONDS`], and who
/// is asked by a program of its image is asked by the one that it is.
pub(super) fn patience(chart: &Chart) -> Vec<String> {
    each(chart, |_, container| {
        let program = text(container, "/command/0");
        let mut wrong = Vec::new();
        match container.get("livenessProbe").map(seconds) {
            None if !program.is_empty() => wrong.push("nobody asks whether it hangs".to_owned()),
            Some(seconds) if seconds < BORNE_SECONDS => {
                wrong.push(format!("is ended after {seconds} s without an answer"));
            }
            None | Some(_) => {}
        }
        let asked = PROBES.iter().filter_map(|probe| container.pointer(&format!("/{probe}/exec/command/0")));
        let strange = asked.filter_map(Value::as_str).filter(|asked| *asked != program);
        wrong.extend(strange.map(|asked| format!("is asked by {asked}, which it does not run")));
        wrong
    })
}

/// How long a probe has to fail without a break until it counts, s.
fn seconds(probe: &Value) -> u64 {
    let number = |field: &str, default| probe.get(field).and_then(Value::as_u64).unwrap_or(default);
    number("periodSeconds", 10) * number("failureThreshold", 3)
}

fn has_port(container: &Value, name: &str) -> bool {
    list(container, "/ports").any(|port| text(port, "/name") == name)
}

/// Sockets that a container is told of are in something that it mounts.
pub(super) fn sockets(chart: &Chart) -> Vec<String> {
    const TOLD: [&str; 3] = ["--csi-address=", "--endpoint=unix://", "--socket="];
    each(chart, |_, container| {
        let arguments = list(container, "/args").filter_map(Value::as_str);
        let paths = arguments.filter_map(|argument| TOLD.iter().find_map(|flag| argument.strip_prefix(flag)));
        let is_mounted = |path: &str| {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            list(container, "/volumeMounts").any(|mount| text(mount, "/mountPath") == folder)
        };
        let lost = paths.filter(|path| !is_mounted(path));
        lost.map(|path| format!("is told of {path}, and does not mount it")).collect()
    })
}

/// What the kubelet is told that the driver's folder is called; the folder is the host's, and mounted.
pub(super) fn registrations(runner: &Value) -> impl Iterator<Item = String> {
    let told = containers(runner).flat_map(|container| list(container, "/args")).filter_map(Value::as_str);
    let paths = told.filter_map(|argument| argument.strip_prefix(REGISTRATION));
    paths.map(move |path| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_there =
            list(template(runner), "/spec/volumes").any(|volume| text(volume, "/hostPath/path") == folder);
        let name = folder.rsplit('/').next().unwrap_or_default();
        if is_there { name.to_owned() } else { format!("{folder}, which is no volume") }
    })
}
