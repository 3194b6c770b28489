//! Why an object is as it is, in sentences. The words are those of the records: reasons are repeated, not rewritten.

mod names;
mod sentences;
#[cfg(test)]
mod tests;

use names::Object;

use super::verbs::Refusal;
use crate::domain::{NodeName, Reason, Timestamp, World};

/// What is known beyond the records: this node's daemon, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The node that answers.
    pub me: &'a NodeName,
    /// Now.
    pub now: Timestamp,
    /// Steps under way here, and since when.
    pub running: &'a [(String, Timestamp)],
    /// Steps that failed here: text, failures in a row, what the kernel said.
    pub failing: &'a [(String, u32, String)],
    /// What is waited for or refused here, beyond what the records say.
    pub reasons: &'a [Reason],
    /// Why the store does not answer, if it does not.
    pub store_lost: Option<&'a str>,
    /// Whether this node leads the cluster.
    pub leads: bool,
    /// How the nodes stand that this one listens to.
    pub peers: &'a [(NodeName, String)],
    /// What is in this node's kernel and not ours: [`super::ledger::foreign`].
    pub foreign: &'a [String],
}

/// What there is to say about `object`: `volume/a`, `replica/…`, `drive/S1`, `node/n1`, or a name that only one has.
pub fn explain(world: &World, facts: &Facts, object: &str) -> Result<Vec<String>, Refusal> {
    let object = names::resolve(world, object)?;
    let mut lines = match &object {
        Object::Volume(name) => sentences::volume(world, facts, name),
        Object::Replica(id) => sentences::replica(world, facts, id),
        Object::Drive(id) => sentences::drive(world, facts, id),
        Object::Node(name) => sentences::node(world, facts, name),
    };
    if let Some(why) = facts.store_lost {
        lines.push(format!(
            "The store does not answer {} ({why}): this is what was known before. What runs goes on; no change can be recorded.",
            facts.me
        ));
    }
    Ok(lines)
}

/// `3s`, `5m`, `2h`, `4d`: as exact as people read an age.
#[must_use]
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then) / 1000;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
