//! Twenty claims at once, and one that goes from node to node; what that takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::written::Written;
use super::{LOCAL, SIZE, no_more, nothing_of_claims, settled};
use crate::kube::Cluster;
use crate::kube::metrics::{Requests, requests};
use crate::kube::objects::{self, is_ready};
use crate::node::Node;
use crate::scenarios::Stage;

const CLAIMS: usize = 20;
/// Twenty pods start on three emulated processors.
const ALL_READY: Duration = Duration::from_mins(12);
const ALL_GONE: Duration = Duration::from_mins(8);
/// How long a cluster is watched in which nothing is asked for.
const WATCHED: Duration = Duration::from_mins(1);
/// After the last pod came, what was to be told of it is told.
const CALMS_DOWN: Duration = Duration::from_secs(30);
const MOVES: usize = 10;

pub(super) fn twenty(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let start = Instant::now();
    cluster.kubectl.apply("twenty", &all().to_string())?;
    cluster.lab.wait_for("all pods to be ready", ALL_READY, || {
        let pods = cluster.kubectl.list(&["pods"])?;
        Ok((pods.iter().filter(|pod| is_ready(pod)).count() == CLAIMS).then_some(()))
    })?;
    println!("    {CLAIMS} claims and their pods: {:.1} s", start.elapsed().as_secs_f64());
    let quiet = watched(&cluster)?;
    cluster.lab.nodes().iter().try_for_each(print_memory)?;
    let start = Instant::now();
    gone(&cluster, "pods")?;
    cluster.lab.wait_for("no volumeattachments", ALL_GONE, || {
        Ok(cluster.kubectl.list(&["volumeattachments"])?.is_empty().then_some(()))
    })?;
    gone(&cluster, "persistentvolumeclaims")?;
    ["persistentvolumes", "mdvol", "mdrep"].iter().try_for_each(|kind| no_more(&cluster, kind))?;
    println!("    all of them gone again: {:.1} s", start.elapsed().as_secs_f64());
    nothing_of_claims(&cluster)?;
    ensure!(quiet.lists == 0, "{} listings within {} s of nothing to do", quiet.lists, WATCHED.as_secs());
    Ok(())
}

/// Each claim with a pod of its own.
fn all() -> Value {
    let pair = |number: usize| {
        let (claim, pod) = (format!("data-{number}"), format!("writer-{number}"));
        [objects::claim(&claim, LOCAL, SIZE), objects::pod(&pod, &claim, "date >/data/file && sync")]
    };
    let items: Vec<Value> = (0..CLAIMS).flat_map(pair).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// All objects of a kind in the namespace of scenarios.
fn gone(cluster: &Cluster<'_>, kind: &str) -> Result<()> {
    cluster.kubectl.run(&["delete", kind, "--all", "--wait=false"])?;
    cluster.lab.wait_for(&format!("no {kind}"), ALL_GONE, || {
        Ok(cluster.kubectl.list(&[kind])?.is_empty().then_some(()))
    })
}

/// What the API server is asked for our kinds, and for leases, while nobody asks the product for anything.
fn watched(cluster: &Cluster<'_>) -> Result<Requests> {
    pause(cluster, CALMS_DOWN)?;
    let before = requests(&cluster.kubectl)?;
    pause(cluster, WATCHED)?;
    let asked = requests(&cluster.kubectl)?.since(&before);
    let told: Vec<String> = asked.by_kind.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("    requests within {} s of nothing to do: {}", WATCHED.as_secs(), told.join(", "));
    Ok(asked)
}

fn pause(cluster: &Cluster<'_>, length: Duration) -> Result<()> {
    let start = Instant::now();
    cluster.lab.wait_for("time to pass", length * 2, || Ok((start.elapsed() >= length).then_some(())))
}

/// What daemon and driver have in memory on a node.
fn print_memory(node: &Node) -> Result<()> {
    let look = "for name in mdfabric mdfabric-csi; do for pid in $(pgrep -x $name); do \
                echo $name $(awk '/^VmRSS/ { print $2 }' /proc/$pid/status); done; done";
    let said = node.sh(look)?.ok()?.stdout;
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in said.lines() {
        let (name, kib) = line.split_once(' ').with_context(|| said.clone())?;
        // A probe that ended meanwhile has nothing.
        if let Ok(kib) = kib.parse::<u32>() {
            told.entry(name).or_default().push(format!("{:.1}", f64::from(kib) / 1024.0));
        }
    }
    println!("    {}: MiB resident: {told:?}", node.name());
    Ok(())
}

pub(super) fn ten_moves(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, LOCAL, 111)?;
    let mut took = Vec::new();
    for _ in 0..MOVES {
        let start = Instant::now();
        written.moves()?;
        took.push(format!("{:.0}", start.elapsed().as_secs_f64()));
    }
    println!("    seconds until the pod wrote elsewhere: {}", took.join(" "));
    let node = written.node()?;
    settled(&cluster, "its copy where the pod is", |nodes| nodes == [node.name()])?;
    written.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_has_a_pod() {
        let all = all();
        let items = all["items"].as_array().unwrap();
        let named = |kind: &str| items.iter().filter(|item| item["kind"] == kind).count();
        assert_eq!((named("PersistentVolumeClaim"), named("Pod")), (CLAIMS, CLAIMS));
    }
}
