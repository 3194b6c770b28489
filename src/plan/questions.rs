//! What an admin asks before a machine or a drive goes: yes, or every volume that says no and why.

use super::evacuate;
use crate::domain::{DriveId, Member, NodeName, Reason, Volume, VolumeStatus, World};

/// Why a node cannot be shut down now without somebody noticing; empty when it can. `alive` says which nodes answer.
#[must_use]
pub fn safe_to_reboot(world: &World, node: &NodeName, alive: &dyn Fn(&NodeName) -> bool) -> Vec<Reason> {
    let volumes = world.volumes().filter(|volume| !volume.spec.deleting);
    volumes.filter_map(|volume| in_use(&volume, node).or_else(|| last_copy(&volume, node, alive))).collect()
}

fn in_use(volume: &Volume, node: &NodeName) -> Option<Reason> {
    let (name, spec) = (&volume.spec.name, &volume.spec);
    if spec.attachment.as_ref().is_some_and(|attachment| attachment.node == *node) {
        return Some(Reason::blocked(
            "VolumeInUse",
            format_args!("volume {name} is attached on {node}"),
            format_args!("attach it elsewhere, or `mdfabric volume detach {name}`"),
        ));
    }
    let owns = volume.status.as_ref()?.owner.as_ref() == Some(node);
    owns.then(|| {
        Reason::waiting(
            "VolumeOwned",
            format_args!("{node} has not let go of volume {name}, or fills a copy of it"),
        )
    })
}

fn last_copy(volume: &Volume, node: &NodeName, alive: &dyn Fn(&NodeName) -> bool) -> Option<Reason> {
    let status = volume.status.as_ref()?;
    let here = in_sync(status).any(|member| member.node == *node);
    let elsewhere = in_sync(status).any(|member| member.node != *node && alive(&member.node));
    (here && !elsewhere).then(|| {
        Reason::blocked(
            "LastInSyncCopy",
            format_args!(
                "{node} has the only copy of volume {} that holds every write and answers",
                volume.spec.name
            ),
            "wait until another copy is in sync and its node answers, or ask for one more with `mdfabric volume edit`",
        )
    })
}

fn in_sync(status: &VolumeStatus) -> impl Iterator<Item = &Member> {
    status.members.iter().filter(|member| status.in_sync.contains(&member.replica))
}

/// Why a drive cannot be pulled for good; empty when nothing of any volume is on it.
#[must_use]
pub fn safe_to_remove(world: &World, drive: &DriveId) -> Vec<Reason> {
    let hosted = |volume: &Volume| {
        let mut members = volume.status.iter().flat_map(|status| &status.members);
        members.any(|member| member.drives.contains(drive))
    };
    let emptied = world.drive_spec(drive).is_some_and(|spec| spec.evicting);
    let lines = evacuate::of_drive(world, drive);
    let reason = |volume: Volume| {
        let name = &volume.spec.name;
        let about = format!("volume {name}:");
        let how = lines.iter().find(|line| line.starts_with(&about)).cloned();
        let message = how.unwrap_or_else(|| format!("volume {name}: its dropped copy is still to be erased"));
        let next = if emptied {
            "wait: it is being emptied".to_owned()
        } else {
            format!("`mdfabric drive evict {drive}`")
        };
        Reason::blocked("DriveInUse", message, next)
    };
    world.volumes().filter(hosted).map(reason).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

    use super::*;
    use crate::domain::testing::{member, put, volume_spec};
    use crate::domain::{Attachment, MemberState, Record, Timestamp};

    fn world(in_sync: &[u32]) -> World {
        let mut world = World::default();
        let members =
            [(1, "n1"), (2, "n2")].map(|(id, node)| member(id, node, MemberState::Synced, Timestamp(0)));
        let counts = members.iter().filter(|member| in_sync.contains(&member.dev_number));
        let status = VolumeStatus {
            created: true,
            in_sync: counts.map(|member| member.replica).collect(),
            members: members.to_vec(),
            ..VolumeStatus::default()
        };
        put(&mut world, "v", Record::VolumeSpec(volume_spec("v")));
        put(&mut world, "v", Record::VolumeStatus(status));
        world
    }

    fn codes(reasons: &[Reason]) -> Vec<&str> {
        reasons.iter().map(|reason| reason.code.as_str()).collect()
    }

    #[test]
    fn a_node_may_go_while_another_copy_answers() {
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let (n1, all, not_n2) = (node("n1"), |_: &NodeName| true, |name: &NodeName| name.as_str() != "n2");
        assert_eq!(safe_to_reboot(&world(&[1, 2]), &n1, &all), []);
        assert_eq!(safe_to_reboot(&world(&[2]), &n1, &all), [], "its own copy does not count");
        assert_eq!(codes(&safe_to_reboot(&world(&[1, 2]), &n1, &not_n2)), ["LastInSyncCopy"]);
        assert_eq!(codes(&safe_to_reboot(&world(&[1]), &n1, &all)), ["LastInSyncCopy"]);
        let mut used = world(&[1, 2]);
        let attachment = Some(Attachment::to(n1.clone()));
        put(&mut used, "v", Record::VolumeSpec(crate::domain::VolumeSpec { attachment, ..volume_spec("v") }));
        assert_eq!(codes(&safe_to_reboot(&used, &n1, &all)), ["VolumeInUse"]);
        assert_eq!(safe_to_reboot(&used, &node("n2"), &all), []);
    }

    #[test]
    fn a_drive_may_go_when_nothing_is_on_it() {
        let world = world(&[1, 2]);
        assert_eq!(codes(&safe_to_remove(&world, &"S1".parse().unwrap())), ["DriveInUse"]);
        assert_eq!(safe_to_remove(&world, &"S3".parse().unwrap()), []);
    }
}
