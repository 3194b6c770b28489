//! R5: what this node still runs of a volume that is not its own any more is taken down, and nobody is told "written" or given
//! old data on the way.
//!
//! ```text
//! file system shut down -> legs hold -> members cut -> users ended -> legs let go -> unmount, stop, unmap, disconnect
//!   its reads end          for good     direct reads    nobody hears    what they
//!   (XFS: writes, too)                  wait            an answer       hold, fails
//! ```
//!
//! A write that is on one member and held on a leg is acknowledged by the kernel when that leg fails (`raid1_end_write_request`),
//! whatever was done to the array before, and the new owner does not have it. So a leg is let go only when the answer
//! reaches nobody: the file system turns it into an error (XFS that is shut down), or every user has SIGKILL pending.

use super::serving::{Serving, push_event};
use super::{stop, top};
use crate::domain::{FsType, Reason, Record, Volume, VolumeStatus};
use crate::plan::holders::names;
use crate::plan::safety::{self, Guard};
use crate::plan::{
    ArraySeen, Dev, Holder, Input, Lane, MemberFlag, MemberSeen, Plan, Process, Step, Through, Who, leg,
    timing,
};

/// The next steps down.
pub(super) fn plan(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    let nothing = Plan::default();
    if !safety::is_on(input, Guard::StopWhenDeposed) {
        return nothing;
    }
    let mut serving = Serving::new(input, volume, status, &nothing);
    serving.wait(lost(&serving));
    if is_behind(&serving) {
        serving.wait(Reason::waiting(
            "RecordIsOld",
            format_args!("{} was owned here in a later epoch than the record says", volume.spec.name),
        ));
    } else {
        descend(&mut serving);
    }
    tell(&mut serving);
    let Serving { mut plan, next, .. } = serving;
    plan.reasons.extend(next.reasons);
    plan
}

/// Legs of a later epoch than the recorded one: what is known of the records is old, and nothing follows from it.
fn is_behind(serving: &Serving) -> bool {
    let later = |(_, epoch): &(_, _)| *epoch > serving.status.epoch;
    let seen = serving.input.seen;
    let own = stop::partitions(serving.status, serving.spec.stripe_width);
    seen.maps.keys().chain(seen.connections.keys()).any(|key| own.contains(&key.0) && later(key))
}

fn descend(serving: &mut Serving) {
    if !safety::is_on(serving.input, Guard::HoldUntilDown) && let_go(serving) {
        return;
    }
    if is_shut_down(serving) && is_cut_off(serving) && nobody_hears(serving) && !let_go(serving) {
        take_down(serving);
    }
}

fn arrays<'a>(serving: &Serving<'a>) -> Vec<&'a ArraySeen> {
    serving.columns().filter_map(|column| serving.array(column)).collect()
}

/// Plans a step that the rungs below do not wait for if it cannot be done: they are safe without, only old data is read longer.
fn is_tried(serving: &mut Serving, step: Step) -> bool {
    let tried = serving.input.memory.failed.contains_key(&step.to_string());
    serving.step(step);
    tried
}

/// No file gives or takes anything any more. What counts is the effect: ext4's call returns when its legs let go.
fn is_shut_down(serving: &mut Serving) -> bool {
    let Some(mount) = stop::mounted_here(serving) else { return true };
    let (volume, memory) = (serving.spec.name.clone(), serving.input.memory);
    if memory.shut_down.get(&volume) == Some(&mount.dev) {
        return true;
    }
    let Some((_, since)) = memory.running.get(&Lane::ShutDown(volume.clone())) else {
        return is_tried(serving, Step::ShutDown { volume, dev: mount.dev, path: mount.path.clone() });
    };
    let due = since.plus(timing::SHUT_DOWN_MILLIS);
    if serving.input.now < due {
        serving.plan.wake(due);
    }
    serving.input.now >= due
}

/// Every member is dropped but the legs that hold I/O, so that direct reads wait there instead of being answered from an old
/// copy. Only if one of those is in sync: the last one that is cannot be dropped. And only when it holds for good: one that comes back
/// by itself would take a write that is on no other copy, and have it acknowledged.
fn is_cut_off(serving: &mut Serving) -> bool {
    let steps: Vec<Step> =
        arrays(serving).into_iter().flat_map(|array| steps_to_cut_off(serving, array)).collect();
    let tried: Vec<bool> = steps.into_iter().map(|step| is_tried(serving, step)).collect();
    !tried.contains(&false)
}

fn steps_to_cut_off(serving: &Serving, array: &ArraySeen) -> Vec<Step> {
    let (holding, others): (Vec<&MemberSeen>, Vec<&MemberSeen>) =
        array.members.iter().partition(|member| holds(serving.input, member.dev));
    if !holding.iter().any(|member| member.is(MemberFlag::InSync)) {
        return Vec::new();
    }
    let to_hold: Vec<Step> = holding.iter().filter_map(|member| hold(serving.input, member.dev)).collect();
    if !to_hold.is_empty() && safety::is_on(serving.input, Guard::HoldBeforeCut) {
        return to_hold;
    }
    let serves = |member: &&&MemberSeen| member.slot.is_some() && !member.is(MemberFlag::Faulty);
    let cut = |member: &&MemberSeen| Step::CutMember {
        volume: serving.spec.name.clone(),
        array: array.name.clone(),
        member: member.name.clone(),
        dev: member.dev,
    };
    others.iter().filter(serves).map(cut).collect()
}

fn holds(input: &Input, dev: Dev) -> bool {
    input.seen.maps.iter().any(|(key, map)| map.dev == dev && leg::holds(input, *key))
}

