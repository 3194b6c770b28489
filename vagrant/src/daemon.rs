//! The product on a lab's guests: how its daemon is started, and its command line as scenarios use it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::lab::Lab;
use crate::node::{Node, Output, Spawned};

/// Where the daemon's configuration is in a guest.
pub const CONFIG: &str = "/etc/mdfabric/mdfabric.toml";

/// Where its output goes in a guest.
pub const LOG: &str = "/var/log/mdfabric.log";

/// How long a verb may take: a full copy of a gibibyte on emulated machines.
pub const VERB_DEADLINE: Duration = Duration::from_mins(5);

/// How much silence of each other the daemons of a patient lab bear.
const PATIENCE: &str = "peer-silent-millis = 2000\n";

/// How long a daemon may take to answer after its start.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// The configuration of the daemon on `node` of a cluster whose records are in etcd.
#[must_use]
pub fn config(lab: &Lab, node: &Node) -> String {
    let patience = if lab.is_patient() { PATIENCE } else { "" };
    format!(
        "node = {:?}\ndata-address = {:?}\n{patience}\n[store]\netcd = [{:?}]\n\n[log]\nformat = \"text\"\n",
        node.name(),
        node.address(),
        lab.etcd_endpoint()
    )
}

/// Starts `mdfabric node` on `node` with this configuration; returns at once.
pub fn start(node: &Node, config: &str) -> Result<Spawned> {
    node.sh("mkdir -p /etc/mdfabric /run/mdfabric")?.ok()?;
    node.put_file(CONFIG, config.as_bytes())?;
    node.spawn(&["sh", "-c", &format!("exec mdfabric node --config {CONFIG} >>{LOG} 2>&1")])
}

/// Starts the daemon on `node` and waits until it answers.
pub fn start_and_wait(lab: &Lab, node: &Node) -> Result<()> {
    start(node, &config(lab, node))?;
    wait_answering(lab, node)
}

/// Waits until the daemon on `node` answers and knows what the store holds.
pub fn wait_answering(lab: &Lab, node: &Node) -> Result<()> {
    lab.wait_for(&format!("the daemon of {} to answer", node.name()), START_DEADLINE, || {
        let answer = node.run(&["mdfabric", "node", "ls", "-o", "json"])?;
        Ok((answer.status == 0 && answer.stdout.contains(node.name())).then_some(()))
    })
}

/// Starts the daemons of all nodes.
pub fn start_all(lab: &Lab) -> Result<()> {
    let nodes = lab.nodes();
    for node in &nodes {
        start(node, &config(lab, node))?;
    }
    nodes.iter().try_for_each(|node| wait_answering(lab, node))
}

/// Ends the daemons of all nodes as crashes would, and starts others.
pub fn restart_all(lab: &Lab) -> Result<()> {
    lab.nodes().iter().try_for_each(kill)?;
    start_all(lab)
}

/// Gives one drive of every node to mdfabric.
pub fn add_drives(lab: &Lab) -> Result<()> {
    for node in lab.nodes() {
        let serial = &node.spec().drives.first().context("a node without drives")?.serial;
        mdfabric(&node, &["drive", "add", serial])?.ok()?;
    }
    Ok(())
}

/// Whether all daemons answer and there is no volume.
#[must_use]
pub fn is_empty_cluster(lab: &Lab) -> bool {
    lab.nodes().iter().all(|node| {
        let listed = mdfabric(node, &["volume", "ls", "-o", "json"]);
        listed.is_ok_and(|output| output.status == 0 && output.text() == "[]" && output.stderr.is_empty())
    })
}

/// Runs a verb on `node`. A refusal is no error: see [`Output::ok`].
pub fn mdfabric(node: &Node, arguments: &[&str]) -> Result<Output> {
    node.run_for(VERB_DEADLINE, &[&["mdfabric"], arguments].concat())
}

/// Ends the daemon on `node` at once, as a crash would.
pub fn kill(node: &Node) -> Result<()> {
    if node.kill_process("mdfabric", "KILL")? { Ok(()) } else { bail!("no daemon runs on {}", node.name()) }
}

/// A volume as `volume show -o json` gives it.
pub fn volume(node: &Node, name: &str) -> Result<Value> {
    let output = mdfabric(node, &["volume", "show", name, "-o", "json"])?.ok()?;
    serde_json::from_str(&output.stdout).with_context(|| format!("volume show {name}: {}", output.stdout))
}

/// The word at `path` (`/status/phase`) of a volume; empty where there is none.
#[must_use]
pub fn word(volume: &Value, path: &str) -> String {
    volume.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The nodes of a volume's members that are in sync, by name.
#[must_use]
pub fn synced_on(volume: &Value) -> Vec<String> {
    let members = volume.pointer("/status/members").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut nodes: Vec<String> = members
        .iter()
        .filter(|member| word(member, "/state") == "Synced")
        .map(|member| word(member, "/node"))
        .collect();
    nodes.sort();
    nodes
}
