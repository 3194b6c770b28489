//! Starting a node's daemon.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::brain::{Brain, Ports};
use super::cache;
use super::heartbeat::PeerNetwork;
use super::status::View;
use crate::domain::{NodeName, NodeStatus};
use crate::plan::Peers;
use crate::ports::{Kernel, Store};
use crate::telemetry::recorder::Recorder;

/// Changes that may wait for the brain before the follower waits for it.
const RECORDS_QUEUED: usize = 64;

/// Who this node is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name in the cluster.
    pub name: NodeName,
    /// What it reports of itself; the heartbeat is filled in.
    pub status: NodeStatus,
}

/// A running daemon.
pub struct Running {
    /// What it shows.
    pub view: watch::Receiver<View>,
    /// What other daemons hear of this one.
    pub peers: PeerNetwork,
    /// Ends when `stop` was sent and the brain has put its work down.
    pub brain: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Puts the work down. Arrays, exports and connections stay up in the kernel.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        drop(self.brain.await);
    }
}

/// Starts the follower of the store and the brain. `peers` follow nobody yet; `events` carries a message whenever the kernel
/// has news; `recorder` is told what is done and seen.
#[must_use]
pub fn start(
    identity: Identity,
    store: Arc<dyn Store>,
    kernel: Arc<dyn Kernel>,
    peers: Peers,
    events: mpsc::Receiver<()>,
    recorder: Recorder,
) -> Running {
    let (sender, records) = mpsc::channel(RECORDS_QUEUED);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(cache::follow(Arc::clone(&store), sender));
    let (peers, standings) = super::heartbeats(identity.name.clone(), &identity.status.endpoint, peers);
    let heard = Arc::new(peers.clone());
    let ports = Ports { store, kernel, records, events, peers: heard, standings, recorder };
    let (brain, view) = Brain::new(identity.name, identity.status, ports);
    Running { view, peers, brain: tokio::spawn(brain.run(stopped)), stop }
}
