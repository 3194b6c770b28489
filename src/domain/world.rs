//! All records together, and how a store names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Drive, DriveId, DriveSpec, DriveStatus, Node, NodeName, NodeSpec, NodeStatus, Replica, ReplicaId,
    ReplicaSpec, ReplicaStatus, Volume, VolumeName, VolumeSpec, VolumeStatus,
};

/// The store's number of a write. A record's revision is that of its last write; 0 stands for "not there".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// The kinds of record. Every kind has one writer (ARCHITECTURE.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// [`VolumeSpec`]
    VolumeSpec,
    /// [`VolumeStatus`]
    VolumeStatus,
    /// [`ReplicaSpec`]
    ReplicaSpec,
    /// [`ReplicaStatus`]
    ReplicaStatus,
    /// [`DriveSpec`]
    DriveSpec,
    /// [`DriveStatus`]
    DriveStatus,
    /// [`NodeSpec`]
    NodeSpec,
    /// [`NodeStatus`]
    NodeStatus,
    /// [`Lease`]
    Lease,
}

impl Kind {
    const fn other_half(self) -> Option<Self> {
        Some(match self {
            Self::VolumeSpec => Self::VolumeStatus,
            Self::VolumeStatus => Self::VolumeSpec,
            Self::ReplicaSpec => Self::ReplicaStatus,
            Self::ReplicaStatus => Self::ReplicaSpec,
            Self::DriveSpec => Self::DriveStatus,
            Self::DriveStatus => Self::DriveSpec,
            Self::NodeSpec => Self::NodeStatus,
            Self::NodeStatus => Self::NodeSpec,
            Self::Lease => return None,
        })
    }
}

/// A record's name in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Which kind.
    pub kind: Kind,
    /// Which one.
    pub name: String,
}

impl Key {
    /// The record of `kind` that is called `name`.
    pub fn new(kind: Kind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }

    /// What else there is of the same thing: the status of a spec, the spec of a status.
    #[must_use]
    pub fn other_half(&self) -> Option<Self> {
        Some(Self::new(self.kind.other_half()?, &self.name))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.kind, self.name)
    }
}

/// A role that one node holds at a time (the controller's). Whoever sees it unchanged for its whole term may take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Who holds it.
    pub holder: NodeName,
    /// Renewals so far.
    pub renewals: u64,
    /// How long it is valid without renewal, in milliseconds.
    pub term_millis: u64,
}

/// Any record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "records are few and short-lived outside of World")]
pub enum Record {
    /// [`Kind::VolumeSpec`]
    VolumeSpec(VolumeSpec),
    /// [`Kind::VolumeStatus`]
    VolumeStatus(VolumeStatus),
    /// [`Kind::ReplicaSpec`]
    ReplicaSpec(ReplicaSpec),
    /// [`Kind::ReplicaStatus`]
    ReplicaStatus(ReplicaStatus),
    /// [`Kind::DriveSpec`]
    DriveSpec(DriveSpec),
    /// [`Kind::DriveStatus`]
    DriveStatus(DriveStatus),
    /// [`Kind::NodeSpec`]
    NodeSpec(NodeSpec),
    /// [`Kind::NodeStatus`]
    NodeStatus(NodeStatus),
    /// [`Kind::Lease`]
    Lease(Lease),
}

impl Record {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::VolumeSpec(_) => Kind::VolumeSpec,
            Self::VolumeStatus(_) => Kind::VolumeStatus,
            Self::ReplicaSpec(_) => Kind::ReplicaSpec,
            Self::ReplicaStatus(_) => Kind::ReplicaStatus,
            Self::DriveSpec(_) => Kind::DriveSpec,
            Self::DriveStatus(_) => Kind::DriveStatus,
            Self::NodeSpec(_) => Kind::NodeSpec,
            Self::NodeStatus(_) => Kind::NodeStatus,
            Self::Lease(_) => Kind::Lease,
        }
    }
}

/// Something with the revision of its last write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// Last write.
    pub revision: Revision,
    /// The thing.
    pub value: T,
}

/// Every record, by kind and name: a consistent view of the store at one revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    records: BTreeMap<Key, Versioned<Record>>,
    unreadable: BTreeSet<Key>,
}

macro_rules! getter {
    ($(#[$doc:meta])* $get:ident, $variant:ident, $name:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $get(&self, name: &$name) -> Option<&$variant> {
            match self.record(&Key::new(Kind::$variant, name))? {
                Record::$variant(record) => Some(record),
                _ => None,
            }
        }
    };
}

impl World {
    /// Takes in one record as the store has it now; `None` means it is gone.
    pub fn set(&mut self, key: Key, value: Option<Versioned<Record>>) {
        self.unreadable.remove(&key);
        match value {
            Some(value) => self.records.insert(key, value),
            None => self.records.remove(&key),
        };
    }

    /// Which records are there and cannot be read.
    pub fn set_unreadable(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.unreadable = keys.into_iter().collect();
    }

