//! What a placement request comes to: how many copies, which places lack one, which copies go. The verb says it before,
//! the owner does it, by the same functions.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;

use crate::domain::limits::MAX_REPLICAS;
use crate::domain::{
    Member, MemberState, Placed, PlacementEntry, Reason, ReplicaId, Timestamp, VolumeSpec, VolumeStatus,
    World,
};
use crate::plan::event;

/// The reason of every event about the number of copies.
const SCALING: &str = "ScalingVolumeReplicas";

/// Why rather this copy goes than another one: the strongest reason last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// They are all alike; its node's name is the last one.
    LastByName,
    /// The owner reads another one from its own drive.
    Remote,
    /// Its node or its drive takes no new copies.
    Cordoned,
    /// It does not hold every write.
    NotInSync,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LastByName => "all copies are equally good, its node is the last by name",
            Self::Remote => "it is not on the node that owns the volume",
            Self::Cordoned => "its node or drive is cordoned",
            Self::NotInSync => "it is not in sync",
        })
    }
}

/// What speaks against a copy.
#[must_use]
pub fn why(world: &World, status: &VolumeStatus, member: &Member) -> Why {
    if !status.in_sync.contains(&member.replica) {
        Why::NotInSync
    } else if is_cordoned(world, member) {
        Why::Cordoned
    } else if status.owner.as_ref().is_some_and(|owner| *owner != member.node) {
        Why::Remote
    } else {
        Why::LastByName
    }
}

fn is_cordoned(world: &World, member: &Member) -> bool {
    let drive = |id| world.drive_spec(id).is_some_and(|spec| spec.cordoned || spec.removing);
    world.node_spec(&member.node).is_some_and(|spec| spec.cordoned) || member.drives.iter().any(drive)
}

/// The copy that goes first is the greatest.
#[must_use]
pub fn worse(world: &World, status: &VolumeStatus, one: &Member, other: &Member) -> Ordering {
    let key = |member: &Member| (why(world, status, member), member.node.clone());
    key(one).cmp(&key(other))
}

/// What is asked for and what is there, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Places without a copy; `None` for one that is to be chosen.
    pub missing: Vec<Option<PlacementEntry>>,
    /// Copies without a place, the one that goes first first.
    pub surplus: Vec<ReplicaId>,
}

/// Which places lack a copy and which copies have no place. Places that are asked for without a name are taken by the
/// best copies that have none.
#[must_use]
pub fn difference(world: &World, status: &VolumeStatus, placed: &Placed) -> Difference {
    let list = placed.places();
    let vacant = list.iter().filter(|entry| !status.staying().any(|member| is_at(member, entry)));
    let mut missing: Vec<_> = vacant.cloned().map(Some).collect();
    let mut homeless: Vec<&Member> =
        status.staying().filter(|member| !list.iter().any(|entry| is_at(member, entry))).collect();
    homeless.sort_by(|one, other| worse(world, status, other, one));
    let free = usize::from(placed.copies) - list.len();
    let to_choose = free.saturating_sub(homeless.len());
    missing.extend(std::iter::repeat_n(None, to_choose));
    homeless.truncate(homeless.len().saturating_sub(free));
    Difference { missing, surplus: homeless.into_iter().map(|member| member.replica).collect() }
}

/// Whether a member is where an entry says.
#[must_use]
pub fn is_at(member: &Member, entry: &PlacementEntry) -> bool {
    member.node == entry.node && entry.drive.as_ref().is_none_or(|drive| member.drives.contains(drive))
}

/// A copy that stays although `going` go, and does not hold every write: none may go while there is one.
#[must_use]
pub fn unproven<'a>(status: &'a VolumeStatus, going: &[ReplicaId]) -> Option<&'a Member> {
    status
        .staying()
        .find(|member| !going.contains(&member.replica) && !status.in_sync.contains(&member.replica))
}

/// Faulty copies beyond those the volume shall have: nobody counts on them, and they go with the next change.
pub fn leftovers<'a>(spec: &VolumeSpec, status: &'a VolumeStatus) -> impl Iterator<Item = &'a Member> {
    let beyond = status.staying().count().saturating_sub(status.copies(spec));
    let faulty = |member: &&Member| member.state == MemberState::Faulty;
    status.staying().filter(faulty).take(beyond)
}

