//! What the daemon knows, as far as CSI asks for it.

use std::collections::BTreeMap;

use crate::wire::mdfabric::stored_record::Record;
use crate::wire::mdfabric::{Attachment, FsType, Key, Kind, Reason, VolumeSpec, VolumeStatus, World};

/// Volumes by name.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    specs: BTreeMap<String, VolumeSpec>,
    statuses: BTreeMap<String, VolumeStatus>,
}

/// A volume as it is asked for and as it is.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// What was asked for.
    pub spec: &'a VolumeSpec,
    /// What became of it; absent before it was looked at.
    pub status: Option<&'a VolumeStatus>,
}

impl Cluster {
    /// Takes in what changed, or everything anew.
    pub fn take(&mut self, world: World) {
        if world.complete {
            *self = Self::default();
        }
        for entry in world.entries {
            let record = entry.record.and_then(|stored| stored.record);
            self.set(entry.key.unwrap_or_default(), record);
        }
    }

    fn set(&mut self, key: Key, record: Option<Record>) {
        match (key.kind(), record) {
            (Kind::VolumeSpec, Some(Record::VolumeSpec(spec))) => drop(self.specs.insert(key.name, spec)),
            (Kind::VolumeSpec, _) => drop(self.specs.remove(&key.name)),
            (Kind::VolumeStatus, Some(Record::VolumeStatus(status))) => {
                self.statuses.insert(key.name, status);
            }
            (Kind::VolumeStatus, _) => drop(self.statuses.remove(&key.name)),
            _ => {}
        }
    }

    /// The volume of that name, also if it is being deleted.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<Volume<'_>> {
        let spec = self.specs.get(name)?;
        Some(Volume { spec, status: self.statuses.get(name) })
    }

    /// All of them by name.
    pub fn volumes(&self) -> impl Iterator<Item = Volume<'_>> {
        self.specs.keys().filter_map(|name| self.volume(name))
    }
}

impl<'a> Volume<'a> {
    /// Where it is attached, if that is on `node`.
    #[must_use]
    pub fn attachment_on(&self, node: &str) -> Option<&'a Attachment> {
        self.spec.attachment.as_ref().filter(|attachment| attachment.node == node)
    }

    /// Its status, if `node` owns it.
    #[must_use]
    pub fn status_of_owner(&self, node: &str) -> Option<&'a VolumeStatus> {
        self.status.filter(|status| status.owner.as_deref() == Some(node))
    }

    /// Whether it carries no file system.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.spec.fs() == FsType::Raw
    }

    /// Usable bytes that its device has.
    #[must_use]
    pub fn usable(&self) -> u64 {
        self.status.and_then(|status| status.size_bytes).unwrap_or(self.spec.size_bytes)
    }

    /// Where its owner mounted it, as last seen.
    #[must_use]
    pub fn mounted_at(&self) -> Option<&'a str> {
        self.status?.array.as_ref()?.mounted_at.as_deref()
    }

    /// Why things are as they are.
    #[must_use]
    pub fn reasons(&self) -> &'a [Reason] {
        self.status.map_or(&[], |status| status.reasons.as_slice())
    }

    /// The reasons in one line; `otherwise` if there are none.
    #[must_use]
    pub fn why(&self, otherwise: &str) -> String {
        let said = self.reasons().iter().map(said).collect::<Vec<_>>().join("; ");
        if said.is_empty() { otherwise.to_owned() } else { said }
    }
}

fn said(reason: &Reason) -> String {
    let Reason { code, message, next_step, .. } = reason;
    if next_step.is_empty() {
        format!("{code}: {message}")
    } else {
        format!("{code}: {message} ({next_step})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mdfabric::{Entry, StoredRecord};

    fn entry(kind: Kind, name: &str, record: Option<Record>) -> Entry {
        let key = Some(Key { kind: kind.into(), name: name.to_owned() });
        Entry {
            key,
            revision: 1,
            record: record.map(|record| StoredRecord { format: 1, record: Some(record) }),
        }
    }

    fn spec(name: &str, size_bytes: u64) -> Entry {
        let spec = VolumeSpec { name: name.to_owned(), size_bytes, ..VolumeSpec::default() };
        entry(Kind::VolumeSpec, name, Some(Record::VolumeSpec(spec)))
    }

    fn world(complete: bool, entries: Vec<Entry>) -> World {
        World { complete, entries, ..World::default() }
    }

    #[test]
    fn changes_are_taken_in_and_a_complete_world_forgets_the_rest() {
        let mut cluster = Cluster::default();
        cluster.take(world(true, vec![spec("a", 1), spec("b", 2)]));
        let status = VolumeStatus { size_bytes: Some(7), ..VolumeStatus::default() };
        let status = entry(Kind::VolumeStatus, "a", Some(Record::VolumeStatus(status)));
        cluster.take(world(false, vec![status, entry(Kind::VolumeSpec, "b", None)]));
        assert_eq!(cluster.volumes().map(|volume| volume.usable()).collect::<Vec<_>>(), [7]);
        cluster.take(world(true, vec![spec("c", 3)]));
        assert!(cluster.volume("a").is_none() && cluster.volume("c").is_some());
    }
}
