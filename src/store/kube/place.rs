//! Which object a record is in, and which half of it.

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};

use super::crd::{GROUP, VERSION};
use crate::domain::Kind;

/// The kinds of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// `mdvol`
    Volume,
    /// `mdrep`
    Replica,
    /// `mddrive`
    Drive,
    /// `mdnode`
    Node,
    /// A Lease of the API server's own kind.
    Lease,
}

/// The halves of an object. A lease has only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Half {
    /// What shall be.
    Spec,
    /// What is.
    Status,
}

impl Half {
    /// What the half is called in the object.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Status => "status",
        }
    }
}

/// Where a record is.
pub(super) const fn of(kind: Kind) -> (Place, Half) {
    match kind {
        Kind::VolumeSpec => (Place::Volume, Half::Spec),
        Kind::VolumeStatus => (Place::Volume, Half::Status),
        Kind::ReplicaSpec => (Place::Replica, Half::Spec),
        Kind::ReplicaStatus => (Place::Replica, Half::Status),
        Kind::DriveSpec => (Place::Drive, Half::Spec),
        Kind::DriveStatus => (Place::Drive, Half::Status),
        Kind::NodeSpec => (Place::Node, Half::Spec),
        Kind::NodeStatus => (Place::Node, Half::Status),
        Kind::Lease => (Place::Lease, Half::Spec),
    }
}

impl Place {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Volume, Self::Replica, Self::Drive, Self::Node, Self::Lease];

    /// How the API server calls the kind.
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::Volume => (GROUP, VERSION, "Volume", "volumes"),
            Self::Replica => (GROUP, VERSION, "Replica", "replicas"),
            Self::Drive => (GROUP, VERSION, "Drive", "drives"),
            Self::Node => (GROUP, VERSION, "StorageNode", "storagenodes"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
        };
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: format!("{group}/{version}"),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Its objects. Leases are those of one namespace.
    pub(super) fn api(self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        let resource = self.resource();
        match self {
            Self::Lease => Api::namespaced_with(client.clone(), namespace, &resource),
            Self::Volume | Self::Replica | Self::Drive | Self::Node => {
                Api::all_with(client.clone(), &resource)
            }
        }
    }

    /// Whether an object of this kind is made with its spec, and goes with it.
    pub(super) const fn is_its_spec(self) -> bool {
        match self {
            Self::Volume | Self::Replica | Self::Lease => true,
            Self::Drive | Self::Node => false,
        }
    }

    /// Whether data of ours may depend on an object with a spec.
    pub(super) const fn has_data(self) -> bool {
        match self {
            Self::Volume | Self::Replica | Self::Drive => true,
            Self::Node | Self::Lease => false,
        }
    }
}
