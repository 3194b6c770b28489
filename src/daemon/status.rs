//! What the daemon shows of itself to the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StoreHealth;
use crate::domain::{NodeName, Reason, Timestamp, VolumeName, World};
use crate::plan::{Observation, Peers, Used};

/// What this node's daemon does beyond what stands in the records.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    /// Steps under way with the moment they began.
    pub running: Vec<(String, Timestamp)>,
    /// Steps that failed last time: text, failures in a row, what the kernel said.
    pub failing: Vec<(String, u32, String)>,
    /// What is waited for or refused here.
    pub reasons: Vec<Reason>,
    /// Whether the store answers.
    pub store: StoreHealth,
    /// Whether this node leads the cluster.
    pub leads: bool,
    /// Whether what the kernel shows has been recorded since the daemon started, as far as the store takes it: before, records may tell of
    /// what an earlier start of this node had.
    pub told: bool,
    /// Volumes of which the store refuses something, and what: their records may still tell of that.
    pub frozen: BTreeMap<VolumeName, Reason>,
    /// What the kernel shows.
    pub seen: Observation,
    /// How full the volumes are that are mounted here.
    pub used: BTreeMap<VolumeName, Used>,
    /// What is heard of other daemons.
    pub peers: Peers,
}

/// One consistent view for readers.
#[derive(Debug, Clone)]
pub struct View {
    /// This node.
    pub me: NodeName,
    /// All records.
    pub world: Arc<World>,
    /// This node's own state.
    pub node: Arc<NodeView>,
}