/// What the user's record comes to, if it can be taken up; else why not. The record may have been written by anybody.
///
/// A new generation or another number means as many copies as the number says, those on the list among them. Where only
/// the list was edited, each place that was added makes one copy more, and each copy whose place was taken off one less.
pub fn take_up(spec: &VolumeSpec, status: &VolumeStatus) -> Result<Placed, String> {
    let entries = &spec.placement.entries;
    let named_twice = |index: usize, entry: &PlacementEntry| {
        entries.iter().skip(index + 1).any(|other| other.node == entry.node)
    };
    if let Some((_, entry)) = entries.iter().enumerate().find(|(index, entry)| named_twice(*index, entry)) {
        return Err(format!("the placement list names {} twice", entry.node));
    }
    let copies = match &status.placed {
        Some(old) if (old.generation, old.replicas) == (spec.placement.generation, spec.replicas) => {
            by_list(spec, status, old)
        }
        Some(old) if old.entries == *entries => spec.replicas.into(),
        Some(_) | None if entries.len() > usize::from(spec.replicas) => {
            return Err(format!(
                "the placement list has {} places for {} copies",
                entries.len(),
                spec.replicas
            ));
        }
        Some(_) | None => spec.replicas.into(),
    };
    let copies = u8::try_from(copies).ok().filter(|copies| (1..=MAX_REPLICAS).contains(copies));
    let copies = copies.ok_or_else(|| format!("a volume has 1 to {MAX_REPLICAS} copies"))?;
    Ok(Placed { copies, before: Some(before(status)), ..Placed::carried_out(spec) })
}

fn by_list(spec: &VolumeSpec, status: &VolumeStatus, old: &Placed) -> usize {
    let new = &spec.placement.entries;
    let on = |list: &[PlacementEntry], member: &Member| list.iter().any(|entry| is_at(member, entry));
    let vacant = |entry: &&PlacementEntry| !status.staying().any(|member| is_at(member, entry));
    let added = new.iter().filter(|entry| !old.entries.contains(entry)).filter(vacant).count();
    let taken_off = status.staying().filter(|member| on(&old.entries, member) && !on(new, member)).count();
    (usize::from(old.copies) + added).saturating_sub(taken_off).max(new.len())
}

fn before(status: &VolumeStatus) -> u8 {
    let there = || u8::try_from(status.staying().count()).unwrap_or(MAX_REPLICAS);
    status.placed.as_ref().map_or_else(there, |placed| placed.copies)
}

/// Why the user's record asks for what cannot be.
#[must_use]
pub fn impossible(spec: &VolumeSpec, status: &VolumeStatus) -> Option<Reason> {
    let why = take_up(spec, status).err().filter(|_| !status.has_taken_up(spec))?;
    Some(Reason::blocked(
        "PlacementImpossible",
        format_args!("the placement that is asked for is not carried out: {why}"),
        format_args!("`mdfabric volume edit {}` asks for one that is possible", spec.name),
    ))
}

/// Makes the request the one that is being carried out.
pub(super) fn begin(next: &mut VolumeStatus, placed: Placed, now: Timestamp) {
    let copies = placed.copies;
    if let Some(before) = placed.before.filter(|before| *before > copies) {
        let message = format!("Scaling down volume replicas from {before} to {copies} is in progress");
        event::push(next, now, SCALING, message);
    }
    next.placed = Some(placed);
}

/// Ends a request that is carried out: as many copies as asked for, each where it shall be, and none of those it was to
/// add still to be filled. Told once: the record that says so no longer says that the request is being carried out.
pub(super) fn finish(next: &mut VolumeStatus, now: Timestamp) {
    if !next.placed.as_ref().is_some_and(|placed| is_carried_out(next, placed)) {
        return;
    }
    if let Some((before, copies)) = end(next)
        && before != copies
    {
        event::push(next, now, SCALING, format_args!("successfully scaled volume replicas to {copies}"));
    }
}

fn is_carried_out(status: &VolumeStatus, placed: &Placed) -> bool {
    let Some(before) = placed.before else { return false };
    let taken = |entry: &PlacementEntry| status.staying().any(|member| is_at(member, entry));
    status.relocation.is_none()
        && status.staying().count() == usize::from(placed.copies)
        && placed.places().iter().all(taken)
        && (before >= placed.copies || unproven(status, &[]).is_none())
}

/// Ends a request for which a copy that will never hold every write would have to. What is there stays.
pub(super) fn give_up(next: &mut VolumeStatus, faulty: &Member, now: Timestamp) {
    let Some((before, copies)) = end(next) else { return };
    let why = format!("the copy on {} is Faulty", faulty.node);
    if before == copies {
        event::push(next, now, "MoveGivenUp", format_args!("{why}; no other copy goes in its favour"));
    } else {
        let message = format!("failed to scale volume replicas to {copies}: {why}");
        event::push(next, now, SCALING, message);
    }
}

/// The request is not being carried out any more. How many copies there were before it, and shall be.
fn end(next: &mut VolumeStatus) -> Option<(u8, u8)> {
    let placed = next.placed.as_mut()?;
    let before = placed.before.take()?;
    next.placement_generation = placed.generation;
    Some((before, placed.copies))
}