    /// One more that is there and cannot be read; `false` if that was known.
    pub fn add_unreadable(&mut self, key: Key) -> bool {
        self.unreadable.insert(key)
    }

    /// A record that is there and cannot be read, if there is one: what no other record speaks of may be what it speaks of.
    #[must_use]
    pub fn unreadable(&self) -> Option<&Key> {
        self.unreadable.first()
    }

    /// Whether a record is there and cannot be read.
    #[must_use]
    pub fn is_unreadable(&self, key: &Key) -> bool {
        self.unreadable.contains(key)
    }

    /// The revision of a record, 0 where there is none.
    #[must_use]
    pub fn revision(&self, key: &Key) -> Revision {
        self.records.get(key).map_or(Revision(0), |versioned| versioned.revision)
    }

    /// Any record.
    #[must_use]
    pub fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|versioned| &versioned.value)
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Versioned<Record>)> {
        self.records.iter()
    }

    getter!(
        /// A volume's request.
        volume_spec, VolumeSpec, VolumeName
    );
    getter!(
        /// A volume's state.
        volume_status, VolumeStatus, VolumeName
    );
    getter!(
        /// A replica's request.
        replica_spec, ReplicaSpec, ReplicaId
    );
    getter!(
        /// A replica's state.
        replica_status, ReplicaStatus, ReplicaId
    );
    getter!(
        /// What was decided about a drive.
        drive_spec, DriveSpec, DriveId
    );
    getter!(
        /// What is seen of a drive.
        drive_status, DriveStatus, DriveId
    );
    getter!(
        /// What was decided about a node.
        node_spec, NodeSpec, NodeName
    );
    getter!(
        /// What a node says of itself.
        node_status, NodeStatus, NodeName
    );

    /// The controller's lease or another.
    #[must_use]
    pub fn lease(&self, name: &str) -> Option<&Lease> {
        match self.record(&Key::new(Kind::Lease, name))? {
            Record::Lease(lease) => Some(lease),
            _ => None,
        }
    }

    /// A volume's request, with the `stripe_width` it was made with: see [`VolumeStatus::columns`].
    #[must_use]
    pub fn spec_as_made(&self, name: &VolumeName) -> Option<VolumeSpec> {
        let spec = self.volume_spec(name)?;
        let columns = self.volume_status(name).map(|status| status.columns(spec));
        Some(VolumeSpec { stripe_width: columns.unwrap_or(spec.stripe_width), ..spec.clone() })
    }

    /// A volume, both halves, its request [as it was made](Self::spec_as_made).
    #[must_use]
    pub fn volume(&self, name: &VolumeName) -> Option<Volume> {
        Some(Volume { spec: self.spec_as_made(name)?, status: self.volume_status(name).cloned() })
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> impl Iterator<Item = Volume> {
        self.of_kind(Kind::VolumeSpec).filter_map(|(_, record)| match record {
            Record::VolumeSpec(spec) => self.volume(&spec.name),
            _ => None,
        })
    }

    /// A replica, both halves.
    #[must_use]
    pub fn replica(&self, id: &ReplicaId) -> Option<Replica> {
        Some(Replica { spec: self.replica_spec(id)?.clone(), status: self.replica_status(id).cloned() })
    }

    /// All replicas, by id.
    pub fn replicas(&self) -> impl Iterator<Item = Replica> {
        self.of_kind(Kind::ReplicaSpec).filter_map(|(_, record)| match record {
            Record::ReplicaSpec(spec) => self.replica(&spec.id),
            _ => None,
        })
    }

    /// All drives that were added or seen, by id.
    pub fn drives(&self) -> impl Iterator<Item = (DriveId, Drive)> {
        self.names(Kind::DriveSpec, Kind::DriveStatus).into_iter().filter_map(|name| {
            let id: DriveId = name.parse().ok()?;
            let drive =
                Drive { spec: self.drive_spec(&id).cloned(), status: self.drive_status(&id).cloned() };
            Some((id, drive))
        })
    }

    /// What is seen of the drives of `node`, by id.
    pub fn drives_seen_on(&self, node: &NodeName) -> impl Iterator<Item = (DriveId, &DriveStatus)> {
        self.of_kind(Kind::DriveStatus).filter_map(move |(key, record)| match record {
            Record::DriveStatus(status) if status.node == *node => Some((key.name.parse().ok()?, status)),
            _ => None,
        })
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeName, Node)> {
        self.names(Kind::NodeSpec, Kind::NodeStatus).into_iter().filter_map(|name| {
            let name: NodeName = name.parse().ok()?;
            let spec = self.node_spec(&name).cloned().unwrap_or_default();
            let status = self.node_status(&name).cloned();
            Some((name, Node { spec, status }))
        })
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Record)> {
        let from = Key { kind, name: String::new() };
        self.records
            .range(from..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(key, versioned)| (key, &versioned.value))
    }

    fn names(&self, one: Kind, other: Kind) -> BTreeSet<String> {
        self.of_kind(one).chain(self.of_kind(other)).map(|(key, _)| key.name.clone()).collect()
    }
}
