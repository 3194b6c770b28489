//! The product as users of Kubernetes meet it: claims and pods on a real control plane, a real kubelet and a real containerd.

mod costs;
mod dead;
mod growth;
mod killed;
mod many;
mod placement;
mod relocation;
mod uses;
mod written;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::command::output;
use crate::daemon::{synced_on, word};
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::lab::Lab;
use crate::product::{is_settled_on, nothing_left};

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
    Scenario {
        name: "kube_drain_one_copy",
        shows: "the node of a writing pod is drained: the pod goes on elsewhere at once, the one copy follows it, the phases are seen in a watch, \
                the old copy is erased, and every acknowledged write is there",
        lab: Needs::Kube,
        run: relocation::one_copy,
    },
    Scenario {
        name: "kube_drain_two_copies",
        shows: "the same with two copies, on neither of whose nodes the pod comes up: never degraded; then a node that only has a copy is drained: \
                nothing moves and the pod writes on",
        lab: Needs::Kube,
        run: relocation::two_copies,
    },
    Scenario {
        name: "kube_lost_provider_is_healed",
        shows: "a node that only has a copy loses its power and is deleted from the cluster: the pod writes on, the copy is made elsewhere after \
                memberMissingTimeout, and the old one is erased once the node is back",
        lab: Needs::Kube,
        run: relocation::lost_provider,
    },
    Scenario {
        name: "kube_placement_list",
        shows: "a node is added to a volume's list of places by a patch, then another one taken off, while a pod writes: a copy more, then one less, \
                told in events and in the tables, the space of the one that went is free again, and nothing is lost",
        lab: Needs::Kube,
        run: placement::patched,
    },
    Scenario {
        name: "kube_scale_down_waits_while_degraded",
        shows: "while one of three copies is without power no other one is dropped by an edit: a condition and an event name its node; once it is \
                back and whole, it is done",
        lab: Needs::Kube,
        run: placement::waits_while_degraded,
    },
    Scenario {
        name: "kube_claim_grows_under_load",
        shows: "a claim asks for more while its pod writes: all copies and the file system grow, nothing is lost",
        lab: Needs::Kube,
        run: growth::of_xfs,
    },
    Scenario {
        name: "kube_ext4_claim_grows_under_load",
        shows: "the same with ext4, of a class that asks for it",
        lab: Needs::Kube,
        run: growth::of_ext4,
    },
    Scenario {
        name: "kube_raw_block",
        shows: "a claim for a block device is written by its pod, then by the next one on another node, and grows meanwhile: every acknowledged \
                write is there",
        lab: Needs::Kube,
        run: growth::of_device,
    },
    Scenario {
        name: "kube_attributes_class_three_copies",
        shows: "a claim gets a VolumeAttributesClass with three copies while its pod writes: a third one is made",
        lab: Needs::Kube,
        run: growth::three_copies,
    },
    Scenario {
        name: "kube_ways_to_use_volumes",
        shows: "fsGroup, a claim used read-only, a raw block device, two claims of one pod, and the device's content on another node",
        lab: Needs::Kube,
        run: uses::of_pods,
    },
    Scenario {
        name: "kube_twenty_claims",
        shows: "twenty claims with a pod each, at once; what memory and processor time daemons and drivers take then; what the API server is asked \
                while there is nothing to do: heartbeats, leases, watches and nothing else; all of them go again",
        lab: Needs::Kube,
        run: many::twenty,
    },
    Scenario {
        name: "kube_ten_moves",
        shows: "a pod that writes all the time is made again on another node ten times: every acknowledged write is there, and the one copy is \
                where the last one is",
        lab: Needs::Kube,
        run: many::ten_moves,
    },
    Scenario {
        name: "kube_node_dies_out_of_service",
        shows: "the node of a writing pod loses its power and gets the out-of-service taint: the pod writes on elsewhere with all that was \
                acknowledged, nothing is attached to the dead node, and back again it has nothing of the pod but a copy",
        lab: Needs::Kube,
        run: dead::out_of_service,
    },
    Scenario {
        name: "kube_node_dies_and_is_deleted",
        shows: "the same where nobody does anything but delete the Node object",
        lab: Needs::Kube,
        run: dead::deleted,
    },
    Scenario {
        name: "kube_claim_deleted_while_a_node_is_down",
        shows: "a claim is deleted while the node of its other copy is without power: the claim goes at once, that copy is erased when the node is \
                back",
        lab: Needs::Kube,
        run: dead::with_a_copy,
    },
    Scenario {
        name: "kube_killed_at_random",
        shows: "daemons, drivers, sidecars and the API server killed at random, fifty times, while claims come, are used, grow and go: all of it ends \
                right, and nothing is left",
        lab: Needs::Kube,
        run: killed::at_random,
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
    settled(&cluster, "two copies, one of them where the pod is", |nodes| {
        nodes.len() == 2 && nodes.contains(&node)
    })?;
    clear(&cluster)
}

