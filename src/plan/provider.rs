//! The provider's machine: drives and replicas of this node.
//!
//! A replica's life here:
//! ```text
//! Requested -carve-> (partition) -zero, read back-> Created -export/fence per epoch-> … -fence, erase, remove-> gone
//!                                                     '-larger, tail zeroed-'
//! ```

mod drives;
mod growth;
mod replica;
#[cfg(test)]
mod tests;

use super::{Input, Plan, stuck};

/// Everything this node does for its own drives and replicas.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    let mut plan = drives::plan(input);
    for replica in input.world.replicas().filter(|replica| replica.spec.node == *input.me) {
        plan.merge(replica::plan(input, &replica));
    }
    plan.merge(stuck::plan(input));
    plan
}
