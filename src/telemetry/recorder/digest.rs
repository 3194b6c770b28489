//! An observation in one line per object, without what changes all the time.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::{
    ArraySeen, ArrayState, ConnectionSeen, DriveSeen, ExportSeen, MapSeen, MemberSeen, Observation,
    TableSeen, TopSeen,
};

/// State by object.
pub(super) fn of(seen: &Observation) -> BTreeMap<String, String> {
    let drives = seen.drives.iter().map(|(id, drive)| (format!("drive {id}"), of_drive(drive)));
    let exports =
        seen.exports.iter().map(|((id, epoch), export)| (format!("export {id}:{epoch}"), of_export(export)));
    let connections = seen
        .connections
        .iter()
        .map(|((id, epoch), connection)| (format!("connection {id}:{epoch}"), of_connection(connection)));
    let maps = seen.maps.iter().map(|((id, epoch), map)| (format!("leg {id}:{epoch}"), of_map(map)));
    let arrays = seen.arrays.values().map(|array| (format!("array {}", array.name), of_array(array)));
    let tops = seen.tops.iter().map(|(volume, top)| (format!("stripes {volume}"), of_top(top)));
    let mounts = seen.mounts.iter().map(|mount| {
        let read_only = if mount.read_only { ", read-only" } else { "" };
        (format!("mount {}", mount.path), format!("of {}{read_only}", mount.dev))
    });
    let binds =
        seen.device_binds.iter().map(|bind| (format!("bind {}", bind.path), format!("of {}", bind.dev)));
    let mounts = mounts.chain(binds);
    drives.chain(exports).chain(connections).chain(maps).chain(arrays).chain(tops).chain(mounts).collect()
}

/// What is new, different, or gone.
pub(super) fn changes<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let changed = after
        .iter()
        .filter(|(object, state)| before.get(*object) != Some(state))
        .map(|(object, state)| (object.as_str(), state.as_str()));
    let gone = before.keys().filter(|object| !after.contains_key(*object));
    changed.chain(gone.map(|object| (object.as_str(), "gone")))
}

fn of_drive(drive: &DriveSeen) -> String {
    let table = match &drive.table {
        TableSeen::Absent => "no table".to_owned(),
        TableSeen::Gpt { partitions, damaged: None, .. } => format!("{} partitions", partitions.len()),
        TableSeen::Gpt { partitions, damaged: Some(damage), .. } => {
            format!("{} partitions, {damage}", partitions.len())
        }
        TableSeen::Corrupt(why) => why.clone(),
        TableSeen::Unread => "table not read".to_owned(),
    };
    let silent = if drive.unanswered.is_some() { ", does not answer" } else { "" };
    let read_only = if drive.read_only { ", read-only" } else { "" };
    format!("{}, {}, {}{read_only}{silent}, {table}", drive.dev, drive.capacity, drive.health)
}

fn of_export(export: &ExportSeen) -> String {
    let hosts: Vec<&str> = export.hosts.iter().map(String::as_str).collect();
    let linked = if export.linked { "linked" } else { "not linked" };
    let enabled = if export.enabled { "enabled" } else { "not enabled" };
    format!("{}, {linked}, {enabled}, for {}", or_none(export.dev), hosts.join(" "))
}

fn of_connection(connection: &ConnectionSeen) -> String {
    format!("{} {:?}, namespace {}", connection.controller, connection.state, or_none(connection.dev))
}

fn of_map(map: &MapSeen) -> String {
    let active = if map.path_active { "active" } else { "failed" };
    let without = if map.queueing { "holds I/O" } else { "fails I/O" };
    format!("{}, path {} {active}, without one {without}", map.dev, or_none(map.path))
}

/// Clean and active follow every write; recovery's progress every look: neither is told.
fn of_array(array: &ArraySeen) -> String {
    let state = match &array.state {
        ArrayState::Clean | ArrayState::Active => "writable".to_owned(),
        other => format!("{other:?}"),
    };
    let members: Vec<String> = array.members.iter().map(of_member).collect();
    format!("{}, {state}, {:?}, {} slots: {}", array.dev, array.sync.action, array.slots, members.join("; "))
}

fn of_top(top: &TopSeen) -> String {
    let columns: Vec<String> = top.columns.iter().map(ToString::to_string).collect();
    let suspended = if top.suspended { ", suspended" } else { "" };
    format!("{}, {} over {}{suspended}", top.dev, top.size, columns.join(" "))
}

fn of_member(member: &MemberSeen) -> String {
    let flags: Vec<String> = member.flags.iter().map(|flag| format!("{flag:?}")).collect();
    format!("{} slot {} {}", member.name, or_none(member.slot), flags.join(" "))
}

fn or_none(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
