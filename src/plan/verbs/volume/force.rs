//! `volume force-start`

use super::{invalid, precondition};
use crate::domain::{
    Force, Member, MemberState, Record, Timestamp, VolumeName, VolumeSpec, VolumeStatus, World,
};
use crate::plan::explain::age;
use crate::plan::verbs::{Refusal, Verdict, live_volume};

/// Who wants a volume started from which copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForceStart {
    /// The volume.
    pub name: VolumeName,
    /// The copy: its replica id, or its node.
    pub from: String,
    /// What may be lost was read and is accepted.
    pub accept_data_loss: bool,
    /// Who asks: it goes on record.
    pub by: String,
}

/// `volume force-start`: only of a volume whose owner waits in vain, only from a copy that once held every write, and only once
/// what may be lost has been accepted.
pub fn force_start(world: &World, wish: &ForceStart, now: Timestamp) -> Result<Verdict, Refusal> {
    let (volume, status) = live_volume(world, &wish.name)?;
    let spec = &volume.spec;
    check_waits(spec, &status)?;
    let member = copy(spec, &status, &wish.from)?;
    let is_same = |force: &Force| (force.replica, force.epoch) == (member.replica, status.epoch);
    if spec.forced.as_ref().is_some_and(is_same) {
        return Ok(Verdict::already(format!("volume/{}", spec.name)));
    }
    check_usable(spec, &status, member)?;
    let lost = what_is_lost(&status, member, now);
    if !wish.accept_data_loss {
        return Err(precondition(
            format_args!("volume {} is not started from {}: {}", spec.name, member.node, lost.join("; ")),
            "if that is to be, repeat with --accept-data-loss",
        ));
    }
    let forced = Force { replica: member.replica, epoch: status.epoch, by: wish.by.clone(), at: now };
    let next = VolumeSpec { forced: Some(forced), ..spec.clone() };
    let verdict = Verdict::write(format_args!("volume/{}", spec.name), &spec.name, Record::VolumeSpec(next));
    Ok(Verdict { chosen: lost, ..verdict })
}

/// Somebody owns the volume and has no array of it.
fn check_waits(spec: &VolumeSpec, status: &VolumeStatus) -> Result<(), Refusal> {
    let name = &spec.name;
    match &status.owner {
        None => Err(precondition(
            format_args!("volume {name} is not attached"),
            format_args!("`mdfabric volume attach {name} --node NODE` first; it says what it waits for"),
        )),
        Some(owner) if status.array.device.is_some() => Err(precondition(
            format_args!("volume {name} is running on {owner}: there is nothing to force"),
            format_args!("if {owner} is dead, attach the volume elsewhere first"),
        )),
        Some(_) if !status.created => Err(precondition(
            format_args!("volume {name} has never been started: there is nothing on its copies"),
            format_args!("`mdfabric explain volume/{name}` says what it waits for"),
        )),
        Some(owner) if status.forced == status.epoch => Err(precondition(
            format_args!("volume {name} has been running since {owner} owns it (epoch {})", status.epoch),
            format_args!(
                "a forced start is for an ownership that has not begun: detach {name}, attach it, ask again"
            ),
        )),
        Some(_) => Ok(()),
    }
}

fn copy<'a>(spec: &VolumeSpec, status: &'a VolumeStatus, from: &str) -> Result<&'a Member, Refusal> {
    let is_it = |member: &&Member| member.replica.to_string() == from || member.node.as_str() == from;
    let mut found = status.members.iter().filter(is_it);
    let copies = || {
        let copy = |member: &Member| format!("{} ({})", member.node, member.replica);
        status.members.iter().map(copy).collect::<Vec<_>>().join(", ")
    };
    match (found.next(), found.next()) {
        (Some(member), None) => Ok(member),
        (None, _) => Err(invalid(
            format_args!("volume {} has no copy {from}", spec.name),
            format_args!("its copies are {}", copies()),
        )),
        (Some(_), Some(_)) => Err(invalid(
            format_args!("volume {} has several copies on {from}", spec.name),
            format_args!("name one by its id: {}", copies()),
        )),
    }
}

/// The copy was complete once, and its owner would not start from it anyhow.
fn check_usable(spec: &VolumeSpec, status: &VolumeStatus, member: &Member) -> Result<(), Refusal> {
    let (name, node) = (&spec.name, &member.node);
    if !matches!(member.state, MemberState::Synced | MemberState::Missing) {
        return Err(precondition(
            format_args!(
                "the copy of volume {name} on {node} is {}: it never was complete",
                member.state.word()
            ),
            "name a copy that is Missing or Synced",
        ));
    }
    if status.in_sync.iter().eq([&member.replica]) {
        return Err(precondition(
            format_args!("the copy on {node} is the one that volume {name} waits for: it holds every write"),
            format_args!("bring {node} back; to go on without it, name another copy"),
        ));
    }
    Ok(())
}

/// One line per copy that something is lost with, or not.
fn what_is_lost(status: &VolumeStatus, member: &Member, now: Timestamp) -> Vec<String> {
    let holds = |member: &Member| status.in_sync.contains(&member.replica);
    let (node, since) = (&member.node, age(now, member.since));
    let first = if holds(member) {
        format!("the copy on {node} holds every acknowledged write: nothing is lost")
    } else {
        format!("the copy on {node} left the in-sync set {since} ago: what was written since then is lost")
    };
    let others = status.members.iter().filter(|other| other.replica != member.replica && holds(other));
    let given_up = others.map(|other| {
        format!("the copy on {} holds every write and is overwritten when it is back", other.node)
    });
    std::iter::once(first).chain(given_up).collect()
}
