//! The network between the kernels: connections, and where I/O to a device ends up.

use uuid::Uuid;

use super::cluster::Cluster;
use super::kernel::{Connection, Key};
use crate::domain::NodeName;
use crate::plan::{ConnectionState, Dev};

/// Keep-alive: how long a silent peer looks alive, 2.6 times 3 s (KERNEL.md 4.4).
pub(super) const KEEP_ALIVE: u64 = 7800;
/// `reconnect_delay`.
const RECONNECT: u64 = 1000;

/// Where I/O to a device goes at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// To this partition of this node.
    Partition(NodeName, Uuid),
    /// It waits.
    Held,
    /// It fails.
    Failed,
}

/// What a target says to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing: dead, or cut off.
    Silence,
    /// Nobody listens.
    Refused,
    /// Not you, or not here: final (DNR).
    Denied,
    /// Come in.
    Welcome,
}

impl Cluster {
    /// Both ways: without answers there is no connection.
    pub(super) fn can_talk(&self, one: &NodeName, other: &NodeName) -> bool {
        self.arrives(one, other) && self.arrives(other, one)
    }

    /// Whether what one node sends gets to another.
    pub(super) fn arrives(&self, from: &NodeName, to: &NodeName) -> bool {
        self.runs(from) && self.runs(to) && !self.cut.contains(&(from.clone(), to.clone()))
    }

    fn ask(&self, node: &NodeName, provider: &NodeName, key: &Key) -> Answer {
        let Some(target) = self.nodes.get(provider).filter(|_| self.can_talk(node, provider)) else {
            return Answer::Silence;
        };
        let host = crate::domain::host_nqn(node);
        let listens = target.kernel.exports.values().any(|export| export.linked);
        match target.kernel.exports.get(key) {
            Some(export) if export.linked && export.hosts.contains(&host) => Answer::Welcome,
            _ if listens => Answer::Denied,
            _ => Answer::Refused,
        }
    }

    /// Whether the two ends of a live connection still serve each other. The allowed host is not asked again
    /// (KERNEL.md 4.3): only the port and the namespace cut.
    fn is_through(&self, node: &NodeName, key: &Key, connection: &Connection) -> bool {
        self.is_served(key, connection) && self.can_talk(node, &connection.provider)
    }

    fn is_served(&self, key: &Key, connection: &Connection) -> bool {
        let target = self.nodes.get(&connection.provider);
        let export = target.and_then(|machine| machine.kernel.exports.get(key));
        connection.state == ConnectionState::Live
            && export.is_some_and(|export| export.linked && export.enabled)
    }

    /// Where a write lands of which nobody hears: it gets to the provider, the answer does not get back. Above it is held.
    pub(super) fn lands_unheard(&self, node: &NodeName, dev: Dev) -> Option<(NodeName, Uuid)> {
        let kernel = &self.nodes.get(node)?.kernel;
        let (key, map) = kernel.map_of(dev)?;
        let (_, connection) = kernel.connection_of(map.path?)?;
        let provider = &connection.provider;
        let gets_there = map.active && self.is_served(key, connection) && self.arrives(node, provider);
        let works = self.on_drive(provider, key.0) == Reach::Partition(provider.clone(), key.0);
        let lands = gets_there && works && !self.is_dead(provider, key);
        (lands && !self.can_talk(node, provider)).then(|| (provider.clone(), key.0))
    }

    pub(super) fn reach(&self, node: &NodeName, dev: Dev) -> Reach {
        let Some(machine) = self.nodes.get(node).filter(|machine| machine.powered) else {
            return Reach::Failed;
        };
        let local = machine.disks.values().flat_map(|disk| &disk.partitions);
        if let Some((guid, _)) = local.into_iter().find(|(_, partition)| partition.dev == dev) {
            return self.on_drive(node, *guid);
        }
        let Some((key, map)) = machine.kernel.map_of(dev) else { return Reach::Failed };
        let connection = map.path.and_then(|path| machine.kernel.connection_of(path));
        match connection {
            Some((_, connection)) if map.active && self.is_through(node, key, connection) => {
                match self.is_dead(&connection.provider, key) {
                    // The target says that its device is gone: to dm-multipath that is the path's fault.
                    true if map.queueing => Reach::Held,
                    true => Reach::Failed,
                    false => self.on_drive(&connection.provider, key.0),
                }
            }
            Some((_, connection)) if self.holds(node, map.active, connection) => Reach::Held,
            _ if map.queueing => Reach::Held,
            _ => Reach::Failed,
        }
    }

    fn on_drive(&self, node: &NodeName, partition: Uuid) -> Reach {
        match self.works(node, partition) {
            true if self.is_hung(node, partition) => Reach::Held,
            true => Reach::Partition(node.clone(), partition),
            false => Reach::Failed,
        }
    }

    /// What has been given to a live controller waits in its driver for as long as that believes in its peer, whatever becomes
    /// of the path above.
    fn holds(&self, node: &NodeName, active: bool, connection: &Connection) -> bool {
        connection.state == ConnectionState::Live && (active || !self.can_talk(node, &connection.provider))
    }

