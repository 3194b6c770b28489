//! Identities. Device names such as `/dev/nvme1n1` and MD slot numbers are never among them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that breaks the rules of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?} is not allowed: {rule}")]
pub struct InvalidName {
    /// What was being named (`volume`, `node`).
    pub kind: &'static str,
    /// The offending text.
    pub name: String,
    /// What is allowed.
    pub rule: &'static str,
}

const LABEL_RULE: &str = "use 1 to 63 of a-z, 0-9, '-' and '.', starting and ending with a letter or digit";

/// [`is_label`] for those who check before we do.
const LABEL_PATTERN: &str = "^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$";

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| plain(byte) || byte == b'-' || byte == b'.')
        && bytes.first().is_some_and(|&byte| plain(byte))
        && bytes.last().is_some_and(|&byte| plain(byte))
}

const DRIVE_RULE: &str = "use 1 to 64 printable characters without spaces or '/'";

/// [`is_drive_id`] for those who check before we do.
const DRIVE_PATTERN: &str = "^[!-.0-~]{1,64}$";

fn is_drive_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:expr, $check:expr, $pattern:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { kind: $kind, name: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "maxLength": 64 })
            }
        }
    };
}

name!(
    /// A volume's name, unique in the cluster.
    VolumeName, "volume", LABEL_RULE, is_label, LABEL_PATTERN
);
name!(
    /// A node's name, unique in the cluster.
    NodeName, "node", LABEL_RULE, is_label, LABEL_PATTERN
);
name!(
    /// A drive's serial number or WWN: what stays the same when the drive moves to another slot.
    DriveId, "drive", DRIVE_RULE, is_drive_id, DRIVE_PATTERN
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $type(pub Uuid);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $type {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// A volume's identity; a name may be used again, a uid never is.
    VolumeUid
);
uuid_id!(
    /// A replica's identity. It is the GPT partition GUID of the replica's first column and the MD device uuid there.
    ReplicaId
);

/// The number of an ownership. Every hand-over raises it; 0 means "never owned".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next ownership.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const NQN_PREFIX: &str = "nqn.2026-11.io.mdfabric";
/// What the device-mapper uuid of every map of ours begins with.
const MAPS_PREFIX: &str = "mdfabric-";
const MAP_PREFIX: &str = "mdfabric-leg-";
const TOP_PREFIX: &str = "mdfabric-volume-";

/// The GPT partition GUID, and MD device uuid, of a replica's column. Column 0 is the replica id itself.
#[must_use]
pub fn partition_guid(replica: ReplicaId, column: u8) -> Uuid {
    if column == 0 { replica.0 } else { Uuid::new_v5(&replica.0, &[column]) }
}

/// The MD array uuid of a volume's column.
#[must_use]
pub fn array_uuid(volume: VolumeUid, column: u8) -> Uuid {
    Uuid::new_v5(&volume.0, &[b'a', column])
}

/// The kernel name of a volume's array (`/dev/md_…`): the kernel wants the prefix `md_` and at most 31 bytes.
#[must_use]
pub fn array_device(volume: VolumeUid, column: u8) -> String {
    device_of_array(array_uuid(volume, column))
}

/// Whether the array `uuid` has the kernel name that an array of ours has, of whatever volume.
#[must_use]
pub fn is_array_of_ours(name: &str, uuid: Uuid) -> bool {
    name == device_of_array(uuid)
}

fn device_of_array(uuid: Uuid) -> String {
    let uuid = uuid.simple().to_string();
    format!("md_{}", uuid.get(..16).unwrap_or(&uuid))
}

/// The NVMe host name a node uses for mdfabric's connections: its own, so that other initiators on it are not disturbed.
#[must_use]
pub fn host_nqn(node: &NodeName) -> String {
    format!("{NQN_PREFIX}:host:{node}")
}

/// Whether a connection was made by an mdfabric, of whatever node.
#[must_use]
pub fn is_host_of_ours(nqn: &str) -> bool {
    nqn.strip_prefix(NQN_PREFIX).is_some_and(|rest| rest.starts_with(":host:"))
}

/// The NVMe host id that goes with [`host_nqn`]: the kernel refuses one id with two names.
#[must_use]
pub fn host_id(node: &NodeName) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, host_nqn(node).as_bytes())
}

