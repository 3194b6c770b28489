//! A pod of a `StatefulSet` that writes wherever it runs, and the proof that nothing of it is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{POD_DEADLINE, SIZE, clear_claim, remove};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects::{self, PROGRAMS, is_ready};
use crate::load::{CALM, Work};
use crate::node::Node;
use crate::product::{WORK_BYTES, more_writes};
use crate::qemu::LOG_PORTS;

const SET: &str = "writer";
pub(super) const POD: &str = "writer-0";
pub(super) const CLAIM: &str = "data-writer-0";
/// What it writes to, in the pod and below the mount.
const FILE: &str = "file";
/// For a writer that was told to end: its last write may be held by the storage.
const ENDS: Duration = Duration::from_mins(1);

/// The pod, and where the log of each node had come to before it wrote.
pub(super) struct Written<'a> {
    cluster: &'a Cluster<'a>,
    seed: u64,
    logs: Vec<(Node, usize)>,
}

impl<'a> Written<'a> {
    /// Makes the pod with a volume of this class, and sees its first writes.
    pub(super) fn start(cluster: &'a Cluster<'a>, class: &str, seed: u64) -> Result<Self> {
        let begin = |node: Node| -> Result<(Node, usize)> {
            let length = node.ack_log()?.len();
            Ok((node, length))
        };
        let logs = cluster.lab.nodes().into_iter().map(begin).collect::<Result<_>>()?;
        let written = Self { cluster, seed, logs };
        cluster.make(&objects::stateful(SET, class, SIZE, &script(&work(seed, "/data"))))?;
        written.goes_on(20)?;
        Ok(written)
    }

    /// Waits until it is ready, and `is_it`.
    fn pod(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        self.cluster.lab.wait_for(what, POD_DEADLINE, || {
            Ok(self.cluster.kubectl.find("pod", POD)?.filter(|pod| is_ready(pod) && is_it(pod)))
        })
    }

    fn node_of(&self, pod: &Value) -> Result<Node> {
        self.cluster.lab.node(&word(pod, "/spec/nodeName"))
    }

    /// Where it runs.
    pub(super) fn node(&self) -> Result<Node> {
        self.node_of(&self.pod("the pod to be ready", |_| true)?)
    }

    /// Waits until it writes somewhere else.
    pub(super) fn moved_from(&self, old: &Node) -> Result<Node> {
        let elsewhere = |pod: &Value| word(pod, "/spec/nodeName") != old.name();
        let pod = self.pod(&format!("the pod to run elsewhere than on {}", old.name()), elsewhere)?;
        let new = self.node_of(&pod)?;
        more_writes(self.cluster.lab, &new, 20, || Ok(()))?;
        println!("    the pod went from {} to {}", old.name(), new.name());
        Ok(new)
    }

    /// Waits until `more` further writes are acknowledged.
    pub(super) fn goes_on(&self, more: usize) -> Result<()> {
        more_writes(self.cluster.lab, &self.node()?, more, || Ok(()))
    }

    /// Ends the writer, checks every write that was acknowledged on any node, and clears everything away.
    pub(super) fn end(self) -> Result<()> {
        let pod = self.pod("the pod to be ready", |_| true)?;
        let node = self.node_of(&pod)?;
        ensure!(node.kill_process("lab", "TERM")?, "no writer writes on {}", node.name());
        self.cluster.lab.wait_for("the writer to end", ENDS, || {
            Ok((node.run(&["pgrep", "-x", "lab"])?.status == 1).then_some(()))
        })?;
        self.verify(&node, &pod)?;
        let pod = self.pod("the pod to be ready", |_| true)?;
        let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64);
        ensure!(restarts == Some(0), "a write failed: the container was started anew {restarts:?} times");
        remove(self.cluster, "statefulset", SET)?;
        super::no_more(self.cluster, "pods")?;
        clear_claim(self.cluster, CLAIM)
    }

    /// The node sees the volume where the kubelet has it mounted.
    fn verify(&self, node: &Node, pod: &Value) -> Result<()> {
        let claim = self.cluster.kubectl.find("persistentvolumeclaim", CLAIM)?.unwrap_or_default();
        let (uid, volume) = (word(pod, "/metadata/uid"), word(&claim, "/spec/volumeName"));
        let mount = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{volume}/mount");
        let since = |(node, begin): &(Node, usize)| -> Result<Vec<u8>> {
            Ok(node.ack_log()?.get(*begin..).unwrap_or_default().to_vec())
        };
        let mut logs: Vec<Vec<u8>> = self.logs.iter().map(since).collect::<Result<_>>()?;
        logs.retain(|log| !log.is_empty());
        let verdict = work(self.seed, &mount).verify(node, &logs)?;
        println!("    {} acknowledged writes", verdict.acknowledged);
        ensure!(verdict.is_good() && verdict.acknowledged > 0, "{}: {verdict:?}", node.name());
        Ok(())
    }
}

fn work(seed: u64, mount: &str) -> Work {
    Work { path: format!("{mount}/{FILE}"), size: WORK_BYTES, seed, rest: CALM }
}

/// Writes until it is told to end, and stays: what was written can be looked at then. Versions begin at the time of day, which leaves more room
/// between two writers, one after the other, than a writer can use.
fn script(work: &Work) -> String {
    let writer = work.writer("$(date +%s)000", LOG_PORTS[0]).join(" ");
    format!(
        "{PROGRAMS}/{writer} & writer=$!
trap 'kill $writer; wait $writer; exit 0' TERM
wait $writer || exit
while :; do sleep 1; done"
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_script_is_one_for_a_shell_and_its_versions_rise() {
        let script = script(&work(7, "/data"));
        assert!(Command::new("sh").args(["-n", "-c", &script]).status().unwrap().success());
        assert!(script.starts_with("/opt/mdfabric/lab writer --path /data/file "));
        assert!(script.contains(" --first-version $(date +%s)000 "));
    }
}
