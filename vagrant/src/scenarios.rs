//! What the lab shows, one function per fact.

mod adoption;
mod bad_input;
mod boot;
mod brake;
mod chaos;
mod conform;
mod csi;
mod drain;
mod drives;
mod dump;
mod failover;
mod footprint;
mod force;
mod growth;
mod healing;
mod interruption;
mod kube;
mod leaks;
mod ledger;
mod life;
mod load;
#[cfg(test)]
mod map;
mod mortality;
mod moves;
mod network;
mod order;
mod power;
mod scaling;
mod scrub;
mod service;
mod stall;
mod store_loss;
mod stripes;
mod surroundings;
mod verification;
mod zombie;

use anyhow::{Result, ensure};
pub use order::{is_alone, is_on_request, is_strict};

use crate::daemon::mdfabric;
use crate::lab::Lab;
use crate::node::Node;
use crate::setup::Parts;

/// One fact that is shown on real kernels.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name; `lab test FILTER` selects by a part of it.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub shows: &'static str,
    /// The lab it runs in.
    pub lab: Needs,
    /// Shows it, or says why not.
    pub run: fn(&mut Stage<'_>) -> Result<()>,
}

/// The lab a scenario asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Three nodes in any state; the scenario leaves them up, the network whole and no drive changed.
    AsIs,
    /// Three freshly booted nodes with blank drives and an empty etcd. It may leave anything behind.
    Blank,
    /// Three nodes whose daemons run, each with its drive `a` added and its drive `b` blank, and no volume. The scenario
    /// leaves no volume behind.
    Cluster,
    /// Three nodes of Kubernetes with mdfabric from its chart, each with its drive `a` added, and no claim. The scenario leaves no claim
    /// and no pod behind.
    Kube,
    /// None: the scenario starts what it needs.
    Nothing,
}

/// Where a scenario plays.
pub struct Stage<'a> {
    /// What further labs can be made of.
    pub parts: &'a Parts,
    lab: Option<&'a mut Lab>,
}

impl<'a> Stage<'a> {
    /// A stage with the lab a scenario asked for.
    #[must_use]
    pub fn new(parts: &'a Parts, lab: Option<&'a mut Lab>) -> Self {
        Self { parts, lab }
    }

    /// The lab; an error for a scenario that asked for none.
    pub fn lab(&mut self) -> Result<&mut Lab> {
        self.lab.as_deref_mut().ok_or_else(|| anyhow::anyhow!("this scenario asked for no lab"))
    }
}

/// All scenarios, in the order in which they run.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let groups = [boot::SCENARIOS, network::SCENARIOS, load::SCENARIOS, power::SCENARIOS, leaks::SCENARIOS];
    let product = [
        life::SCENARIOS,
        moves::SCENARIOS,
        scaling::SCENARIOS,
        growth::SCENARIOS,
        stripes::SCENARIOS,
        verification::SCENARIOS,
        scrub::SCENARIOS,
        adoption::SCENARIOS,
        failover::SCENARIOS,
        force::SCENARIOS,
        store_loss::SCENARIOS,
        healing::SCENARIOS,
        drain::SCENARIOS,
        drives::SCENARIOS,
        zombie::SCENARIOS,
        stall::SCENARIOS,
        interruption::SCENARIOS,
        mortality::SCENARIOS,
        bad_input::SCENARIOS,
        surroundings::SCENARIOS,
        ledger::SCENARIOS,
        csi::SCENARIOS,
        kube::SCENARIOS,
        conform::SCENARIOS,
        dump::SCENARIOS,
        service::SCENARIOS,
        footprint::SCENARIOS,
        chaos::SCENARIOS,
    ];
    let mut all: Vec<Scenario> = groups.into_iter().chain(product).flatten().copied().collect();
    all.sort_by_key(order::place);
    all
}

/// A verb that must be refused with this exit status and all of these words.
fn refused(node: &Node, line: &str, status: i32, words: &[&str]) -> Result<()> {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let output = mdfabric(node, &arguments)?;
    ensure!(
        output.status == status,
        "{line}: exit status {}\n{}{}",
        output.status,
        output.stdout,
        output.stderr
    );
    for word in words {
        ensure!(output.stderr.contains(word), "{line}: {word:?} is not in\n{}", output.stderr);
    }
    Ok(())
}
