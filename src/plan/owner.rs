//! The owner's machine: one volume on the node that owns it, or shall own it, or must not own it any more.
//!
//! ```text
//!            attachment = me                     attachment != me
//! unowned ------claim------> start -> run ------------release------> unowned
//!   (epoch + 1, by compare-    | legs, headers,    | unmount, stop, unmap, disconnect
//!    and-swap)                 | assemble          |
//!    ^                         +--- somebody else's epoch: evict (nobody hears of it any more, then the same)
//!    +--- owner dead, attachment = me: depose it and claim, in one write
//! ```

mod alone;
mod claim;
mod dead;
mod evacuate;
mod evict;
mod expand;
mod give_way;
mod heal;
mod lifecycle;
mod members;
mod publish;
mod relocate;
mod report;
mod run;
mod scrub;
mod serving;
mod start;
mod stop;
mod stuck;
mod takeover;
#[cfg(test)]
mod tests;
mod top;
mod unfinished;

pub(super) use expand::grows_when_mounted;
pub(super) use relocate::finish as finish_relocation;
pub(super) use takeover::depose;

use crate::domain::{Volume, VolumeStatus};
use crate::plan::{Input, Plan};

/// What this node does about every volume it owns, shall own, or still holds.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    let mut plan = Plan::default();
    for volume in input.world.volumes() {
        if let Some(status) = &volume.status {
            let more = one(input, &volume, status, &plan);
            plan.merge(more);
        }
    }
    plan
}

fn one(input: &Input, volume: &Volume, status: &VolumeStatus, so_far: &Plan) -> Plan {
    match &status.owner {
        Some(owner) if owner == input.me && claim::is_wanted(input, volume, status) => {
            lifecycle::serve(input, volume, status, so_far)
        }
        Some(owner) if owner == input.me => lifecycle::release(input, volume, status),
        _ if stop::is_held(input, volume) => evict::plan(input, volume, status),
        Some(owner) => takeover::plan(input, volume, status, owner),
        None => claim::plan(input, volume, status),
    }
}
