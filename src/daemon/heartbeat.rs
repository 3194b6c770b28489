//! Daemons hear each other: a small datagram every [`BEAT_MILLIS`] to each node this one has a volume in common with.
//!
//! On a task of its own: a store that does not answer, or a look at the kernel that takes long, makes nobody silent. What it
//! means that somebody is heard or not is decided elsewhere ([`Peers`]).

mod packet;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use crate::domain::{Endpoint, NodeName};
use crate::plan::timing::BEAT_MILLIS;
use crate::plan::{Beat, Peers, Standing};
use crate::ports::Heartbeats;

/// Wait between two tries to get the socket: an address may come later than the daemon.
const RETRY: Duration = Duration::from_secs(1);

/// The heartbeats of this node and what is heard of others. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct PeerNetwork {
    state: Arc<Mutex<State>>,
    /// Send now.
    hurry: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    peers: Peers,
    addresses: BTreeMap<NodeName, SocketAddr>,
    goes_down: bool,
}

/// Starts the task, with `peers` who follow nobody yet. A message comes whenever somebody's standing changed. Has to be called
/// within the runtime.
#[must_use]
pub fn start(me: NodeName, own: &Endpoint, peers: Peers) -> (PeerNetwork, mpsc::Receiver<()>) {
    let (wake, woken) = mpsc::channel(1);
    let network = PeerNetwork::default();
    network.lock().peers = peers;
    if let Some(own) = address(own) {
        tokio::spawn(Task { me, own, network: network.clone(), wake, sent: 0 }.run());
    } else {
        tracing::warn!(address = own.address, "no heartbeats: this is no IP address");
    }
    (network, woken)
}

/// Where a node's heartbeats come from and go to.
fn address(endpoint: &Endpoint) -> Option<SocketAddr> {
    let address: IpAddr = endpoint.address.parse().ok()?;
    Some(SocketAddr::new(address, endpoint.heartbeat_port()))
}

impl PeerNetwork {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeats for PeerNetwork {
    fn follow(&self, nodes: BTreeMap<NodeName, (Endpoint, bool)>) {
        let mut state = self.lock();
        state.peers.follow(nodes.iter().map(|(node, (_, wanted))| (node, *wanted)));
        let addresses =
            nodes.into_iter().filter_map(|(node, (endpoint, _))| Some((node, address(&endpoint)?)));
        state.addresses = addresses.collect();
    }

    fn heard(&self) -> Peers {
        self.lock().peers.clone()
    }

    fn say_goodbye(&self) {
        self.lock().goes_down = true;
        self.hurry.notify_one();
    }
}

struct Task {
    me: NodeName,
    own: SocketAddr,
    network: PeerNetwork,
    wake: mpsc::Sender<()>,
    sent: u64,
}

impl Task {
    async fn run(mut self) {
        let life = Uuid::new_v4();
        loop {
            match UdpSocket::bind(self.own).await {
                Ok(socket) => return self.beat(&socket, life).await,
                Err(error) => tracing::warn!(address = %self.own, %error, "no heartbeats yet: bind"),
            }
            sleep(RETRY).await;
        }
    }

    async fn beat(&mut self, socket: &UdpSocket, life: Uuid) {
        let (mut due, mut looked) = (Instant::now(), Instant::now());
        let mut said = BTreeMap::new();
        while !self.wake.is_closed() {
            let now = Instant::now();
            // Time first: what has come while this task did not run then sets it back.
            looked += self.pass(now - looked);
            self.hear_all(socket);
            if now >= due {
                self.send_all(socket, life);
                due = now + Duration::from_millis(BEAT_MILLIS);
            }
            self.tell(&mut said);
            tokio::select! {
                result = socket.readable() => drop(result),
                () = sleep_until(self.next(due)) => {}
                () = self.network.hurry.notified() => due = now,
            }
        }
    }

    fn next(&self, due: Instant) -> Instant {
        let change = self.network.lock().peers.next_change_in();
        change.map_or(due, |millis| due.min(Instant::now() + Duration::from_millis(millis.max(1))))
    }

    /// Gives what was counted: whole milliseconds.
    fn pass(&self, time: Duration) -> Duration {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.network.lock().peers.pass(millis);
        Duration::from_millis(millis)
    }

    /// Everything that waits in the socket. A beat counts only if it comes from where its sender's record says it is.
    fn hear_all(&self, socket: &UdpSocket) {
        let mut buffer = [0; packet::MAX_BYTES + 1];
        loop {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => self.hear(buffer.get(..length).unwrap_or_default(), from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What earlier beats came to, by ICMP: nobody listens there. It will be heard when somebody does.
                Err(error) => tracing::debug!(%error, "a heartbeat met nobody"),
            }
        }
    }

    fn hear(&self, bytes: &[u8], from: SocketAddr) {
        let Some((node, beat)) = packet::decode(bytes) else { return };
        let mut state = self.network.lock();
        if state.addresses.get(&node).is_some_and(|known| known.ip() == from.ip().to_canonical()) {
            state.peers.hear(&node, &beat);
        }
    }

    fn send_all(&mut self, socket: &UdpSocket, life: Uuid) {
        self.sent += 1;
        let state = self.network.lock();
        for (node, asks) in state.peers.targets() {
            let beat = Beat { life, sequence: self.sent, asks, goes_down: state.goes_down };
            let (Some(bytes), Some(to)) = (packet::encode(&self.me, &beat), state.addresses.get(node)) else {
                continue;
            };
            if let Err(error) = socket.try_send_to(&bytes, *to) {
                tracing::debug!(%node, %to, %error, "a heartbeat could not be sent");
            }
        }
    }

    /// Wakes whoever decides if somebody stands otherwise than when it was told last.
    fn tell(&self, said: &mut BTreeMap<NodeName, Standing>) {
        let state = self.network.lock();
        let now = state.peers.standings();
        if !now.iter().map(|(node, standing)| (*node, standing)).eq(said.iter()) {
            *said = now.into_iter().map(|(node, standing)| (node.clone(), standing)).collect();
            // One that waits already says the same.
            self.wake.try_send(()).ok();
        }
    }
}

#[cfg(test)]
mod tests;
