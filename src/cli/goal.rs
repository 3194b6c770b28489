//! When a verb is done: pure functions of the records.

#[cfg(test)]
mod tests;

use super::rows;
use crate::domain::{
    DriveId, DriveState, Epoch, Member, MemberState, NodeName, Reason, Volume, VolumeName, VolumeStatus,
    VolumeUid, World, percent,
};

/// What a verb has set going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    /// Every copy is made.
    Created(VolumeName),
    /// The device is there on the node it was asked for, and its file system is made.
    Attached(VolumeName),
    /// Whoever owned it has let go.
    Detached(VolumeName, Epoch),
    /// Mounted where it was asked for.
    Mounted(VolumeName),
    /// Not mounted any more.
    Unmounted(VolumeName),
    /// The placement list is carried out.
    Moved(VolumeName),
    /// The placement list is carried out, and every copy on it is good.
    Edited(VolumeName),
    /// It is as large as was asked for; its file system too, where it is mounted.
    Grown(VolumeName),
    /// The comparison that was asked for is over, or was stopped.
    Scrubbed(VolumeName),
    /// The schedule is recorded.
    Scheduled(VolumeName),
    /// Nothing is left of it; another one of that name may be there.
    Gone(VolumeName, VolumeUid),
    /// The drive can host copies.
    DriveReady(DriveId),
    /// The drive is given back.
    DriveReleased(DriveId),
    /// No copy is left on the drive but those that find no place.
    DriveEmptied(DriveId),
    /// The same of a node.
    NodeDrained(NodeName),
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// What it looks like, in one line.
    pub(super) line: String,
    /// Tenths of a percent, where it can be said.
    pub(super) permille: Option<u16>,
    /// What is waited for.
    pub(super) reasons: Vec<Reason>,
    /// What has come of it, once it is done.
    pub(super) done: Option<String>,
    /// Why it will never be done.
    pub(super) failed: Option<String>,
}

impl Progress {
    fn done(what: impl std::fmt::Display) -> Self {
        Self { done: Some(what.to_string()), ..Self::default() }
    }

    fn failed(why: impl std::fmt::Display) -> Self {
        Self { failed: Some(why.to_string()), ..Self::default() }
    }
}

impl Goal {
    /// The object, as `kind/name`.
    #[must_use]
    pub(super) fn object(&self) -> String {
        match self {
            Self::Created(name)
            | Self::Attached(name)
            | Self::Detached(name, _)
            | Self::Mounted(name)
            | Self::Unmounted(name)
            | Self::Moved(name)
            | Self::Edited(name)
            | Self::Grown(name)
            | Self::Scrubbed(name)
            | Self::Scheduled(name)
            | Self::Gone(name, _) => format!("volume/{name}"),
            Self::DriveReady(id) | Self::DriveReleased(id) | Self::DriveEmptied(id) => {
                format!("drive/{id}")
            }
            Self::NodeDrained(name) => format!("node/{name}"),
        }
    }

    /// Whether nothing is left of what was asked about once it is reached.
    #[must_use]
    pub(super) fn is_removal(&self) -> bool {
        matches!(self, Self::Gone(..) | Self::DriveReleased(_))
    }

    /// How far it is by the records.
    #[must_use]
    pub(super) fn progress(&self, world: &World) -> Progress {
        match self {
            Self::Created(name) => of_volume(world, name, created),
            Self::Attached(name) => of_volume(world, name, attached),
            Self::Detached(name, epoch) => {
                of_volume(world, name, |_, volume, status| detached(volume, status, *epoch))
            }
            Self::Mounted(name) => of_volume(world, name, mounted),
            Self::Unmounted(name) => of_volume(world, name, unmounted),
            Self::Moved(name) => of_volume(world, name, moved),
            Self::Edited(name) => of_volume(world, name, edited),
            Self::Grown(name) => of_volume(world, name, grown),
            Self::Scrubbed(name) => of_volume(world, name, scrubbed),
            Self::Scheduled(name) => of_volume(world, name, |_, volume, _| Some(Ok(scheduled(volume)))),
            Self::Gone(name, uid) => gone(world, name, *uid),
            Self::DriveReady(id) => drive_ready(world, id),
            Self::DriveReleased(id) => drive_released(world, id),
            Self::DriveEmptied(id) => {
                emptied(world, &format!("drive {id}"), |member| member.drives.contains(id))
            }
            Self::NodeDrained(name) => emptied(world, &format!("node {name}"), |member| member.node == *name),
        }
    }
}

/// Done with a word, given up with a reason, or neither yet.
type Verdict = Option<Result<String, String>>;

