//! How a member's partition is reached from the owner, and the next step towards it.
//!
//! ```text
//! local:   partition
//! remote:  acknowledged -> connected -> mapped -> usable
//!                            ^   |lost        |lost: I/O waits in the map
//!                            +---+<-----------+ reinstated or reloaded
//! ```

use uuid::Uuid;

use super::{ConnectionSeen, ConnectionState, Dev, Input, MapSeen, Step, safety, stuck};
use crate::domain::{
    Bytes, DriveId, Endpoint, Epoch, Member, NodeName, Reason, Replica, Timestamp, partition_guid,
};

/// The state of one column of one member as its owner can use it.
#[derive(Debug, Clone, PartialEq)]
pub enum Leg {
    /// This device is the member, and I/O to it works.
    Ready(Dev),
    /// This device is the member, I/O to it waits: there is no path.
    Lost(Dev),
    /// Not there yet: what has to be done, or what is waited for.
    Absent(Result<Step, Reason>),
}

impl Leg {
    /// The member device, with or without a path.
    #[must_use]
    pub fn dev(&self) -> Option<Dev> {
        match self {
            Self::Ready(dev) | Self::Lost(dev) => Some(*dev),
            Self::Absent(_) => None,
        }
    }
}

/// A column of a member on another node.
#[derive(Debug, Clone, Copy)]
struct Remote<'a> {
    input: &'a Input<'a>,
    member: &'a Member,
    partition: Uuid,
    epoch: Epoch,
}

/// How `member`'s `column` is reached in ownership `epoch`.
#[must_use]
pub fn of(input: &Input, member: &Member, column: u8, epoch: Epoch) -> Leg {
    let partition = partition_guid(member.replica, column);
    if member.node == *input.me {
        local(input, member, column, partition, epoch)
    } else {
        Remote { input, member, partition, epoch }.state()
    }
}

/// A local partition is used only after this node has cut off whoever it was exported to before.
fn local(input: &Input, member: &Member, column: u8, partition: Uuid, epoch: Epoch) -> Leg {
    if let Err(refusal) = safety::may_use(input, member, epoch) {
        return Leg::Absent(Err(refusal.into()));
    }
    let drive = member.drives.get(usize::from(column));
    let silent = drive.and_then(|drive| does_not_answer(input, drive, partition));
    if let Some(reason) = silent {
        return Leg::Absent(Err(reason));
    }
    match drive.and_then(|drive| input.seen.partition(drive, partition)).and_then(|seen| seen.dev) {
        Some(dev) => Leg::Ready(dev),
        None => Leg::Absent(Err(Reason::waiting(
            "LocalReplicaMissing",
            format_args!("partition {partition} is not to be found on {}", member.node),
        ))),
    }
}

/// Why a local partition is not taken into use: its drive does not answer. What is in an array stays the member it is.
fn does_not_answer(input: &Input, drive: &DriveId, partition: Uuid) -> Option<Reason> {
    input.seen.drives.get(drive)?.unanswered.as_ref()?;
    let dev = input.seen.partition(drive, partition).and_then(|seen| seen.dev);
    if dev.is_some_and(|dev| input.seen.array_holding(dev).is_some()) {
        return None;
    }
    let waits = || Reason::waiting("DriveSilent", format_args!("drive {drive} has not answered yet"));
    Some(stuck::drive(input, drive).unwrap_or_else(waits))
}

impl Remote<'_> {
    fn key(&self) -> (Uuid, Epoch) {
        (self.partition, self.epoch)
    }

    fn state(&self) -> Leg {
        let connection = self.input.seen.connections.get(&self.key());
        match (self.input.seen.maps.get(&self.key()), connection) {
            (Some(map), connection) => self.mapped(map, connection),
            (None, Some(ConnectionSeen { dev: Some(path), size, state: ConnectionState::Live, .. })) => {
                Leg::Absent(Ok(self.map(*path, *size)))
            }
            (None, Some(connection)) => Leg::Absent(Err(self.waiting_for(connection))),
            (None, None) => Leg::Absent(self.connect()),
        }
    }

    /// A controller stays live for seconds after its peer has gone: I/O waits in it.
    fn mapped(&self, map: &MapSeen, connection: Option<&ConnectionSeen>) -> Leg {
        match connection {
            Some(ConnectionSeen { state: ConnectionState::Live, dev: Some(path), .. })
                if map.path == Some(*path) && map.path_active && !self.input.is_gone(&self.member.node) =>
            {
                Leg::Ready(map.dev)
            }
            _ => Leg::Lost(map.dev),
        }
    }

    fn map(&self, path: Dev, size: Bytes) -> Step {
        Step::MapLeg { partition: self.partition, epoch: self.epoch, path, size }
    }

    fn waiting_for(&self, connection: &ConnectionSeen) -> Reason {
        Reason::waiting(
            "Connecting",
            format_args!(
                "connection {} to {} is {:?}",
                connection.controller, self.member.node, connection.state
            ),
        )
    }

    fn connect(&self) -> Result<Step, Reason> {
        safety::may_use(self.input, self.member, self.epoch)?;
        let me = self.input.world.node_status(self.input.me);
        let (Some(endpoint), Some(me)) = (endpoint(self.input, self.member), me) else {
            return Err(Reason::waiting(
                "NodeUnknown",
                format_args!("node {} has not said where it listens", self.member.node),
            ));
        };
        Ok(Step::Connect {
            partition: self.partition,
            epoch: self.epoch,
            endpoint,
            host_nqn: me.host_nqn.clone(),
            host_id: me.host_id,
        })
    }
}