    /// I/O went to a leg whose controller is not live: with `fast_io_fail_tmo=0` that fails the path at once.
    pub(super) fn touch(&mut self, node: &NodeName, dev: Dev) {
        let Some(machine) = self.nodes.get_mut(node) else { return };
        let kernel = &mut machine.kernel;
        let Some((key, path)) = kernel.map_of(dev).map(|(key, map)| (*key, map.path)) else { return };
        let live = path
            .and_then(|path| kernel.connection_of(path))
            .is_some_and(|(_, connection)| connection.state == ConnectionState::Live);
        if let Some(map) = kernel.maps.get_mut(&key).filter(|map| !live && map.active) {
            map.active = false;
            machine.stirred = true;
        }
    }

    /// Controllers notice silence, reconnect, and give up when they are told to.
    pub(super) fn run_connections(&mut self, node: &NodeName) {
        let Some(machine) = self.nodes.get(node) else { return };
        let due = machine.kernel.connections.iter();
        let due = due.filter(|(key, connection)| self.next_of_connection(node, key, connection) <= self.now);
        let due: Vec<(Key, Connection)> = due.map(|(key, connection)| (*key, connection.clone())).collect();
        for (key, connection) in due {
            let next = self.next_state(node, &key, connection.clone());
            let changed = next.as_ref().is_none_or(|next| next.state != connection.state);
            let resized = next.as_ref().is_some_and(|next| next.size != connection.size);
            let Some(machine) = self.nodes.get_mut(node) else { return };
            machine.stirred |= changed || resized;
            match next {
                Some(next) => machine.kernel.connections.insert(key, next),
                None => machine.kernel.connections.remove(&key),
            };
            if changed {
                self.note(format_args!("{node}: {} leaves {:?}", connection.controller, connection.state));
            }
        }
    }

    /// When a controller changes by itself; 0 for at once.
    pub(super) fn next_of_connection(&self, node: &NodeName, key: &Key, connection: &Connection) -> u64 {
        match connection.state {
            ConnectionState::Live => {
                let target = self.nodes.get(&connection.provider);
                let export = target.and_then(|machine| machine.kernel.exports.get(key));
                let well =
                    self.can_talk(node, &connection.provider) && export.is_some_and(|export| export.linked);
                match connection.due {
                    None if well && export.is_some_and(|export| export.size == connection.size) => u64::MAX,
                    Some(due) if !well => due,
                    Some(_) | None => 0,
                }
            }
            ConnectionState::Connecting => connection.due.unwrap_or(0),
            ConnectionState::Resetting | ConnectionState::Deleting | ConnectionState::Other(_) => u64::MAX,
        }
    }

    fn next_state(&mut self, node: &NodeName, key: &Key, mut connection: Connection) -> Option<Connection> {
        let now = self.now;
        let target = self.nodes.get(&connection.provider);
        let export = target.and_then(|machine| machine.kernel.exports.get(key));
        let (linked, size) = (export.is_some_and(|export| export.linked), export.map(|export| export.size));
        let talks = self.can_talk(node, &connection.provider);
        match connection.state {
            ConnectionState::Live if talks && linked => {
                connection.due = None;
                connection.size = size.unwrap_or(connection.size);
            }
            ConnectionState::Live => {
                let due = *connection.due.get_or_insert(if talks { now } else { now + KEEP_ALIVE });
                if due <= now {
                    connection.state = ConnectionState::Connecting;
                    connection.due = Some(now + self.rng.between(50, RECONNECT));
                }
            }
            ConnectionState::Connecting => {
                if connection.due.is_none_or(|due| due <= now) {
                    connection.due = Some(now + RECONNECT);
                    match self.ask(node, &connection.provider, key) {
                        Answer::Silence | Answer::Refused => {}
                        Answer::Denied => return None,
                        Answer::Welcome => {
                            connection.state = ConnectionState::Live;
                            connection.due = None;
                        }
                    }
                }
            }
            ConnectionState::Resetting | ConnectionState::Deleting | ConnectionState::Other(_) => {}
        }
        Some(connection)
    }

    /// The first connect: `None` when it worked, else what the kernel says.
    pub(super) fn connect(
        &mut self,
        node: &NodeName,
        key: Key,
        provider: &NodeName,
    ) -> Result<(), &'static str> {
        match self.ask(node, provider, &key) {
            Answer::Silence => return Err("ETIMEDOUT"),
            Answer::Refused => return Err("ECONNREFUSED"),
            Answer::Denied => return Err("EIO"),
            Answer::Welcome => {}
        }
        let export = self.nodes.get(provider).and_then(|machine| machine.kernel.exports.get(&key));
        let size = export.map(|export| export.size).unwrap_or_default();
        let Some(machine) = self.nodes.get_mut(node) else { return Err("ENODEV") };
        let head = machine.kernel.new_dev(259);
        let connection = Connection {
            controller: format!("nvme{}", head.minor),
            state: ConnectionState::Live,
            provider: provider.clone(),
            head,
            size,
            due: None,
        };
        machine.kernel.connections.entry(key).or_insert(connection);
        Ok(())
    }

    pub(super) fn namespace_is_there(&self, key: &Key, connection: &Connection) -> bool {
        let target = self.nodes.get(&connection.provider);
        target
            .and_then(|machine| machine.kernel.exports.get(key))
            .is_none_or(|export| export.enabled || connection.state != ConnectionState::Live)
    }
}
