//! From a lab whose guests boot to a cluster with the product in it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Kubectl;
use super::objects::{self, is_ready, is_rolled_out};
use super::plane::{API_SERVER, FOLLOWERS};
use crate::command::tail;
use crate::daemon;
use crate::lab::Lab;
use crate::setup::Parts;
use crate::setup::helm::{Helm, NAMESPACE};
use crate::supervisor::control::Power;

/// The API server answers after 3 s of an idle machine.
const PLANE_DEADLINE: Duration = Duration::from_mins(2);
/// Three nodes at once are ready after 43 s of an idle machine, pods of the chart half a minute later.
const NODES_DEADLINE: Duration = Duration::from_mins(5);
/// What the chart is told for the lab.
const VALUES: &str = "vagrant/kube/values.yaml";

/// What is asked for a report.
const QUESTIONS: [&[&str]; 4] = [
    &["get", "nodes,pods,pvc,pv,volumeattachments", "--all-namespaces", "--output=wide"],
    &["get", "mdvol,mdrep,mddrive,mdnode", "--output=wide"],
    &["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"],
    &[
        "logs",
        "--namespace",
        NAMESPACE,
        "--all-containers",
        "--prefix",
        "--tail=15",
        "--selector=app.kubernetes.io/instance=mdfabric",
    ],
];

/// A lab with Kubernetes and the product in it.
pub struct Cluster<'a> {
    /// Where it runs.
    pub lab: &'a Lab,
    /// Asks the API server.
    pub kubectl: Kubectl,
}

impl<'a> Cluster<'a> {
    /// What was started in the lab.
    pub fn of(lab: &'a Lab) -> Result<Self> {
        Ok(Self { lab, kubectl: Kubectl::of(lab)? })
    }

    /// Starts the control plane and the product of the chart in a lab whose guests are up; gives every node's drive `a` to mdfabric.
    pub fn start(parts: &Parts, lab: &'a Lab) -> Result<Self> {
        let cluster = Self::of(lab)?;
        cluster.timed("control plane", || cluster.start_plane())?;
        cluster.timed("nodes ready", || cluster.wait_nodes())?;
        cluster.timed("chart installed, every pod ready", || {
            cluster.install(parts)?;
            cluster.wait_pods()
        })?;
        daemon::add_drives(lab)?;
        Ok(cluster)
    }

    fn timed(&self, what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        work().with_context(|| what.to_owned())?;
        println!("      {}: {what}: {:.1} s", self.lab.name(), start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Starts the control plane alone, in a lab that may have no node. The others give up where the API server does not answer them soon: they
    /// come after it.
    pub fn start_plane(&self) -> Result<()> {
        self.lab.power(API_SERVER, Power::On)?;
        self.lab.wait_for("the API server to answer", PLANE_DEADLINE, || {
            Ok(self.kubectl.run(&["get", "--raw=/readyz"]).ok())
        })?;
        FOLLOWERS.iter().try_for_each(|program| self.lab.power(program, Power::On))
    }

    fn wait_nodes(&self) -> Result<()> {
        let wanted = self.lab.nodes().len();
        self.lab.wait_for("all nodes to be ready", NODES_DEADLINE, || {
            let nodes = self.kubectl.list(&["nodes"])?;
            Ok((nodes.iter().filter(|node| is_ready(node)).count() == wanted).then_some(()))
        })
    }

    /// As `helm install` would: the chart is what users have.
    fn install(&self, parts: &Parts) -> Result<()> {
        let values = parts.cache.workspace().join(VALUES);
        let chart = Helm::prepare(&parts.cache)?.template(&["--values", &values.to_string_lossy()])?;
        self.kubectl.apply("namespace", &objects::namespace(NAMESPACE).to_string())?;
        self.kubectl.apply("chart", &chart)
    }

    /// A node that has just come is not counted everywhere yet.
    fn wait_pods(&self) -> Result<()> {
        let nodes = self.lab.nodes().len();
        self.lab.wait_for("the pods of the chart to be ready", NODES_DEADLINE, || {
            let sets = self.kubectl.list(&["--namespace", NAMESPACE, "daemonsets,deployments"])?;
            let is_everywhere =
                sets.iter().any(|set| set.pointer("/status/numberReady") == Some(&json!(nodes)));
            Ok((sets.len() == 2 && is_everywhere && sets.iter().all(is_rolled_out)).then_some(()))
        })
    }

    /// Waits until every node is ready again, and the product on each of them.
    pub fn wait_whole(&self) -> Result<()> {
        self.wait_nodes()?;
        self.wait_pods()
    }

    /// Makes an object.
    pub fn make(&self, object: &Value) -> Result<()> {
        let name =
            object.pointer("/metadata/name").and_then(Value::as_str).context("an object without a name")?;
        self.kubectl.apply(name, &object.to_string())
    }
}

/// What Kubernetes says of itself, for a person who was not there. Empty for a lab without it.
#[must_use]
pub(crate) fn told(lab: &Lab) -> String {
    let Ok(kubectl) = Kubectl::of(lab) else { return String::new() };
    let asked = QUESTIONS.iter().map(|question| {
        let answer = kubectl.run(&[*question, &["--request-timeout=10s"]].concat());
        let said = answer.unwrap_or_else(|err| format!("{err:#}"));
        format!("---- kubectl {} ----\n{}\n", question.join(" "), tail(&said, 60))
    });
    let logs = std::iter::once(API_SERVER).chain(FOLLOWERS).map(|program| {
        let log = fs::read_to_string(lab.dir().join(format!("{program}.log"))).unwrap_or_default();
        format!("---- {program} ----\n{}\n", tail(&log, 8))
    });
    asked.chain(logs).collect()
}
