//! The tables' contents: pure functions of the records. `kubectl get` shows the same columns, words and numbers.

#[cfg(test)]
mod tests;

use crate::domain::{
    Bytes, DriveId, DriveState, MemberState, NodeName, Replica, ReplicaState, Timestamp, Volume, VolumePhase,
    World, percent,
};
use crate::plan::{self, explain::age};

/// What stands where there is nothing to say.
pub const NOTHING: &str = "-";

/// A table: headers and as many cells in each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub headers: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is known by: the same in every later table.
    pub key: String,
    /// One cell per column.
    pub cells: Vec<String>,
}

impl Row {
    fn new(key: impl std::fmt::Display, cells: Vec<String>) -> Self {
        Self { key: key.to_string(), cells }
    }
}

/// `volume ls`
#[must_use]
pub fn volumes(world: &World, now: Timestamp, wide: bool) -> Table {
    let mut headers = vec!["NAME", "PHASE", "MDSTATE", "READY", "DEGRADED", "SYNC", "NODE", "AGE"];
    if wide {
        headers.extend(["TOTAL", "ACTIVE", "FAILED", "DOWN"]);
    }
    Table { headers, rows: world.volumes().map(|volume| volume_row(now, wide, &volume)).collect() }
}

fn volume_row(now: Timestamp, wide: bool, volume: &Volume) -> Row {
    let spec = &volume.spec;
    let status = volume.status.clone().unwrap_or_default();
    let ready = status.ready();
    let degraded = status.created && ready < status.copies_due(spec);
    let mut cells = vec![
        spec.name.to_string(),
        phase(volume).to_string(),
        status.array.state.to_string(),
        format!("{ready}/{}", volume.copies()),
        degraded.to_string(),
        status.array.sync_permille.map(percent).unwrap_or_default(),
        status.owner.as_ref().map_or_else(|| NOTHING.to_owned(), ToString::to_string),
        age(now, spec.created_at),
    ];
    if wide {
        let count = |state| status.members.iter().filter(|member| member.state == state).count();
        let (failed, down) = (count(MemberState::Faulty), count(MemberState::Missing));
        cells.extend([status.members.len(), ready, failed, down].map(|count| count.to_string()));
    }
    Row::new(&spec.name, cells)
}

/// The phase, also of a volume that was not placed yet.
#[must_use]
pub fn phase(volume: &Volume) -> VolumePhase {
    match &volume.status {
        _ if volume.spec.deleting => VolumePhase::Deleting,
        Some(status) => status.phase,
        None => VolumePhase::New,
    }
}

/// `replica ls`
#[must_use]
pub fn replicas(world: &World, now: Timestamp, wide: bool) -> Table {
    let mut headers = vec!["VOLUME", "NODE", "DRIVE", "USED", "ALLOCATED", "STATE", "AGE"];
    if wide {
        headers.extend(["ID", "EPOCH"]);
    }
    let mut replicas: Vec<Replica> = world.replicas().collect();
    replicas.sort_by(|one, other| {
        (&one.spec.volume, &one.spec.node).cmp(&(&other.spec.volume, &other.spec.node))
    });
    Table { headers, rows: replicas.iter().map(|replica| replica_row(world, now, wide, replica)).collect() }
}

fn replica_row(world: &World, now: Timestamp, wide: bool, replica: &Replica) -> Row {
    let spec = &replica.spec;
    let drives: Vec<String> = spec.drives.iter().map(ToString::to_string).collect();
    let carved =
        replica.status.iter().flat_map(|status| &status.partitions).map(|partition| partition.size.0).sum();
    let member = world.volume_status(&spec.volume).and_then(|volume| volume.member(spec.id));
    let since = member.map(|member| member.since);
    let since = since.or_else(|| replica.status.as_ref().map(|status| status.updated_at));
    let mut cells = vec![
        spec.volume.to_string(),
        spec.node.to_string(),
        drives.join(","),
        used(world, replica).map_or_else(|| NOTHING.to_owned(), |used| used.to_string()),
        Bytes(carved).to_string(),
        replica_state(world, replica).to_string(),
        since.map_or_else(|| NOTHING.to_owned(), |since| age(now, since)),
    ];
    if wide {
        let epoch = replica.status.as_ref().map(|status| status.acked_epoch).unwrap_or_default();
        cells.extend([spec.id.to_string(), epoch.to_string()]);
    }
    Row::new(spec.id, cells)
}

/// USED, as [`Replica::used`] has it.
#[must_use]
pub fn used(world: &World, replica: &Replica) -> Option<Bytes> {
    replica.used(world.volume_status(&replica.spec.volume))
}

/// STATE, as [`Replica::word`] has it.
#[must_use]
pub fn replica_state(world: &World, replica: &Replica) -> ReplicaState {
    replica.word(world.volume_status(&replica.spec.volume))
}

