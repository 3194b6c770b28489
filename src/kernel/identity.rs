//! What a node says of itself.

use kernel_abi::{Root, module};

use super::Check;
use crate::domain::{Endpoint, NodeName, NodeStatus, Timestamp, host_id, host_nqn};

/// The report of the node `name` that listens at `endpoint` and whose kernel gave these `checks`.
#[must_use]
pub fn report(name: &NodeName, endpoint: Endpoint, checks: &[Check]) -> NodeStatus {
    let root = Root::live();
    NodeStatus {
        endpoint,
        host_nqn: host_nqn(name),
        host_id: host_id(name),
        kernel: module::kernel_release(&root).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: root.read("proc/sys/kernel/random/boot_id").unwrap_or_default(),
        missing: checks
            .iter()
            .filter(|check| check.required && !check.ok)
            .map(|check| check.name.clone())
            .collect(),
        heartbeat_at: Timestamp(0),
        dead_after_millis: 0,
    }
}