/// What makes the leg `dev` hold even if its connection comes back.
fn hold(input: &Input, dev: Dev) -> Option<Step> {
    let ((partition, epoch), map) = input.seen.maps.iter().find(|(_, map)| map.dev == dev)?;
    let path = map.path.filter(|_| map.path_active)?;
    Some(Step::HoldLeg { partition: *partition, epoch: *epoch, path })
}

/// Nobody is left who hears an answer of the kernel. Whoever uses the volume is ended; a list that is not of this moment is
/// made anew before anything follows from it.
fn nobody_hears(serving: &mut Serving) -> bool {
    let devs = top::devices(serving);
    if devs.is_empty() {
        return true;
    }
    let (volume, now) = (serving.spec.name.clone(), serving.input.now);
    let Some(held) = serving.input.memory.users(&volume, now) else {
        serving.step(Step::FindHolders { volume, devs });
        return false;
    };
    serving.plan.wake(held.good_until());
    end(serving, held.holders.iter().filter_map(Holder::living));
    let disarmed = is_disarmed(serving);
    let counts = |holder: &&Holder| holder.hears() && !(disarmed && holder.through == Through::FileSystem);
    let hears: Vec<&Holder> = held.holders.iter().filter(counts).collect();
    refuse(serving, &hears);
    hears.is_empty()
}

/// An XFS that is shut down for certain makes an error of whatever the device says (`xfs_dio_write_end_io`).
fn is_disarmed(serving: &Serving) -> bool {
    let mount = stop::mounted_here(serving).map(|mount| mount.dev);
    serving.spec.fs == FsType::Xfs
        && mount.is_some()
        && serving.input.memory.shut_down.get(&serving.spec.name).copied() == mount
}

/// Process 1 is never ended: that is a reboot, which is somebody's decision.
fn end<'a>(serving: &mut Serving, living: impl Iterator<Item = &'a Process>) {
    let processes: Vec<Process> = living.filter(|process| process.pid > 1).cloned().collect();
    if !processes.is_empty() {
        serving.step(Step::EndProcesses { volume: serving.spec.name.clone(), processes });
    }
}

/// What cannot be ended keeps everything as it is: its writes wait, and are not acknowledged.
fn refuse(serving: &mut Serving, hears: &[&Holder]) {
    let stays = |holder: &&&Holder| match &holder.who {
        Who::Process { process, .. } => process.pid <= 1,
        Who::Kernel(_) => true,
    };
    let stay: Vec<String> = hears.iter().filter(stays).map(|holder| holder.name()).collect();
    if !stay.is_empty() {
        let (me, name) = (serving.input.me, &serving.spec.name);
        serving.wait(Reason::blocked(
            "HeldByKernel",
            format_args!("{name} is used on {me} by {}, which no signal ends; its writes wait", names(&stay)),
            format_args!("reboot {me}"),
        ));
    }
}

/// What the legs hold fails. `true` while one of them is still to be let go. One that is in no array may hold the read of a
/// superblock: an assembly that was begun before the volume was lost waits for it.
fn let_go(serving: &mut Serving) -> bool {
    let arrays = arrays(serving);
    let own = stop::partitions(serving.status, serving.spec.stripe_width);
    let bound = |dev| arrays.iter().any(|array| array.member(dev).is_some());
    let maps = serving.input.seen.maps.iter();
    let ours = maps.filter(|(key, map)| own.contains(&key.0) || bound(map.dev));
    let held = ours.filter(|(key, _)| leg::holds(serving.input, **key));
    let held: Vec<Step> = held
        .map(|((partition, epoch), map)| Step::FailLeg {
            partition: *partition,
            epoch: *epoch,
            path: map.path,
            cut: None,
        })
        .collect();
    let any = !held.is_empty();
    for step in held {
        serving.step(step);
    }
    any
}

fn take_down(serving: &mut Serving) {
    let volume = serving.spec.name.clone();
    let mounted = stop::mounted_here(serving).map(|mount| mount.path.clone());
    let shown = stop::shown_here(serving).map(|bind| bind.path.clone());
    match (mounted, shown) {
        (None, None) => drop(stop::plan(serving)),
        _ if serving.is_busy() => {}
        (Some(path), _) => serving.step(Step::Unmount { volume, path }),
        (None, Some(path)) => serving.step(Step::Unpublish { volume, path }),
    }
}

fn owner(status: &VolumeStatus) -> &str {
    status.owner.as_ref().map_or("nobody", |owner| owner.as_str())
}

/// What a node says that still holds a volume after it lost it.
fn lost(serving: &Serving) -> Reason {
    let (me, name, status) = (serving.input.me, &serving.spec.name, serving.status);
    Reason::waiting(
        "OwnershipLost",
        format_args!(
            "{name} belongs to {} since epoch {}; {me} takes down what it still has of an earlier one, and ends who uses it",
            owner(status),
            status.epoch
        ),
    )
}

/// Whom this node ended, and why, becomes an event of the volume. The record is its owner's; this one line is added by
/// compare-and-swap, and nothing waits for it.
fn tell(serving: &mut Serving) {
    let (input, status) = (serving.input, serving.status);
    let Some(ended) = input.memory.ended.get(&serving.spec.name) else { return };
    let (name, owner) = (&serving.spec.name, owner(status));
    let message = format!(
        "{} ended {}, which used {name}: it belongs to {owner} since epoch {}",
        input.me,
        names(ended),
        status.epoch
    );
    if !status.events.iter().any(|event| event.message == message) {
        let mut next = status.clone();
        push_event(&mut next, input.now, "ProcessesEnded", message);
        serving.plan.put(name, Record::VolumeStatus(next));
    }
}
