//! Dry runs: what a change would do, played through on a simulated cluster that looks like the records.

use crate::domain::{VolumeStatus, World};
use crate::plan::Write;

/// Stub.
#[must_use]
pub fn rehearse(_world: &World, _writes: &[Write]) -> Vec<String> {
    Vec::new()
}

pub(super) fn summary(status: &VolumeStatus) -> String {
    let members: Vec<String> = status
        .members
        .iter()
        .map(|member| {
            let star = if status.in_sync.contains(&member.replica) { "*" } else { "" };
            format!("{}:{:?}{star}", member.node, member.state)
        })
        .collect();
    let owner = status.owner.as_ref().map_or("nobody", |owner| owner.as_str());
    format!(
        "{} {} epoch {} of {owner} [{}]{}{}{} {}",
        status.phase,
        status.array.state,
        status.epoch,
        members.join(" "),
        if status.created { " created" } else { "" },
        if status.formatted { " formatted" } else { "" },
        status.relocation.as_ref().map_or("", |_| " relocating"),
        status.reasons.iter().map(|reason| reason.code.clone()).collect::<Vec<_>>().join(","),
    )
}