/// The subsystem that serves one replica column to the owner of one epoch. The epoch is part of the name, so a
/// controller of an earlier owner can never come back through it.
#[must_use]
pub fn subsystem_nqn(partition: Uuid, epoch: Epoch) -> String {
    format!("{NQN_PREFIX}:{partition}:{epoch}")
}

/// The partition and epoch a subsystem of ours stands for; `None` for a subsystem that is not ours.
#[must_use]
pub fn subsystem_parts(nqn: &str) -> Option<(Uuid, Epoch)> {
    let (partition, epoch) = nqn.strip_prefix(NQN_PREFIX)?.strip_prefix(':')?.split_once(':')?;
    Some((partition.parse().ok()?, Epoch(epoch.parse().ok()?)))
}

/// The device-mapper name of the leg to a remote partition.
#[must_use]
pub fn leg_map_name(partition: Uuid) -> String {
    format!("{MAP_PREFIX}{}", partition.simple())
}

/// The device-mapper uuid of the leg to a remote partition in one epoch: how a leg of ours is recognised.
#[must_use]
pub fn leg_map_uuid(partition: Uuid, epoch: Epoch) -> String {
    format!("{MAP_PREFIX}{partition}:{epoch}")
}

/// The partition and epoch a device-mapper uuid of ours stands for.
#[must_use]
pub fn partition_of_map_uuid(uuid: &str) -> Option<(Uuid, Epoch)> {
    let (partition, epoch) = uuid.strip_prefix(MAP_PREFIX)?.split_once(':')?;
    Some((partition.parse().ok()?, Epoch(epoch.parse().ok()?)))
}

/// Whether a device-mapper uuid is one of ours, a leg's or another's.
#[must_use]
pub fn is_map_of_ours(uuid: &str) -> bool {
    uuid.starts_with(MAPS_PREFIX)
}

/// The device-mapper name of the stripes over a volume's columns.
#[must_use]
pub fn top_map_name(volume: VolumeUid) -> String {
    format!("{TOP_PREFIX}{}", volume.0.simple())
}

/// The device-mapper uuid of the stripes over a volume's columns: how one of ours is recognised.
#[must_use]
pub fn top_map_uuid(volume: VolumeUid) -> String {
    format!("{TOP_PREFIX}{volume}")
}

/// The volume whose columns a device-mapper uuid of ours stands for.
#[must_use]
pub fn volume_of_map_uuid(uuid: &str) -> Option<VolumeUid> {
    uuid.strip_prefix(TOP_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_a_path_or_an_nqn_could_not_carry() {
        for bad in ["", "-a", "a-", "A", "a/b", "a b", &"x".repeat(64)] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad:?}");
        }
        assert_eq!("pvc-1.a".parse::<VolumeName>().unwrap().to_string(), "pvc-1.a");
    }

    #[test]
    fn subsystem_names_round_trip_and_strangers_are_not_ours() {
        let partition = Uuid::from_u128(7);
        assert_eq!(subsystem_parts(&subsystem_nqn(partition, Epoch(3))), Some((partition, Epoch(3))));
        assert_eq!(partition_of_map_uuid(&leg_map_uuid(partition, Epoch(3))), Some((partition, Epoch(3))));
        assert_eq!(subsystem_parts("nqn.2014-08.org.nvmexpress.discovery"), None);
        let volume = VolumeUid(partition);
        assert_eq!(volume_of_map_uuid(&top_map_uuid(volume)), Some(volume));
        assert_eq!(volume_of_map_uuid(&leg_map_uuid(partition, Epoch(3))), None);
        assert_eq!(partition_of_map_uuid(&top_map_uuid(volume)), None);
    }

    #[test]
    fn array_names_fit_the_kernel() {
        let name = array_device(VolumeUid(Uuid::from_u128(1)), 0);
        assert!(name.starts_with("md_") && name.len() <= 31, "{name}");
    }
}
