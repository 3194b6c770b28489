//! The product as users of Kubernetes meet it: claims and pods on a real control plane, a real kubelet and a real containerd.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::lab::Lab;
use crate::product::nothing_left;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "kube_pvc_and_pod",
    shows: "the chart on a real cluster: a claim becomes a volume with two copies where its pod runs, the pod writes and reads, and pod and \
            claim deleted leave nothing behind",
    lab: Needs::Nothing,
    run: pvc_and_pod,
}];

/// How many nodes a cluster has.
const NODES: u8 = 3;
/// For a pod with a claim: a volume is made, attached and mounted, on emulated nodes.
const POD_DEADLINE: Duration = Duration::from_mins(4);
/// For everything of a claim to go: copies are erased.
const GONE_DEADLINE: Duration = Duration::from_mins(4);
/// The class with two copies.
const REPLICATED: &str = "mdfabric-replicated";
/// The image with a shell that the chart asks for too.
const SHELL: &str = "docker.io/library/busybox:1.37.0";
const CLAIM: &str = "data";
const POD: &str = "writer";
const WORDS: &str = "written by a pod";

fn pvc_and_pod(stage: &mut Stage<'_>) -> Result<()> {
    let parts = stage.parts.with_kube()?;
    let lab = Lab::private(&parts, NODES)?;
    lab.set_patient(true);
    let cluster = Cluster::start(&parts, &lab)?;
    cluster.make(&objects::claim(CLAIM, REPLICATED, "320Mi"))?;
    let script = format!("echo {WORDS} >/data/file && sync");
    cluster.make(&objects::pod(POD, SHELL, CLAIM, &script))?;
    let node = running(&cluster, POD)?;
    has_written(&cluster)?;
    is_replicated(&cluster, &node)?;
    remove(&cluster, "pod", POD)?;
    no_more(&cluster, "volumeattachments")?;
    remove(&cluster, "persistentvolumeclaim", CLAIM)?;
    ["persistentvolumes", "mdvol", "mdrep"].iter().try_for_each(|kind| no_more(&cluster, kind))?;
    nothing_left(&lab)
}

/// Waits until the pod is ready; gives its node.
fn running(cluster: &Cluster<'_>, pod: &str) -> Result<String> {
    let ready = cluster.lab.wait_for(&format!("pod {pod} to be ready"), POD_DEADLINE, || {
        Ok(cluster.kubectl.find("pod", pod)?.filter(is_ready))
    })?;
    Ok(word(&ready, "/spec/nodeName"))
}

/// The file is in the volume, and the volume is a file system of its own.
fn has_written(cluster: &Cluster<'_>) -> Result<()> {
    let look = ["exec", POD, "--", "/bin/sh", "-c", "cat /data/file; grep ' /data ' /proc/mounts"];
    let said = cluster.lab.wait_for("the pod's file", POD_DEADLINE, || {
        Ok(cluster.kubectl.run(&look).ok().filter(|said| said.starts_with(WORDS)))
    })?;
    ensure!(said.contains(" /data xfs rw"), "the pod has something else at /data:\n{said}");
    Ok(())
}

/// One volume, owned by the pod's node, with two copies of which one is there.
fn is_replicated(cluster: &Cluster<'_>, node: &str) -> Result<()> {
    let volumes = cluster.kubectl.list(&["mdvol"])?;
    let [volume] = volumes.as_slice() else { bail!("{} volumes instead of one", volumes.len()) };
    let copies = cluster.kubectl.list(&["mdrep"])?;
    let places: Vec<String> = copies.iter().map(|copy| word(copy, "/spec/node")).collect();
    ensure!(places.len() == 2 && places.iter().any(|place| place == node), "{node} is not among {places:?}");
    let phase = word(volume, "/status/phase");
    ensure!(phase == "Synced", "the volume is {phase}");
    Ok(())
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
