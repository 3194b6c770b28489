//! The product as users of Kubernetes meet it: claims and pods on a real control plane, a real kubelet and a real containerd.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::command::output;
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::lab::Lab;
use crate::product::nothing_left;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kube_store_conforms",
        shows: "the store on the Kubernetes API does on a real API server what every store has to do",
        lab: Needs::Nothing,
        run: store_conforms,
    },
    Scenario {
        name: "kube_pvc_and_pod",
        shows: "the chart on a real cluster: a claim becomes a volume with two copies, one of them where its pod runs, the pod writes and reads, \
                and pod and claim deleted leave nothing behind",
        lab: Needs::Kube,
        run: pvc_and_pod,
    },
    Scenario {
        name: "kube_one_copy_follows_its_pod",
        shows: "a pod that is made again on another node finds its volume there with what it wrote; the one copy follows",
        lab: Needs::Kube,
        run: one_copy_follows_its_pod,
    },
];

/// What asks a store everything, built as all tests are.
const CONFORMANCE: [&str; 5] = ["test", "--profile", "checked", "--workspace", "a_real_api_server_conforms"];
/// For a pod with a claim: a volume is made, attached and mounted, on emulated nodes.
const POD_DEADLINE: Duration = Duration::from_mins(4);
/// For a copy to follow: it is filled and compared.
const FOLLOWS_DEADLINE: Duration = Duration::from_mins(4);
/// For everything of a claim to go: copies are erased.
const GONE_DEADLINE: Duration = Duration::from_mins(4);
/// The chart's classes with one copy and with two.
const LOCAL: &str = "mdfabric-local-first";
const REPLICATED: &str = "mdfabric-replicated";
/// The image with a shell that the chart asks for too.
const SHELL: &str = "docker.io/library/busybox:1.37.0";
const CLAIM: &str = "data";
const SIZE: &str = "320Mi";
const POD: &str = "writer";
const FILE: &str = "/data/file";
const WORDS: &str = "written by a pod";

/// A control plane needs no node for that. The test lets everything pass where it is not told of an API server, so what it made there is looked
/// for.
fn store_conforms(stage: &mut Stage<'_>) -> Result<()> {
    let parts = stage.parts.with_kube()?;
    let lab = Lab::private_with(&parts, Vec::new())?;
    let cluster = Cluster::of(&lab)?;
    cluster.start_plane()?;
    let mut cargo = cluster.kubectl.beside(Path::new("cargo"));
    cargo.args(CONFORMANCE).env("MDFABRIC_TEST_KUBECONFIG", cluster.kubectl.kubeconfig());
    let said = output(cargo.current_dir(parts.cache.workspace()))?;
    ensure!(said.contains("1 passed"), "the test was not run:\n{said}");
    let made = cluster.kubectl.find("customresourcedefinition", "volumes.mdfabric.io")?;
    ensure!(made.is_some(), "the test did not ask the API server");
    Ok(())
}

fn pvc_and_pod(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::claim(CLAIM, REPLICATED, SIZE))?;
    let node = run(&cluster, &writer())?;
    is_read(&cluster)?;
    let volume = only_volume(&cluster)?;
    ensure!(word(&volume, "/status/phase") == "Synced", "the volume is {}", word(&volume, "/status/phase"));
    let places = places(&cluster)?;
    ensure!(places.len() == 2 && places.contains(&node), "the pod is on {node}, the copies on {places:?}");
    clear(&cluster)
}

fn one_copy_follows_its_pod(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::claim(CLAIM, LOCAL, SIZE))?;
    run(&cluster, &objects::on("node-1", writer()))?;
    is_read(&cluster)?;
    ensure!(places(&cluster)? == ["node-1"], "the copy is on {:?}", places(&cluster)?);
    remove(&cluster, "pod", POD)?;
    run(&cluster, &objects::on("node-2", objects::pod(POD, SHELL, CLAIM, "true")))?;
    is_read(&cluster)?;
    cluster.lab.wait_for("the copy to follow", FOLLOWS_DEADLINE, || {
        Ok((places(&cluster)? == ["node-2"]).then_some(()))
    })?;
    is_read(&cluster)?;
    clear(&cluster)
}

/// A pod that writes [`WORDS`] and stays.
fn writer() -> Value {
    objects::pod(POD, SHELL, CLAIM, &format!("echo {WORDS} >{FILE} && sync"))
}

/// Makes the pod and waits until it is ready; gives its node.
fn run(cluster: &Cluster<'_>, pod: &Value) -> Result<String> {
    cluster.make(pod)?;
    let ready = cluster.lab.wait_for("the pod to be ready", POD_DEADLINE, || {
        Ok(cluster.kubectl.find("pod", POD)?.filter(is_ready))
    })?;
    Ok(word(&ready, "/spec/nodeName"))
}

/// What was written is there, in a file system of its own. A container is ready before its script has come that far.
fn is_read(cluster: &Cluster<'_>) -> Result<()> {
    let look = format!("cat {FILE} && grep ' /data ' /proc/mounts");
    let said = cluster.lab.wait_for("the pod's file", POD_DEADLINE, || {
        let said = cluster.kubectl.run(&["exec", POD, "--", "/bin/sh", "-c", &look]).ok();
        Ok(said.filter(|said| said.starts_with(WORDS)))
    })?;
    ensure!(said.contains(" /data xfs rw"), "the pod has something else at /data:\n{said}");
    Ok(())
}

fn only_volume(cluster: &Cluster<'_>) -> Result<Value> {
    match cluster.kubectl.list(&["mdvol"])?.as_slice() {
        [volume] => Ok(volume.clone()),
        volumes => bail!("{} volumes instead of one", volumes.len()),
    }
}

/// The nodes that copies are on, in order.
fn places(cluster: &Cluster<'_>) -> Result<Vec<String>> {
    let copies = cluster.kubectl.list(&["mdrep"])?;
    let mut places: Vec<String> = copies.iter().map(|copy| word(copy, "/spec/node")).collect();
    places.sort();
    Ok(places)
}

/// Pod and claim go, and with them everything that was made for them.
fn clear(cluster: &Cluster<'_>) -> Result<()> {
    remove(cluster, "pod", POD)?;
    no_more(cluster, "volumeattachments")?;
    remove(cluster, "persistentvolumeclaim", CLAIM)?;
    ["persistentvolumes", "mdvol", "mdrep"].iter().try_for_each(|kind| no_more(cluster, kind))?;
    nothing_left(cluster.lab)
}

fn remove(cluster: &Cluster<'_>, kind: &str, name: &str) -> Result<()> {
    cluster.kubectl.run(&["delete", kind, name, "--wait=false"])?;
    cluster.lab.wait_for(&format!("{kind} {name} to be gone"), GONE_DEADLINE, || {
        Ok(cluster.kubectl.find(kind, name)?.is_none().then_some(()))
    })
}

fn no_more(cluster: &Cluster<'_>, kind: &str) -> Result<()> {
    cluster.lab.wait_for(&format!("no {kind}"), GONE_DEADLINE, || {
        Ok(cluster.kubectl.list(&[kind])?.is_empty().then_some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_in_the_image_that_the_chart_names() {
        let values = include_str!("../../../deploy/chart/values.yaml");
        let (repository, tag) = SHELL.rsplit_once(':').unwrap();
        assert!(values.contains(&format!("repository: {repository}\n    tag: \"{tag}\"\n")));
    }
}