fn one_copy_follows_its_pod(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::claim(CLAIM, LOCAL, SIZE))?;
    run(&cluster, &objects::on("node-1", writer()))?;
    is_read(&cluster)?;
    settled(&cluster, "its copy on node-1", |nodes| nodes == ["node-1"])?;
    remove(&cluster, "pod", POD)?;
    run(&cluster, &objects::on("node-2", objects::pod(POD, CLAIM, "true")))?;
    is_read(&cluster)?;
    settled(&cluster, "its copy on node-2", |nodes| nodes == ["node-2"])?;
    is_read(&cluster)?;
    clear(&cluster)
}

/// A pod that writes [`WORDS`] and stays.
fn writer() -> Value {
    objects::pod(POD, CLAIM, &format!("echo {WORDS} >{FILE} && sync"))
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

/// Waits until the only volume has all its copies, each of them whole, on nodes that `are` right, and nothing is under way; gives it.
fn settled(cluster: &Cluster<'_>, what: &str, are: impl Fn(&[String]) -> bool) -> Result<Value> {
    cluster.lab.wait_for(what, FOLLOWS_DEADLINE, || {
        let volume = only_volume(cluster)?;
        let nodes = synced_on(&volume);
        let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
        Ok((is_settled_on(&volume, &names) && are(&nodes)).then_some(volume))
    })
}

/// Pod and claim go, and with them everything that was made for them.
fn clear(cluster: &Cluster<'_>) -> Result<()> {
    remove(cluster, "pod", POD)?;
    clear_claim(cluster, CLAIM)
}

/// A claim that no pod has any more goes, and with it everything that was made for it.
fn clear_claim(cluster: &Cluster<'_>, claim: &str) -> Result<()> {
    no_more(cluster, "volumeattachments")?;
    remove(cluster, "persistentvolumeclaim", claim)?;
    ["persistentvolumes", "mdvol", "mdrep"].iter().try_for_each(|kind| no_more(cluster, kind))?;
    nothing_of_claims(cluster)
}

/// Prints the mounts of volumes, and the loop devices by which the kubelet holds raw ones open.
const MOUNTED: &str = "grep -E ' /var/lib/kubelet/.*/(kubernetes.io~csi|kubernetes.io/csi)/' /proc/mounts; \
                       ls -d /sys/block/loop*/loop 2>/dev/null; true";

/// No node has anything that a claim needed: in records, in its kernel, below the kubelet's directory.
fn nothing_of_claims(cluster: &Cluster<'_>) -> Result<()> {
    nothing_left(cluster.lab)?;
    for node in cluster.lab.nodes() {
        let said = node.sh(MOUNTED)?.ok()?;
        ensure!(said.text().is_empty(), "{} still has mounted\n{}", node.name(), said.text());
        // The kubelet has a kernel that panicked start anew, and then everything of the node comes back.
        node.has_kernel()?;
    }
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
