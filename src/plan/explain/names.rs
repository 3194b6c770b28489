//! Which object a text means.

use crate::domain::{DriveId, NodeName, ReplicaId, VolumeName, World};
use crate::plan::verbs::{Refusal, RefusalKind};

/// How many near names a refusal lists.
const NEAR: usize = 3;

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// `volume/…`
    Volume(VolumeName),
    /// `replica/…`
    Replica(ReplicaId),
    /// `drive/…`
    Drive(DriveId),
    /// `node/…`
    Node(NodeName),
}

/// The object, or which ones could have been meant.
pub(super) fn resolve(world: &World, text: &str) -> Result<Object, Refusal> {
    let all = all(world);
    let mut meant: Vec<_> = all.iter().filter(|(name, _)| means(text, name)).collect();
    match (meant.pop(), meant.is_empty()) {
        (Some((_, object)), true) => Ok(object.clone()),
        (Some((name, _)), false) => {
            let mut names: Vec<&str> = meant.iter().map(|(name, _)| name.as_str()).collect();
            names.push(name);
            Err(Refusal::new(
                RefusalKind::InvalidArgument,
                format_args!("{text:?} could be {}", names.join(" or ")),
                "write the kind before the name",
            ))
        }
        (None, _) => Err(unknown(text, &all)),
    }
}

fn all(world: &World) -> Vec<(String, Object)> {
    let volumes = world.volumes().map(|volume| Object::Volume(volume.spec.name));
    let replicas = world.replicas().map(|replica| Object::Replica(replica.spec.id));
    let drives = world.drives().map(|(id, _)| Object::Drive(id));
    let nodes = world.nodes().map(|(name, _)| Object::Node(name));
    volumes.chain(replicas).chain(drives).chain(nodes).map(|object| (full_name(&object), object)).collect()
}

fn full_name(object: &Object) -> String {
    match object {
        Object::Volume(name) => format!("volume/{name}"),
        Object::Replica(id) => format!("replica/{id}"),
        Object::Drive(id) => format!("drive/{id}"),
        Object::Node(name) => format!("node/{name}"),
    }
}

/// A whole name, or its part after the kind.
fn means(text: &str, name: &str) -> bool {
    name == text || name.split_once('/').is_some_and(|(_, bare)| bare == text)
}

fn unknown(text: &str, all: &[(String, Object)]) -> Refusal {
    let mut near: Vec<(usize, &str)> =
        all.iter().map(|(name, _)| (distance(text, name), name.as_str())).collect();
    near.sort_unstable();
    let close = |distance: usize| distance <= (text.len() / 3).max(2);
    let names: Vec<&str> =
        near.iter().filter(|(distance, _)| close(*distance)).take(NEAR).map(|(_, name)| *name).collect();
    let next_step = if names.is_empty() {
        "name a volume, replica, drive or node: volume/NAME, replica/ID, drive/SERIAL, node/NAME".to_owned()
    } else {
        format!("did you mean {}?", names.join(" or "))
    };
    Refusal::new(RefusalKind::NotFound, format_args!("there is no {text:?}"), next_step)
}

/// Letters to insert, drop or change, with or without the kind before the name.
fn distance(text: &str, name: &str) -> usize {
    let bare = name.split_once('/').map_or(name, |(_, bare)| bare);
    edits(text, name).min(edits(text, bare))
}

/// Levenshtein's distance in bytes, one row at a time.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, byte) in one.bytes().enumerate() {
        let mut left = index + 1;
        let mut diagonal = index;
        let mut next = vec![left];
        for (other_byte, above) in other.bytes().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(byte != other_byte)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("db", "bd", 2)]
        {
            assert_eq!(edits(one, other), expected, "{one} {other}");
        }
    }
}
