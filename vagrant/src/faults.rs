//! What is done to a guest's drive from outside, while the guest runs: it hangs, or its requests fail.
//!
//! A hung drive is a throttled one: a request costs as many operations as it has bytes, and one is let through each second.
//! A failing one gets a `blkdebug` node between its file and the controller.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::node::Node;

/// A drive of a guest, by its serial number.
#[derive(Debug, Clone)]
pub struct Faults<'a> {
    node: &'a Node,
    serial: &'a str,
}

impl<'a> Faults<'a> {
    /// Of this drive.
    #[must_use]
    pub fn of(node: &'a Node, serial: &'a str) -> Self {
        Self { node, serial }
    }

    /// From now on no request is answered. The guest's kernel is told to wait for that, which it would do for 30 s otherwise.
    pub fn hang(&self) -> Result<()> {
        let patience = format!("echo 600000 >/sys/block/{}/queue/io_timeout", self.name()?);
        self.node.sh(&patience)?.ok()?;
        self.throttle(1)
    }

    /// Everything is answered again, what waited first.
    pub fn answer(&self) -> Result<()> {
        self.throttle(0)
    }

    fn throttle(&self, operations: u64) -> Result<()> {
        let mut limits =
            json!({"device": self.serial, "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": operations});
        let more = json!({"iops_rd": 0, "iops_wr": 0, "iops_size": operations});
        if let (Some(limits), Some(more)) = (limits.as_object_mut(), more.as_object()) {
            limits.extend(more.clone());
        }
        self.node.qmp("block_set_io_throttle", &limits).map(drop)
    }

    /// From now on every write fails: a media error to the guest.
    pub fn fail_writes(&self) -> Result<()> {
        let below = self.current()?;
        let node = format!("fails-{}", self.serial);
        let error = json!([{"event": "none", "iotype": "write", "errno": 5}]);
        let debug = json!({"driver": "blkdebug", "node-name": node, "image": below, "inject-error": error});
        self.node.qmp("blockdev-add", &debug)?;
        self.put_in(&node)
    }

    /// Writes work again.
    pub fn mend(&self) -> Result<()> {
        let node = format!("fails-{}", self.serial);
        ensure!(self.current()? == node, "{} does not fail", self.serial);
        self.put_in(&self.below(&node)?)?;
        self.node.qmp("blockdev-del", &json!({"node-name": node})).map(drop)
    }

    /// Gives the controller another node as its medium.
    fn put_in(&self, node: &str) -> Result<()> {
        let path = format!("/machine/peripheral/nvme-{}", self.serial);
        self.node.qmp("qom-set", &json!({"path": path, "property": "drive", "value": node})).map(drop)
    }

    /// The block node that the controller has as its medium.
    fn current(&self) -> Result<String> {
        let backends = self.node.qmp("query-block", &json!({}))?;
        let mut ours = backends
            .as_array()
            .into_iter()
            .flatten()
            .filter(|backend| backend.get("device").and_then(Value::as_str) == Some(self.serial));
        let node = ours.next().and_then(|backend| backend.pointer("/inserted/node-name"));
        Ok(node
            .and_then(Value::as_str)
            .with_context(|| format!("no block node of {}", self.serial))?
            .to_owned())
    }

    /// The node below another one.
    fn below(&self, node: &str) -> Result<String> {
        let graph = self.node.qmp("x-debug-query-block-graph", &json!({}))?;
        let (nodes, edges) = (graph.pointer("/nodes"), graph.pointer("/edges"));
        let nodes = || nodes.and_then(Value::as_array).into_iter().flatten();
        let id = |name: &str| nodes().find(|node| node["name"] == name).map(|node| node["id"].clone());
        let parent = id(node).with_context(|| format!("no node {node}"))?;
        let edge = edges.and_then(Value::as_array).into_iter().flatten();
        let child = edge.into_iter().find(|edge| edge["parent"] == parent).map(|edge| edge["child"].clone());
        let child = nodes().find(|node| Some(&node["id"]) == child.as_ref());
        let name = child.and_then(|child| child["name"].as_str());
        Ok(name.with_context(|| format!("nothing is below {node}"))?.to_owned())
    }

    /// The kernel's name of the drive.
    fn name(&self) -> Result<String> {
        let device = crate::product::drive_device(self.node, self.serial)?;
        Ok(device.trim_start_matches("/dev/").to_owned())
    }
}
