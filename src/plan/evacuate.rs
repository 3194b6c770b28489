//! Emptying nodes and drives: which copies go, where to, and what stays and why. The verb says it before, the owners do it.

use super::candidate::{self, First, Search};
use super::placement::{self, Place, Unfit};
use super::{Input, Plan};
use crate::domain::{DriveId, Member, NodeName, Reason, Volume, VolumeSpec, VolumeStatus, World};

/// A copy that holds every write and whose node or drive is being emptied.
pub(super) fn due<'a>(world: &World, status: &'a VolumeStatus) -> Option<&'a Member> {
    let good = |member: &&Member| status.in_sync.contains(&member.replica);
    status.staying().filter(good).find(|member| is_emptied(world, member))
}

/// Whether the place of a copy is being emptied.
pub(super) fn is_emptied(world: &World, member: &Member) -> bool {
    let drive = |id| world.drive_spec(id).is_some_and(|spec| spec.evicting);
    world.node_spec(&member.node).is_some_and(|spec| spec.draining) || member.drives.iter().any(drive)
}

/// A drive's copies stay on its node if that has room; a node's copies cannot.
pub(super) const FIRST: First = First::Same;

/// That a copy stays where it is to go from.
pub(super) fn cannot_move(node: &NodeName, whys: &str) -> Reason {
    Reason::blocked(
        "CannotMove",
        format_args!("the copy on {node} stays and is served, there is no room: {whys}"),
        "free space, add a drive, or `uncordon` what is to be emptied",
    )
}

/// The same of a volume that nobody owns: its owner would say it, and will be made only if there is a place.
pub(super) fn stays(input: &Input, spec: &VolumeSpec, status: &VolumeStatus) -> Option<Reason> {
    let leaving = due(input.world, status)?;
    let unfit = candidate::place(input, (spec, status), leaving, FIRST, &Plan::default()).err()?;
    Some(cannot_move(&leaving.node, &placement::whys(&unfit)))
}

/// What emptying a node comes to, one line per volume that it concerns.
#[must_use]
pub(super) fn of_node(world: &World, node: &NodeName) -> Vec<String> {
    let mut lines = copies(world, |member| member.node == *node);
    let attached =
        |volume: &Volume| volume.spec.attachment.as_ref().is_some_and(|attachment| attachment.node == *node);
    lines.extend(world.volumes().filter(attached).map(|volume| {
        format!(
            "volume {} is attached on {node}: it is served from there until it is attached elsewhere",
            volume.spec.name
        )
    }));
    lines
}

/// The same for a drive.
#[must_use]
pub(super) fn of_drive(world: &World, drive: &DriveId) -> Vec<String> {
    copies(world, |member| member.drives.contains(drive))
}

fn copies(world: &World, concerned: impl Fn(&Member) -> bool) -> Vec<String> {
    let mut promised = placement::promised(world);
    let mut lines = Vec::new();
    for volume in world.volumes().filter(|volume| !volume.spec.deleting) {
        let Some(status) = &volume.status else { continue };
        for member in status.staying().filter(|member| concerned(member)) {
            let search = Search {
                world,
                spec: &volume.spec,
                status,
                leaving: member,
                alive: &|_| true,
                promised: &promised,
            };
            let found = search.place(FIRST);
            lines.push(line(&volume.spec, status, member, &found));
            if let Ok(place) = found {
                let size = placement::partition_size(status.target(&volume.spec), volume.spec.stripe_width);
                promised.extend(place.drives.into_iter().map(|drive| (drive, size)));
            }
        }
    }
    lines
}

fn line(
    spec: &VolumeSpec,
    status: &VolumeStatus,
    member: &Member,
    found: &Result<Place, Vec<Unfit>>,
) -> String {
    let (name, from) = (&spec.name, on(&member.node, &member.drives));
    match found {
        _ if !status.in_sync.contains(&member.replica) => {
            format!("volume {name}: its copy on {from} is not in sync and moves once it is")
        }
        Ok(place) => {
            format!("volume {name}: its copy moves from {from} to {}", on(&place.node, &place.drives))
        }
        Err(unfit) => {
            format!("volume {name}: its copy stays on {from} and is served: {}", placement::whys(unfit))
        }
    }
}

fn on(node: &NodeName, drives: &[DriveId]) -> String {
    let drives: Vec<&str> = drives.iter().map(DriveId::as_str).collect();
    format!("{node} (drive {})", drives.join(", "))
}
