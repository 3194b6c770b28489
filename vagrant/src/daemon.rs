//! The product's daemon on a guest: the one place that knows how it is started.

use anyhow::Result;

use crate::node::{Node, Spawned};

/// Where the daemon's configuration is in a guest.
pub const CONFIG: &str = "/etc/mdfabric.toml";

/// Where its output goes in a guest.
pub const LOG: &str = "/var/log/mdfabric.log";

/// Starts `mdfabric node` on `node` with this configuration; returns at once.
pub fn start(node: &Node, config: &str) -> Result<Spawned> {
    node.put_file(CONFIG, config.as_bytes())?;
    node.spawn(&["sh", "-c", &format!("exec mdfabric node --config {CONFIG} >>{LOG} 2>&1")])
}