/// `drive ls`
#[must_use]
pub fn drives(world: &World, now: Timestamp, wide: bool) -> Table {
    let mut headers =
        vec!["NAME", "NODE", "MODEL", "CAPACITY", "ALLOCATED", "FREE", "READONLY", "HEALTH", "STATE", "AGE"];
    if wide {
        headers.extend(["LARGEST", "SECTOR", "CORDONED", "FOUND"]);
    }
    Table { headers, rows: world.drives().map(|(id, drive)| drive_row(now, wide, &id, &drive)).collect() }
}

fn drive_row(now: Timestamp, wide: bool, id: &DriveId, drive: &crate::domain::Drive) -> Row {
    let (spec, status) = (drive.spec.as_ref(), drive.status.as_ref());
    let of_status =
        |text: fn(&crate::domain::DriveStatus) -> String| status.map_or_else(|| NOTHING.to_owned(), text);
    let node = status.map(|status| &status.node).or(spec.map(|spec| &spec.node));
    let mut cells = vec![
        id.to_string(),
        node.map_or_else(|| NOTHING.to_owned(), ToString::to_string),
        of_status(|status| status.model.clone()),
        of_status(|status| status.capacity.to_string()),
        of_status(|status| status.allocated.to_string()),
        of_status(|status| status.free.to_string()),
        of_status(|status| status.read_only.to_string()),
        of_status(|status| status.health.clone()),
        status.map_or(DriveState::Missing, |status| status.state).to_string(),
        spec.map_or_else(|| NOTHING.to_owned(), |spec| age(now, spec.added_at)),
    ];
    if wide {
        cells.extend([
            of_status(|status| status.largest_free.to_string()),
            of_status(|status| status.sector_size.to_string()),
            spec.is_some_and(|spec| spec.cordoned).to_string(),
            of_status(|status| status.found.join("; ")),
        ]);
    }
    Row::new(id, cells)
}

/// `node ls`
#[must_use]
pub fn nodes(world: &World, now: Timestamp, wide: bool) -> Table {
    let mut headers = vec!["NAME", "STATE", "ADDRESS", "DRIVES", "COPIES", "VOLUMES", "FREE", "HEARTBEAT"];
    if wide {
        headers.extend(["KERNEL", "VERSION", "HOSTNQN", "MISSING"]);
    }
    Table {
        headers,
        rows: world.nodes().map(|(name, node)| node_row(world, now, wide, &name, &node)).collect(),
    }
}

fn node_row(world: &World, now: Timestamp, wide: bool, name: &NodeName, node: &crate::domain::Node) -> Row {
    let of_status = |text: fn(&crate::domain::NodeStatus) -> String| {
        node.status.as_ref().map_or_else(|| NOTHING.to_owned(), text)
    };
    let added: Vec<_> = world
        .drives()
        .filter(|(_, drive)| drive.spec.as_ref().is_some_and(|spec| spec.node == *name))
        .filter_map(|(_, drive)| drive.status)
        .collect();
    let owned =
        |volume: &Volume| volume.status.as_ref().is_some_and(|status| status.owner.as_ref() == Some(name));
    let heartbeat = node.status.as_ref().map(|status| age(now, status.heartbeat_at));
    let mut cells = vec![
        name.to_string(),
        node_state(now, node).to_owned(),
        of_status(|status| format!("{}:{}", status.endpoint.address, status.endpoint.port)),
        added.len().to_string(),
        world.replicas().filter(|replica| replica.spec.node == *name).count().to_string(),
        world.volumes().filter(owned).count().to_string(),
        Bytes(added.iter().map(|status| status.free.0).sum()).to_string(),
        heartbeat.unwrap_or_else(|| NOTHING.to_owned()),
    ];
    if wide {
        cells.extend([
            of_status(|status| status.kernel.clone()),
            of_status(|status| status.version.clone()),
            of_status(|status| status.host_nqn.clone()),
            of_status(|status| status.missing.join("; ")),
        ]);
    }
    Row::new(name, cells)
}

/// Whether a node has not said anything for long.
pub(super) fn is_silent(now: Timestamp, node: &crate::domain::Node) -> bool {
    node.status.as_ref().is_none_or(|status| plan::is_silent(status, now))
}

/// By the heartbeat's own time: right as far as the nodes' clocks agree. The machines do not decide by it.
fn node_state(now: Timestamp, node: &crate::domain::Node) -> &'static str {
    match &node.status {
        None => "Unknown",
        Some(_) if is_silent(now, node) => "Silent",
        Some(_) if node.spec.draining => "Draining",
        Some(_) if node.spec.cordoned => "Cordoned",
        Some(status) if !status.missing.is_empty() => "Lacking",
        Some(_) => "Ready",
    }
}
