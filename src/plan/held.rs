//! What somebody deleted in the store itself, and what stays all the same: why, for whoever waits.

use crate::domain::{Key, NodeName, Reason, Record, VolumeName, VolumeSpec, Wanted, World};

const CODE: &str = "DeletionWaits";

/// Why each of these is there still, as far as that is for the daemon of `me` to say. What mdfabric itself deletes is not waited for.
#[must_use]
pub fn reasons(world: &World, me: &NodeName, held: &[Key]) -> Vec<(Key, Reason)> {
    held.iter().filter_map(|key| Some((key.clone(), reason(world, world.record(key)?, me)?))).collect()
}

fn reason(world: &World, record: &Record, me: &NodeName) -> Option<Reason> {
    match record {
        Record::VolumeSpec(spec) if !spec.deleting && speaker(world, spec).as_ref() == Some(me) => {
            Some(Reason::warning(
                CODE,
                format_args!(
                    "deleting the object of volume {} says nothing of its data: the volume stays, and can be used",
                    spec.name
                ),
                "`mdfabric volume rm`, or `deleting: true` in its spec, gives up the data once it is attached nowhere",
            ))
        }
        Record::ReplicaSpec(spec) if spec.node == *me && spec.wanted == Wanted::Present => {
            Some(Reason::warning(
                CODE,
                format_args!(
                    "copy {} was deleted; volume {} has it still, so its data stays",
                    spec.id, spec.volume
                ),
                "edit the placement or the number of copies of the volume, or delete that",
            ))
        }
        Record::DriveSpec(spec) if spec.node == *me => Some(Reason::warning(
            CODE,
            format_args!("drive {} was deleted; it was added, so it stays in use", spec.id),
            "`mdfabric drive evict` and `mdfabric drive remove` give it back",
        )),
        Record::VolumeSpec(_)
        | Record::VolumeStatus(_)
        | Record::ReplicaSpec(_)
        | Record::ReplicaStatus(_)
        | Record::DriveSpec(_)
        | Record::DriveStatus(_)
        | Record::NodeSpec(_)
        | Record::NodeStatus(_)
        | Record::Lease(_) => None,
    }
}

/// Whose daemon speaks for a volume: where it is attached, else where its first copy is.
fn speaker(world: &World, spec: &VolumeSpec) -> Option<NodeName> {
    let first = |name: &VolumeName| Some(world.volume_status(name)?.members.first()?.node.clone());
    let attached = spec.attachment.as_ref().map(|attachment| attachment.node.clone());
    attached.or_else(|| first(&spec.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{UID, member, volume_spec};
    use crate::domain::{
        Attachment, Bytes, Kind, MemberState, ReplicaId, ReplicaSpec, Revision, Timestamp, Versioned,
        VolumeStatus,
    };

    fn attached(node: &str) -> Record {
        let attachment = Some(Attachment::to(node.parse().unwrap()));
        Record::VolumeSpec(VolumeSpec { attachment, ..volume_spec("v") })
    }

    fn detached(deleting: bool) -> Record {
        Record::VolumeSpec(VolumeSpec { deleting, ..volume_spec("v") })
    }

    fn copy(node: &str, wanted: Wanted) -> Record {
        Record::ReplicaSpec(ReplicaSpec {
            id: ReplicaId(uuid::Uuid::from_u128(1)),
            volume: "v".parse().unwrap(),
            volume_uid: UID,
            node: node.parse().unwrap(),
            drives: vec!["S1".parse().unwrap()],
            partition_size: Bytes::gib(1),
            export: None,
            wanted,
        })
    }

    /// What a node says of a record, in a world where volume `v` has its first copy on `n2`.
    fn said_by(me: &str, record: Record, is_held: bool) -> Vec<String> {
        let key = Key::new(record.kind(), "v");
        let members = [(1, "n2"), (2, "n1")]
            .map(|(number, node)| member(number, node, MemberState::Synced, Timestamp(0)));
        let status =
            Record::VolumeStatus(VolumeStatus { members: members.to_vec(), ..VolumeStatus::default() });
        let mut world = World::default();
        for (key, value) in [(Key::new(Kind::VolumeStatus, "v"), status), (key.clone(), record)] {
            world.set(key, Some(Versioned { revision: Revision(1), value }));
        }
        let held: &[Key] = if is_held { &[key] } else { &[] };
        let reasons = reasons(&world, &me.parse().unwrap(), held);
        reasons.into_iter().map(|(_, reason)| reason.to_string()).collect()
    }

    fn speakers(record: &Record) -> [usize; 2] {
        ["n1", "n2"].map(|node| said_by(node, record.clone(), true).len())
    }

    #[test]
    fn of_what_stays_one_daemon_speaks() {
        assert_eq!(speakers(&attached("n1")), [1, 0]);
        assert_eq!(speakers(&detached(false)), [0, 1]);
        assert_eq!(speakers(&detached(true)), [0, 0], "that is asked for, and goes");
        assert_eq!(speakers(&copy("n1", Wanted::Present)), [1, 0]);
        assert_eq!(speakers(&copy("n1", Wanted::Removed)), [0, 0]);
        assert!(said_by("n1", attached("n1"), false).is_empty());
    }

    #[test]
    fn it_is_named() {
        let volume = said_by("n2", detached(false), true);
        assert!(volume[0].contains("volume v says nothing"), "{volume:?}");
        let copy = said_by("n1", copy("n1", Wanted::Present), true);
        assert!(copy[0].contains("volume v has it still"), "{copy:?}");
    }
}
