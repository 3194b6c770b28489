//! The daemons hear each other: beats that are sent, lost, cut off, or heard.

use uuid::Uuid;

use super::cluster::Cluster;
use super::fabric::KEEP_ALIVE;
use crate::domain::NodeName;
use crate::plan::timing::BEAT_MILLIS;
use crate::plan::{Beat, ConnectionState, peers};

/// One of so many beats is lost.
const LOST_ONE_IN: u64 = 50;

impl Cluster {
    /// A machine says that it goes down. It goes on until its power is cut.
    pub fn say_goodbye(&mut self, node: &NodeName) {
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.goes_down = true;
        }
        self.note(format_args!("{node}: says goodbye"));
        self.send_beats(node);
    }

    /// What is heard until now; who it is listened to follows the records this daemon has.
    pub(super) fn listen(&mut self, node: &NodeName) {
        let (now, beats) = (self.now, self.now.is_multiple_of(BEAT_MILLIS));
        let Some(daemon) = self.nodes.get_mut(node).and_then(|machine| machine.daemon.as_mut()) else {
            return;
        };
        if !beats && daemon.next_turn() > now {
            return;
        }
        let turned = daemon.listen_until(now);
        let gone = daemon.memory.gone();
        let silent: Vec<NodeName> = daemon.memory.peers.silent().map(|(peer, _)| peer.clone()).collect();
        let unanswered = silent.iter().map(|peer| (peer.clone(), self.unanswered(node, peer))).collect();
        let Some(machine) = self.nodes.get_mut(node) else { return };
        let Some(daemon) = machine.daemon.as_mut() else { return };
        daemon.memory.unanswered = unanswered;
        machine.stirred |= turned || gone != daemon.memory.gone();
        if beats {
            self.send_beats(node);
        }
    }

    pub(super) fn follow_peers(&mut self, node: &NodeName) {
        let now = self.now;
        let Some(daemon) = self.nodes.get_mut(node).and_then(|machine| machine.daemon.as_mut()) else {
            return;
        };
        daemon.listen_until(now);
        if !std::mem::take(&mut daemon.peers_due) {
            return;
        }
        let wanted = peers::wanted(&daemon.world, node);
        daemon.memory.peers.follow(wanted.iter().map(|(peer, (_, wanted))| (peer, *wanted)));
    }

    fn send_beats(&mut self, node: &NodeName) {
        let now = self.now;
        let Some(machine) = self.nodes.get(node) else { return };
        let (Some(daemon), goes_down) = (&machine.daemon, machine.goes_down) else { return };
        let life = Uuid::from_u128(u128::from(daemon.memory.started_at.0));
        let targets: Vec<(NodeName, bool)> =
            daemon.memory.peers.targets().map(|(peer, asks)| (peer.clone(), asks)).collect();
        for (peer, asks) in targets {
            if self.arrives(node, &peer) && !self.rng.one_in(LOST_ONE_IN) {
                self.hear_beat(&peer, node, &Beat { life, sequence: now, asks, goes_down });
            }
        }
    }

    fn hear_beat(&mut self, node: &NodeName, from: &NodeName, beat: &Beat) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(node) else { return };
        let Some(daemon) = machine.daemon.as_mut() else { return };
        machine.stirred |= daemon.listen_until(now);
        let before = daemon.memory.peers.of(from).map(|(standing, _)| standing);
        daemon.memory.peers.hear(from, beat);
        machine.stirred |= before != daemon.memory.peers.of(from).map(|(standing, _)| standing);
    }

    /// How long the longest waiting live connection to `peer` has had no answer: since it is cut off.
    fn unanswered(&self, node: &NodeName, peer: &NodeName) -> u64 {
        let Some(machine) = self.nodes.get(node).filter(|_| !self.can_talk(node, peer)) else { return 0 };
        let live =
            machine.kernel.connections.values().filter(|connection| {
                connection.provider == *peer && connection.state == ConnectionState::Live
            });
        let since = |due: u64| (self.now + KEEP_ALIVE).saturating_sub(due);
        live.filter_map(|connection| connection.due.map(since)).max().unwrap_or(0)
    }
}