fn of_volume(
    world: &World,
    name: &VolumeName,
    judge: impl FnOnce(&World, &Volume, &VolumeStatus) -> Verdict,
) -> Progress {
    let Some(volume) = world.volume(name) else {
        return Progress::failed(format_args!("volume {name} is gone"));
    };
    let status = volume.status.clone().unwrap_or_default();
    match judge(world, &volume, &status) {
        Some(Ok(done)) => Progress::done(done),
        Some(Err(why)) => Progress::failed(why),
        None => under_way(&volume, status),
    }
}

fn under_way(volume: &Volume, status: VolumeStatus) -> Progress {
    let ready = status.ready();
    let sync = status.array.sync_permille.map(|permille| format!(" {}", percent(permille)));
    let line = format!(
        "volume {}: {}, array {}{}, {ready} of {} copies ready",
        volume.spec.name,
        rows::phase(volume),
        if status.array.device.is_some() { status.array.state.to_string() } else { "stopped".to_owned() },
        sync.unwrap_or_default(),
        status.copies(&volume.spec)
    );
    Progress { line, permille: status.array.sync_permille, reasons: status.reasons, done: None, failed: None }
}

fn created(world: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    if volume.spec.deleting {
        return Some(Err(format!("volume {} is being deleted", volume.spec.name)));
    }
    let made = |replica| world.replica_status(replica).is_some_and(|provider| provider.zeroed);
    let all = status.members.iter().all(|member| made(&member.replica));
    (!status.members.is_empty() && all).then(|| {
        let nodes: Vec<&str> = status.members.iter().map(|member| member.node.as_str()).collect();
        Ok(format!("volume {} is created on {}", volume.spec.name, nodes.join(", ")))
    })
}

fn wanted_node(volume: &Volume) -> Option<&NodeName> {
    volume.spec.attachment.as_ref().map(|attachment| &attachment.node)
}

/// The device applications use; printed alone, so that scripts can take it.
fn attached(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let Some(node) = wanted_node(volume) else {
        return Some(Err(format!("volume {} was detached meanwhile", volume.spec.name)));
    };
    let ours = status.owner.as_ref() == Some(node) && status.formatted;
    status.array.device.clone().filter(|_| ours).map(Ok)
}

fn detached(volume: &Volume, status: &VolumeStatus, epoch: Epoch) -> Verdict {
    if let Some(node) = wanted_node(volume) {
        return Some(Err(format!("volume {} was attached on {node} meanwhile", volume.spec.name)));
    }
    (status.owner.is_none() || status.epoch > epoch)
        .then(|| Ok(format!("volume {} is detached", volume.spec.name)))
}

fn wanted_mount(volume: &Volume) -> Option<&str> {
    volume.spec.attachment.as_ref()?.mount.as_ref().map(|mount| mount.path.as_str())
}

fn mounted(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let Some(path) = wanted_mount(volume) else {
        return Some(Err(format!("volume {} was unmounted meanwhile", volume.spec.name)));
    };
    let there =
        status.array.mounted_at.as_deref() == Some(path) && status.owner.as_ref() == wanted_node(volume);
    there.then(|| Ok(format!("volume {} is mounted at {path}", volume.spec.name)))
}

fn unmounted(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    if let Some(path) = wanted_mount(volume) {
        return Some(Err(format!("volume {} was mounted at {path} meanwhile", volume.spec.name)));
    }
    status.array.mounted_at.is_none().then(|| Ok(format!("volume {} is not mounted", volume.spec.name)))
}

fn moved(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let report = status
        .last_move
        .as_ref()
        .map(|report| format!(" after {}.{} s", report.millis / 1000, report.millis % 1000 / 100));
    is_settled(volume, status)
        .then(|| Ok(format!("{}{}", whereabouts(volume, status), report.unwrap_or_default())))
}

/// The placement list is carried out. A dropped copy that waits for its node to erase it is none of it any more.
fn is_settled(volume: &Volume, status: &VolumeStatus) -> bool {
    status.is_placed(&volume.spec) && status.relocation.is_none()
}

fn whereabouts(volume: &Volume, status: &VolumeStatus) -> String {
    let nodes: Vec<&str> = status.staying().map(|member| member.node.as_str()).collect();
    format!("volume {} has its copies on {}", volume.spec.name, nodes.join(", "))
}

fn edited(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let faulty = status.staying().find(|member| member.state == MemberState::Faulty);
    is_settled(volume, status).then(|| match faulty {
        None => Ok(whereabouts(volume, status)),
        Some(member) => Err(format!("volume {}: the copy on {} is Faulty", volume.spec.name, member.node)),
    })
}

