//! Twenty claims at once with what they cost, and one that goes from node to node.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::costs::Costs;
use super::written::Written;
use super::{LOCAL, POD_DEADLINE, SIZE, no_more, nothing_of_claims, settled};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::metrics::{Requests, requests, since};
use crate::kube::objects::{self, is_ready};
use crate::scenarios::Stage;

const CLAIMS: usize = 20;
/// Twenty pods start on three emulated processors.
const ALL_READY: Duration = Duration::from_mins(12);
const ALL_GONE: Duration = Duration::from_mins(8);
/// How long a cluster is watched in which nothing is asked for.
const WATCHED: Duration = Duration::from_mins(1);
/// After the last pod came, what was to be told of it is told.
const CALMS_DOWN: Duration = Duration::from_secs(30);
/// So often may a node say meanwhile that it lives: every 5 s, and again where that met another write.
const BEATS: usize = 15;
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
    are_used(&cluster)?;
    is_quiet(&watched(&cluster)?, cluster.lab.nodes().len())?;
    let start = Instant::now();
    gone(&cluster, "pods")?;
    cluster.lab.wait_for("no volumeattachments", ALL_GONE, || {
        Ok(cluster.kubectl.list(&["volumeattachments"])?.is_empty().then_some(()))
    })?;
    gone(&cluster, "persistentvolumeclaims")?;
    ["persistentvolumes", "mdvol", "mdrep"].iter().try_for_each(|kind| no_more(&cluster, kind))?;
    println!("    all of them gone again: {:.1} s", start.elapsed().as_secs_f64());
    nothing_of_claims(&cluster)
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

/// Each claim is bound, and each pod has written into a file system of its own.
fn are_used(cluster: &Cluster<'_>) -> Result<()> {
    let claims = cluster.kubectl.list(&["persistentvolumeclaims"])?;
    let bound = claims.iter().filter(|claim| word(claim, "/status/phase") == "Bound").count();
    ensure!(bound == CLAIMS, "{bound} claims are Bound, not {CLAIMS}");
    let look = "test -s /data/file && grep ' /data xfs rw' /proc/mounts";
    (0..CLAIMS).try_for_each(|number| {
        let pod = format!("writer-{number}");
        cluster.lab.wait_for(&format!("the file of {pod}"), POD_DEADLINE, || {
            Ok(cluster.kubectl.run(&["exec", &pod, "--", "/bin/sh", "-c", look]).ok().map(drop))
        })
    })
}

/// All objects of a kind in the namespace of scenarios.
fn gone(cluster: &Cluster<'_>, kind: &str) -> Result<()> {
    cluster.kubectl.run(&["delete", kind, "--all", "--wait=false"])?;
    cluster.lab.wait_for(&format!("no {kind}"), ALL_GONE, || {
        Ok(cluster.kubectl.list(&[kind])?.is_empty().then_some(()))
    })
}

/// What the API server is asked for our kinds, and for leases, while nobody asks the product for anything; and what that takes.
fn watched(cluster: &Cluster<'_>) -> Result<Requests> {
    pause(cluster, CALMS_DOWN)?;
    let (costs, before) = (Costs::now(cluster.lab)?, requests(&cluster.kubectl)?);
    pause(cluster, WATCHED)?;
    let asked = since(&before, &requests(&cluster.kubectl)?);
    costs.print_until_now(cluster.lab)?;
    let told: Vec<String> = asked.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!("    requests within {} s of nothing to do: {}", WATCHED.as_secs(), told.join(", "));
    Ok(asked)
}

fn is_quiet(asked: &Requests, nodes: usize) -> Result<()> {
    let more: Vec<&String> = asked.keys().filter(|what| !is_idle(what)).collect();
    ensure!(more.is_empty(), "asked for with nothing to do: {more:?}");
    let of_nodes = asked.iter().filter(|(what, _)| what.ends_with(" storagenodes"));
    let beats: u64 = of_nodes.map(|(_, count)| count).sum();
    let most = u64::try_from(nodes * BEATS)?;
    ensure!(beats <= most, "{nodes} nodes said {beats} times that they live, not {most} times at most");
    Ok(())
}

/// Nodes say that they live, whoever leads that it does, and a watch is opened again when its time is over.
fn is_idle(what: &str) -> bool {
    match what.split_once(' ').unwrap_or_default() {
        ("WATCH", _) | ("APPLY" | "PATCH", "storagenodes") => true,
        (verb, kind) => kind == "leases" && verb != "LIST",
    }
}

fn pause(cluster: &Cluster<'_>, length: Duration) -> Result<()> {
    let start = Instant::now();
    cluster.lab.wait_for("time to pass", length * 2, || Ok((start.elapsed() >= length).then_some(())))
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

    #[test]
    fn heartbeats_leases_and_watches_are_quiet_and_nothing_else_is() {
        let judged = |what: &str, count: u64| is_quiet(&Requests::from([(what.to_owned(), count)]), 3);
        for what in ["APPLY storagenodes", "PUT leases", "WATCH volumes"] {
            judged(what, 45).unwrap();
        }
        for (what, count) in
            [("APPLY storagenodes", 46), ("LIST leases", 1), ("APPLY volumes", 1), ("GET storagenodes", 1)]
        {
            judged(what, count).unwrap_err();
        }
    }
}
