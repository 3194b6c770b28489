//! `volume grow`

use super::{MAX_VOLUME, invalid, precondition};
use crate::domain::{
    Bytes, Member, MemberState, PlacementEntry, Record, VolumeName, VolumeSpec, VolumeStatus, World,
};
use crate::plan::candidate;
use crate::plan::placement::{self, Place, Request, Unfit};
use crate::plan::verbs::{Refusal, RefusalKind, Verdict, live_volume};

/// How large a volume shall become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSize {
    /// Usable bytes in all.
    Of(Bytes),
    /// Usable bytes more than were asked for last.
    More(Bytes),
}

/// `volume grow`. The size it has, or is being given, is already so; a smaller one is refused, and so is one that there is
/// no room for.
pub fn grow(world: &World, name: &VolumeName, to: NewSize) -> Result<Verdict, Refusal> {
    let (volume, status) = live_volume(world, name)?;
    let spec = &volume.spec;
    let size = checked(spec, to)?;
    let object = format!("volume/{name}");
    if size == spec.size {
        let chosen = vec![format!("volume {name} is {size} large already, or is being made so")];
        return Ok(Verdict { chosen, ..Verdict::already(object) });
    }
    if status.size.is_none() {
        return Err(precondition(
            format_args!("volume {name}: how large it is has not been recorded yet"),
            "try again in a moment: its owner records it, or the node that leads the cluster",
        ));
    }
    let next = VolumeSpec { size, ..spec.clone() };
    let chosen = check_room(world, &next, &status)?;
    Ok(Verdict { chosen, ..Verdict::write(object, name, Record::VolumeSpec(next)) })
}

fn checked(spec: &VolumeSpec, to: NewSize) -> Result<Bytes, Refusal> {
    let (name, has) = (&spec.name, spec.size);
    let size = match to {
        NewSize::Of(size) => size,
        NewSize::More(more) => Bytes(has.0.saturating_add(more.0)),
    };
    if size < has {
        return Err(invalid(
            format_args!("volume {name} has {has} and cannot be made smaller ({size})"),
            "make a smaller volume and copy the data, or ask for more",
        ));
    }
    if size > MAX_VOLUME {
        return Err(invalid(
            format_args!("volume {name}: size {size} is too large"),
            format_args!("use at most {MAX_VOLUME}"),
        ));
    }
    super::check_whole(name, size, spec.stripe_width)?;
    Ok(size)
}

/// Whether every copy finds room, and which of them move for it.
fn check_room(world: &World, next: &VolumeSpec, status: &VolumeStatus) -> Result<Vec<String>, Refusal> {
    if status.members.is_empty() {
        return super::has_room(world, next).map(|()| Vec::new());
    }
    let mut promised = placement::promised(world);
    let mut moves = Vec::new();
    for member in status.staying().filter(|member| member.state != MemberState::Faulty) {
        let size = placement::partition_size(next.size, next.stripe_width);
        if has_room(world, member, size) {
            continue;
        }
        let place = elsewhere(world, next, status, member, &promised)
            .map_err(|unfit| no_room(next, member, &unfit))?;
        moves.push(format!(
            "the copy on {} has no room to grow where it lies: it moves first, now it would go to {}",
            member.node, place.node
        ));
        promised.extend(place.drives.into_iter().map(|drive| (drive, size)));
    }
    Ok(moves)
}

/// Whether a copy can become `size` long where it lies; one that is not made yet will be made that long.
fn has_room(world: &World, member: &Member, size: Bytes) -> bool {
    let partitions = world.replica_status(&member.replica).map(|status| &status.partitions);
    partitions.is_none_or(|partitions| partitions.iter().all(|partition| !partition.is_crowded(size)))
}

/// On its own node, else on one that hosts no copy.
fn elsewhere(
    world: &World,
    next: &VolumeSpec,
    status: &VolumeStatus,
    member: &Member,
    promised: &[(crate::domain::DriveId, Bytes)],
) -> Result<Place, Vec<Unfit>> {
    let here = PlacementEntry { node: member.node.clone(), drive: None };
    let taken: Vec<_> = status.members.iter().map(|member| (member.node.clone(), candidate::HOSTS)).collect();
    let barred = candidate::barred(world, status, None);
    let request = |taken| Request { avoided: &barred, ..Request::of(next, next.size, taken, promised) };
    placement::choose(world, &request(&[]), Some(&here)).or_else(|mut unfit| {
        placement::choose(world, &request(&taken), None).map_err(|others| {
            unfit.extend(others.into_iter().filter(|other| other.node != member.node));
            unfit
        })
    })
}

fn no_room(next: &VolumeSpec, member: &Member, unfit: &[Unfit]) -> Refusal {
    Refusal::new(
        RefusalKind::ResourceExhausted,
        format_args!(
            "volume {}: the copy on {} cannot become {} where it lies, and there is no other place: {}",
            next.name,
            member.node,
            next.size,
            placement::whys(unfit)
        ),
        "free space, add a drive with `mdfabric drive add`, or ask for less",
    )
}