fn grown(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let (name, has) = (&volume.spec.name, status.usable(&volume.spec));
    let later = status.waits_for_mount(&volume.spec);
    let later = if later { "; its file system grows when it is mounted for writing" } else { "" };
    (!status.is_expanding(&volume.spec)).then(|| Ok(format!("volume {name} has {has}{later}")))
}

fn scrubbed(_: &World, volume: &Volume, status: &VolumeStatus) -> Verdict {
    let (name, scrub) = (&volume.spec.name, &status.scrub);
    if scrub.generation < volume.spec.scrub.generation || scrub.running.is_some() {
        return None;
    }
    if volume.spec.scrub.stop {
        return Some(Ok(format!("volume {name} is not being scrubbed")));
    }
    let last = scrub.last.as_ref()?;
    Some(match (last.mismatched.0, last.repaired) {
        (0, _) => Ok(format!("volume {name}: all copies are equal")),
        (bytes, true) => Ok(format!(
            "volume {name}: places of {bytes} bytes in all differed between the copies and were made equal"
        )),
        (bytes, false) => Err(format!(
            "volume {name}: places of {bytes} bytes in all differ between the copies; nothing was changed"
        )),
    })
}

fn scheduled(volume: &Volume) -> String {
    let name = &volume.spec.name;
    match volume.spec.scrub.every() {
        None => format!("volume {name} is scrubbed when asked only"),
        Some(every) => format!("volume {name} is scrubbed every {every}"),
    }
}

fn gone(world: &World, name: &VolumeName, uid: VolumeUid) -> Progress {
    let left = world.volume(name).filter(|volume| volume.spec.uid == uid);
    let Some(volume) = left else { return Progress::done(format_args!("volume {name} is deleted")) };
    let status = volume.status.clone().unwrap_or_default();
    let copies = status.members.len();
    let line = format!("volume {name}: {}, {copies} copies left to erase", rows::phase(&volume));
    let of_replicas =
        status.members.iter().filter_map(|member| world.replica_status(&member.replica)?.reason.clone());
    let mut reasons = status.reasons.clone();
    reasons.extend(
        of_replicas
            .filter(|reason| !status.reasons.iter().any(|said| said.message.contains(&reason.message))),
    );
    Progress { line, reasons, ..Progress::default() }
}

fn drive_ready(world: &World, id: &DriveId) -> Progress {
    let Some(status) = world.drive_status(id) else {
        return Progress { line: format!("drive {id} has not been reported yet"), ..Progress::default() };
    };
    let said = status.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    match status.state {
        DriveState::Ready => {
            Progress::done(format_args!("drive {id} on {} is ready, {} free", status.node, status.free))
        }
        DriveState::Foreign | DriveState::Faulty | DriveState::Missing | DriveState::Stuck => {
            Progress::failed(format_args!("drive {id} is {}{said}", status.state))
        }
        DriveState::Available | DriveState::Preparing => {
            Progress { line: format!("drive {id} is {}{said}", status.state), ..Progress::default() }
        }
    }
}

/// Done when every copy is gone or has nowhere to go: those are served on, and said.
fn emptied(world: &World, what: &str, concerned: impl Fn(&Member) -> bool) -> Progress {
    let on_it =
        |volume: &Volume| volume.status.as_ref().is_some_and(|status| status.staying().any(&concerned));
    let left: Vec<Volume> = world.volumes().filter(|volume| !volume.spec.deleting).filter(on_it).collect();
    let reasons: Vec<Reason> = left.iter().flat_map(reasons_of).collect();
    let stays = |volume: &&Volume| reasons_of(volume).any(|reason| reason.code == "CannotMove");
    let line = format!("{what}: {} copies left to move", left.len());
    match (left.len(), left.iter().filter(stays).count()) {
        (0, _) => Progress::done(format_args!("{what} has no copies any more")),
        (all, stay) if all == stay => {
            let whys: Vec<String> = left
                .iter()
                .flat_map(|volume| {
                    let stays = reasons_of(volume).filter(|reason| reason.code == "CannotMove");
                    stays
                        .map(|reason| format!("volume {}: {}", volume.spec.name, reason.message))
                        .collect::<Vec<_>>()
                })
                .collect();
            Progress::failed(format_args!("{what} still serves {stay} copies:\n  {}", whys.join("\n  ")))
        }
        _ => Progress { line, reasons, ..Progress::default() },
    }
}

fn reasons_of(volume: &Volume) -> impl Iterator<Item = Reason> + use<> {
    volume.status.clone().into_iter().flat_map(|status| status.reasons)
}

fn drive_released(world: &World, id: &DriveId) -> Progress {
    match world.drive_spec(id) {
        None => Progress::done(format_args!("drive {id} is given back")),
        Some(_) => Progress { line: format!("drive {id} is being given back"), ..Progress::default() },
    }
}