/// Where a member's provider listens, if all connections to it are to be aborted.
#[must_use]
pub fn cut(input: &Input, member: &Member) -> Option<Endpoint> {
    endpoint(input, member).filter(|_| input.is_gone(&member.node))
}

/// Where a member's provider listens.
fn endpoint(input: &Input, member: &Member) -> Option<Endpoint> {
    input.world.node_status(&member.node).map(|status| status.endpoint.clone())
}

/// What brings a lost leg's path back, once there is one.
#[must_use]
pub fn revive(input: &Input, member: &Member, column: u8, epoch: Epoch) -> Option<Step> {
    let partition = partition_guid(member.replica, column);
    let remote = Remote { input, member, partition, epoch };
    let map = input.seen.maps.get(&remote.key()).filter(|_| !input.is_gone(&member.node))?;
    match input.seen.connections.get(&remote.key()) {
        Some(ConnectionSeen { state: ConnectionState::Live, dev: Some(path), .. })
            if map.path == Some(*path) =>
        {
            Some(Step::ReinstateLeg { partition, epoch, path: *path })
        }
        Some(ConnectionSeen { state: ConnectionState::Live, dev: Some(path), size, .. }) => {
            Some(Step::ReloadLeg { partition, epoch, path: *path, size: *size })
        }
        Some(_) => None,
        None => remote.connect().ok(),
    }
}

/// Whether a leg has no working path and holds what is sent to it.
#[must_use]
pub fn holds(input: &Input, key: (Uuid, Epoch)) -> bool {
    let holds = |map: &MapSeen| map.queueing && !(map.path_active && is_live(input, key));
    input.seen.maps.get(&key).is_some_and(holds)
}

/// What makes a working leg as long as the namespace it leads to.
#[must_use]
pub fn stretch(input: &Input, partition: Uuid, epoch: Epoch) -> Option<Step> {
    let map = input.seen.maps.get(&(partition, epoch))?;
    match input.seen.connections.get(&(partition, epoch)) {
        Some(ConnectionSeen { state: ConnectionState::Live, dev: Some(path), size, .. })
            if map.path == Some(*path) && map.size < *size =>
        {
            Some(Step::ReloadLeg { partition, epoch, path: *path, size: *size })
        }
        Some(_) | None => None,
    }
}

/// What is left of a leg that no array uses any more, and what is to be done about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Release {
    /// Nothing is left.
    Gone,
    /// This is next: map first, then connection.
    Next(Step),
    /// This is to be waited for, until then at the latest.
    Wait(Reason, Timestamp),
}

impl Release {
    /// What is to be done now.
    #[must_use]
    pub fn step(self) -> Option<Step> {
        match self {
            Self::Next(step) => Some(step),
            Self::Gone | Self::Wait(..) => None,
        }
    }
}

/// The next step in taking a leg down that no array uses any more.
#[must_use]
pub fn release(input: &Input, partition: Uuid, epoch: Epoch) -> Release {
    let key = (partition, epoch);
    if let Some(map) = input.seen.maps.get(&key) {
        if holds(input, key) {
            return Release::Next(Step::FailLeg { partition, epoch, path: map.path, cut: None });
        }
        return Release::Next(Step::UnmapLeg { partition, epoch });
    }
    let Some(connection) = input.seen.connections.get(&key) else { return Release::Gone };
    let controller = connection.controller.clone();
    match host_of(input, partition).filter(|_| is_live(input, key)) {
        Some(host) if let Some(until) = input.undecided_until(&host) => {
            let message =
                format_args!("{host} is silent: {controller} is removed once it is known how {host} is");
            Release::Wait(Reason::waiting("PeerSilent", message), until)
        }
        Some(_) | None => Release::Next(Step::Disconnect { partition, epoch, controller }),
    }
}

/// The node that a replica's record names as the host of a partition.
fn host_of(input: &Input, partition: Uuid) -> Option<NodeName> {
    let holds = |replica: &Replica| replica.spec.partitions().any(|(guid, _)| guid == partition);
    input.world.replicas().find(holds).map(|replica| replica.spec.node)
}

fn is_live(input: &Input, key: (Uuid, Epoch)) -> bool {
    input.seen.connections.get(&key).is_some_and(|connection| connection.state == ConnectionState::Live)
}
