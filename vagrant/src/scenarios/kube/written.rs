//! A pod of a `StatefulSet` that writes wherever it runs, and the proof that nothing of it is lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::relocation::uncordon;
use super::{POD_DEADLINE, SIZE, clear_claim, only_volume, remove};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects::{self, PROGRAMS, is_ready};
use crate::load::{CALM, Work};
use crate::node::Node;
use crate::product::{WORK_BYTES, device, more_writes};
use crate::qemu::LOG_PORTS;

const SET: &str = "writer";
pub(super) const POD: &str = "writer-0";
pub(super) const CLAIM: &str = "data-writer-0";
/// Where it sees its volume.
pub(super) const DATA: &str = "/data";
/// What it writes to in a volume of files.
const FILE: &str = "file";
/// For a writer that was told to end: its last write may be held by the storage.
const ENDS: Duration = Duration::from_mins(1);

/// What the pod has of its volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Files,
    Device,
}

impl Has {
    fn set(self, class: &str, seed: u64) -> Value {
        let writes = |path: &str| objects::stateful(SET, class, SIZE, &script(&work(seed, path)));
        match self {
            Self::Files => writes(&format!("{DATA}/{FILE}")),
            Self::Device => objects::of_device(writes(DATA)),
        }
    }
}

/// The pod, and where the log of each node had come to before it wrote.
pub(super) struct Written<'a> {
    cluster: &'a Cluster<'a>,
    has: Has,
    seed: u64,
    logs: Vec<(Node, usize)>,
}

impl<'a> Written<'a> {
    /// Makes the pod with a volume of this class, and sees its first writes.
    pub(super) fn start(cluster: &'a Cluster<'a>, class: &str, seed: u64) -> Result<Self> {
        Self::begin(cluster, Has::Files, class, seed)
    }

    /// The same, but its volume is a block device.
    pub(super) fn start_on_device(cluster: &'a Cluster<'a>, class: &str, seed: u64) -> Result<Self> {
        Self::begin(cluster, Has::Device, class, seed)
    }

    fn begin(cluster: &'a Cluster<'a>, has: Has, class: &str, seed: u64) -> Result<Self> {
        let begin = |node: Node| -> Result<(Node, usize)> {
            let length = node.ack_log()?.len();
            Ok((node, length))
        };
        let logs = cluster.lab.nodes().into_iter().map(begin).collect::<Result<_>>()?;
        let written = Self { cluster, has, seed, logs };
        cluster.make(&has.set(class, seed))?;
        written.goes_on(20)?;
        Ok(written)
    }

    /// Waits until it is ready.
    fn pod(&self) -> Result<Value> {
        self.pod_within(POD_DEADLINE, "the pod to be ready", |_| true)
    }

    /// Waits until it is ready, and `is_it`.
    fn pod_within(&self, deadline: Duration, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        self.cluster.lab.wait_for(what, deadline, || {
            Ok(self.cluster.kubectl.find("pod", POD)?.filter(|pod| is_ready(pod) && is_it(pod)))
        })
    }

    fn node_of(&self, pod: &Value) -> Result<Node> {
        self.cluster.lab.node(&word(pod, "/spec/nodeName"))
    }

    /// Where it runs.
    pub(super) fn node(&self) -> Result<Node> {
        self.node_of(&self.pod()?)
    }

    /// Waits until it writes somewhere else.
    pub(super) fn moved_from(&self, old: &Node) -> Result<Node> {
        self.moved_within(POD_DEADLINE, old)
    }

    /// The same, where Kubernetes needs longer to let go of the pod that was.
    pub(super) fn moved_within(&self, deadline: Duration, old: &Node) -> Result<Node> {
        let elsewhere = |pod: &Value| word(pod, "/spec/nodeName") != old.name();
        let what = format!("the pod to run elsewhere than on {}", old.name());
        let pod = self.pod_within(deadline, &what, elsewhere)?;
        let new = self.node_of(&pod)?;
        more_writes(self.cluster.lab, &new, 20, || Ok(()))?;
        println!("    the pod went from {} to {}", old.name(), new.name());
        Ok(new)
    }

    /// The pod is deleted while its node takes no other: it is made again elsewhere. Waits until it writes there.
    pub(super) fn moves(&self) -> Result<()> {
        let (old, kubectl) = (self.node()?, &self.cluster.kubectl);
        kubectl.run(&["cordon", old.name()])?;
        kubectl.run(&["delete", "pod", POD, "--wait=false"])?;
        self.moved_from(&old)?;
        uncordon(self.cluster, old.name())
    }

    /// Waits until `more` further writes are acknowledged.
    pub(super) fn goes_on(&self, more: usize) -> Result<()> {
        more_writes(self.cluster.lab, &self.node()?, more, || Ok(()))
    }

    /// Ends the writer, checks every write that was acknowledged on any node, and clears everything away.
    pub(super) fn end(self) -> Result<()> {
        let pod = self.pod()?;
        let node = self.node_of(&pod)?;
        ensure!(node.kill_process("lab", "TERM")?, "no writer writes on {}", node.name());
        self.cluster.lab.wait_for("the writer to end", ENDS, || {
            Ok((node.run(&["pgrep", "-x", "lab"])?.status == 1).then_some(()))
        })?;
        self.verify(&node, &pod)?;
        let pod = self.pod()?;
        let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64);
        ensure!(restarts == Some(0), "a write failed: the container was started anew {restarts:?} times");
        remove(self.cluster, "statefulset", SET)?;
        super::no_more(self.cluster, "pods")?;
        clear_claim(self.cluster, CLAIM)
    }

    /// What the node sees of what the pod writes to: it is where the kubelet has it mounted, or the volume's device.
    fn on_node(&self, node: &Node, pod: &Value) -> Result<String> {
        if self.has == Has::Device {
            return device(node, &word(&only_volume(self.cluster)?, "/metadata/name"));
        }
        let claim = self.cluster.kubectl.find("persistentvolumeclaim", CLAIM)?.unwrap_or_default();
        let (uid, volume) = (word(pod, "/metadata/uid"), word(&claim, "/spec/volumeName"));
        Ok(format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{volume}/mount/{FILE}"))
    }

    fn verify(&self, node: &Node, pod: &Value) -> Result<()> {
        let since = |(node, begin): &(Node, usize)| -> Result<Vec<u8>> {
            Ok(node.ack_log()?.get(*begin..).unwrap_or_default().to_vec())
        };
        let mut logs: Vec<Vec<u8>> = self.logs.iter().map(since).collect::<Result<_>>()?;
        logs.retain(|log| !log.is_empty());
        let verdict = work(self.seed, &self.on_node(node, pod)?).verify(node, &logs)?;
        println!("    {} acknowledged writes", verdict.acknowledged);
        ensure!(verdict.is_good() && verdict.acknowledged > 0, "{}: {verdict:?}", node.name());
        Ok(())
    }
}

fn work(seed: u64, path: &str) -> Work {
    Work { path: path.to_owned(), size: WORK_BYTES, seed, rest: CALM }
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
        let script = script(&work(7, "/data/file"));
        assert!(Command::new("sh").args(["-n", "-c", &script]).status().unwrap().success());
        assert!(script.starts_with("/opt/mdfabric/lab writer --path /data/file "));
        assert!(script.contains(" --first-version $(date +%s)000 "));
    }
}
