//! Members of the running array: what the kernel says becomes record, what the record says becomes the kernel's.
//!
//! ```text
//! Joining -add-> Syncing -recovered, verified-> Synced -lost, recorded-> Missing -back, bitmap-> Syncing
//!                                                  |-failed in the kernel-> Faulty
//!                                                  '-relocation done, recorded-> Leaving -out of the kernel-> gone
//! ```

use std::ops::Range;

use uuid::Uuid;

use super::serving::{InKernel, Serving};
use super::{alone, dead, relocate, unfinished};
use crate::domain::{
    Bytes, DriveId, Member, MemberState, MoveCause, Reason, ReplicaStatus, Verify, partition_guid,
};
use crate::plan::leg::{self, Leg, Release};
use crate::plan::placement::HEADER;
use crate::plan::safety::{self, Guard};
use crate::plan::windows::{self, Column};
use crate::plan::{
    ArraySeen, Compared, Dev, Join, Lane, MemberFlag, MemberSeen, NewMember, Step, SyncAction, scale, timing,
};

/// Legs without a path: bring them back, or record the smaller in-sync set and then let them go (R1). From the first column that runs
/// to the last one: each of them waits for its legs.
pub(super) fn lost(serving: &mut Serving) {
    if serving.columns().all(|column| serving.array(column).is_none()) {
        return;
    }
    for member in serving.status.members.clone() {
        if serving.is_lost(&member) || serving.is_gone(&member) {
            one_lost(serving, &member);
        }
    }
}

fn one_lost(serving: &mut Serving, member: &Member) {
    let now = serving.input.now;
    let since = serving.lost_since(member).unwrap_or(now);
    let mut due = since.plus(timing::LEG_LOSS_MILLIS);
    // The path to a partition that is gone may be there: nothing is to be brought back, and nothing to be waited for.
    if serving.goes_down(member) || serving.is_gone(member) || serving.input.is_gone(&member.node) {
        due = now;
    } else {
        revive(serving, member);
    }
    if now < due {
        serving.plan.wake(due);
    } else if safety::may_let_go(serving.input, serving.status, member.replica) || serving.is_noted(member) {
        let_go(serving, member);
    } else {
        record_loss(serving, member);
    }
}

/// What brings the paths of a lost member's legs back.
pub(super) fn revive(serving: &mut Serving, member: &Member) {
    let step = |column| leg::revive(serving.input, member, column, serving.status.epoch);
    let is_lost = |column: &u8| matches!(serving.leg(member, *column), Leg::Lost(_));
    let steps: Vec<Step> = serving.columns().filter(is_lost).filter_map(step).collect();
    for step in steps {
        serving.step(step);
    }
}

fn record_loss(serving: &mut Serving, member: &Member) {
    let (node, goes_down) = (&member.node, serving.goes_down(member));
    if serving.has_other_good(member.replica) {
        serving.drop_from_in_sync(member.replica, MemberState::Missing);
        let why = match goes_down {
            true => "said that it goes down",
            false if serving.is_gone(member) => "does not find its partition any more",
            false => "is out of reach",
        };
        serving.event("MemberMissing", format_args!("{node} {why}; its copy left the in-sync set"));
        alone::lose(serving, member);
    } else if goes_down && !serving.has_no_path(member) {
        serving.wait(Reason::blocked(
            "LastCopyGoesDown",
            format_args!(
                "{node} said that it goes down, and has the last in-sync copy: reads and writes will wait"
            ),
            format_args!("keep {node} up until another copy is in sync; nothing is lost meanwhile"),
        ));
    } else if dead::last_copy(serving).is_none() {
        serving.wait(Reason::blocked(
            "WritesWait",
            format_args!(
                "no path to {}, which has the last in-sync copy: reads and writes wait",
                member.node
            ),
            format_args!("bring {} or its network back; nothing is lost meanwhile", member.node),
        ));
    }
}

/// The record does not count on this member any more: what its legs hold may fail, and MD drops it. A leg that works beside one
/// that does not is left alone: MD is told to drop the member there, too (`member_step`).
pub(super) fn let_go(serving: &mut Serving, member: &Member) {
    let whole = serving.goes_down(member) || serving.is_gone(member);
    for column in serving.columns() {
        if !whole && matches!(serving.leg(member, column), Leg::Ready(_)) {
            continue;
        }
        let key = (partition_guid(member.replica, column), serving.status.epoch);
        if let Some(map) = serving.input.seen.maps.get(&key).filter(|map| map.queueing) {
            let (partition, epoch) = key;
            let (path, cut) = (map.path, leg::cut(serving.input, member));
            serving.step(Step::FailLeg { partition, epoch, path, cut });
        }
    }
}

/// What the kernel says about each member becomes its recorded state. What it says of a member whose I/O waits, or
/// whose leg is being worked on, proves nothing: such a member may be let go at any moment.
pub(super) fn learn(serving: &mut Serving) {
    for member in serving.status.members.clone() {
        if serving.is_unread(&member) {
            continue;
        }
        let kernel = serving.in_kernel(&member);
        match member.state {
            MemberState::Faulty if serving.is_gone(&member) => {
                serving.set_state(member.replica, MemberState::Missing);
            }
            MemberState::Faulty | MemberState::Leaving => {}
            MemberState::Synced | MemberState::Joining | MemberState::Syncing | MemberState::Missing
                if serving.status.in_sync.contains(&member.replica) && !serving.is_noted(&member) =>
            {
                still_in_sync(serving, &member, kernel);
            }
            MemberState::Synced | MemberState::Joining | MemberState::Syncing | MemberState::Missing => {
                joining(serving, &member, kernel);
            }
        }
    }
}

fn still_in_sync(serving: &mut Serving, member: &Member, kernel: InKernel) {
    let lost = serving.is_lost(member) || serving.is_gone(member);
    match kernel {
        InKernel::InSync | InKernel::Absent | InKernel::Spare | InKernel::Recovering if lost => {}
        InKernel::InSync => serving.set_state(member.replica, MemberState::Synced),
        InKernel::Absent | InKernel::Faulty | InKernel::Spare | InKernel::Recovering => {
            if !serving.has_other_good(member.replica) {
                return;
            }
            let state = if kernel == InKernel::Faulty { MemberState::Faulty } else { MemberState::Missing };
            serving.drop_from_in_sync(member.replica, state);
            serving.event(
                "MemberFailed",
                format_args!("the kernel has the copy on {} as {kernel:?}", member.node),
            );
        }
    }
}

fn joining(serving: &mut Serving, member: &Member, kernel: InKernel) {
    let filling = kernel == InKernel::Recovering;
    let whole = kernel == InKernel::InSync && !serving.is_gone(member);
    let joins = safety::may_join(serving.input, whole, filling);
    if joins && serving.is_settled(member) && is_proven(serving, member) {
        serving.next.in_sync.insert(member.replica);
        serving.set_diverged(member.replica, false);
        serving.set_state(member.replica, MemberState::Synced);
        serving.event("MemberSynced", format_args!("the copy on {} holds every write", member.node));
    } else if filling {
        serving.set_state(member.replica, MemberState::Syncing);
    } else if kernel == InKernel::Absent {
        fails(serving, member);
    }
}

/// A copy that was lost and is to come back, and whose drive fails meanwhile, is replaced; a new one is given up elsewhere.
fn fails(serving: &mut Serving, member: &Member) {
    let is_new =
        serving.status.relocation.as_ref().and_then(|relocation| relocation.joining) == Some(member.replica);
    let Some(why) = serving.unreadable(member).filter(|_| !is_new) else { return };
    // One that was being filled has no writes of its own to be caught up from.
    if member.state != MemberState::Missing {
        serving.set_diverged(member.replica, true);
    }
    serving.set_state(member.replica, MemberState::Faulty);
    serving.event("MemberFailed", format_args!("the drive of the copy on {} fails: {why}", member.node));
}

/// R2: a new copy has been compared with the rest: another one goes in its favour, now or by a later wish.
fn is_proven(serving: &mut Serving, member: &Member) -> bool {
    let relocation = serving.status.relocation.as_ref();
    let new = relocation.is_some_and(|relocation| {
        relocation.joining == Some(member.replica) && !relocate::has_joined(serving.status, relocation)
    });
    let asked = serving.spec.verify != Verify::Off && safety::is_on(serving.input, Guard::Verification);
    if !new || !asked {
        return true;
    }
    let results: Option<Vec<_>> = serving
        .columns()
        .map(|column| serving.input.memory.compared.get(&partition_guid(member.replica, column)).copied())
        .collect();
    let Some(results) = results else {
        compare(serving, member);
        return false;
    };
    if results.iter().any(|result| result.mismatched_sectors > 0) {
        refuse(serving, member, &results);
        return false;
    }
    if let Some(relocation) = &mut serving.next.relocation {
        relocation.verified = true;
    }
    true
}

fn compare(serving: &mut Serving, member: &Member) {
    for column in serving.columns() {
        let Some(array) = serving.array(column) else { continue };
        let partition = partition_guid(member.replica, column);
        if serving.input.memory.compared.contains_key(&partition) || array.sync.action == SyncAction::Recover
        {
            continue;
        }
        let good = good_member(serving, column).and_then(|good| serving.leg(good, column).dev());
        let (Some(dev), Some(good)) = (serving.leg(member, column).dev(), good) else { continue };
        let (volume, array, size) = (serving.spec.name.clone(), array.name.clone(), array.size);
        let (windows, how) = (compared_windows(serving, partition, size), serving.spec.verify);
        serving.step(Step::Compare { volume, array, partition, dev, good, size, windows, how });
    }
}

/// Drawn from who the copy is and when it was asked for: a daemon that starts anew compares the same places, and which ones those of the
/// next copy are is not to be known before.
fn compared_windows(serving: &Serving, partition: Uuid, size: Bytes) -> Vec<Range<u64>> {
    let asked_at = serving.status.relocation.as_ref().map_or(0, |relocation| relocation.started_at.0);
    let column = Column { size, columns: serving.spec.stripe_width, fs: serving.spec.fs };
    windows::of(serving.spec.verify, column, Uuid::new_v5(&partition, &asked_at.to_be_bytes()))
}

/// What the user asked for stays, Faulty, for them to see; what nobody asked for by name is tried elsewhere.
fn refuse(serving: &mut Serving, member: &Member, results: &[Compared]) {
    let mismatched_sectors: u64 = results.iter().map(|result| result.mismatched_sectors).sum();
    let differs = format!("differs in {mismatched_sectors} sectors");
    let told = format!("the new copy on {} {differs}; no other one goes", member.node);
    // Of three and more it is only known that they are not all the same.
    let others = match serving.status.in_sync.len() {
        0 | 1 => String::new(),
        _ => format!(
            ". It was compared with several copies at once: `mdfabric volume scrub {}` compares those alone",
            serving.spec.name
        ),
    };
    serving.event("VerificationFailed", told + &others);
    let of_request =
        serving.status.relocation.as_ref().is_some_and(|relocation| relocation.cause == MoveCause::Placement);
    if of_request {
        serving.set_state(member.replica, MemberState::Faulty);
        serving.set_diverged(member.replica, true);
        serving.next.relocation = None;
        scale::give_up(&mut serving.next, member, serving.input.now);
    } else {
        let columns = member.drives.iter().zip(results);
        let differing = columns.filter(|(_, result)| result.mismatched_sectors > 0);
        let drives: Vec<DriveId> = differing.map(|(drive, _)| drive.clone()).collect();
        unfinished::give_up(serving, member, &format!("it {differs}"), &drives);
    }
}

/// Legs are brought and released side by side; of the changes to the array's members only the first that is due is
/// made, so that a provider that does not answer holds up nobody else. Nothing of this is called while a leg holds I/O: the
/// kernel would freeze the whole array (`mddev_suspend`).
pub(super) fn change(serving: &mut Serving) {
    for member in serving.status.members.clone() {
        for column in serving.columns() {
            let Some(array) = serving.array(column) else { continue };
            if let Some(step) = member_step(serving, &member, column, array) {
                let changes_array = matches!(step.lane(), Lane::Volume(_));
                serving.step(step);
                if changes_array {
                    return;
                }
            }
        }
    }
    // A device that is nobody's may be of the member whose drive has not answered yet.
    if serving.status.members.iter().any(|member| serving.is_unread(member)) {
        return;
    }
    for column in serving.columns() {
        let step =
            |array| stranger_step(serving, column, array).or_else(|| slots_step(serving, column, array));
        if let Some(step) = serving.array(column).and_then(step) {
            return serving.step(step);
        }
    }
}

/// The devices of the members that have one, with or without a path.
pub(super) fn devices(serving: &Serving, column: u8) -> Vec<Dev> {
    serving.status.members.iter().filter_map(|member| serving.leg(member, column).dev()).collect()
}

/// A device of the array that is no member's any more: its drive was pulled, or came back under another number.
fn stranger<'a>(serving: &Serving, column: u8, array: &'a ArraySeen) -> Option<&'a MemberSeen> {
    let devices = devices(serving, column);
    array.members.iter().find(|seen| !devices.contains(&seen.dev))
}

/// It goes, unless nothing would be left.
fn stranger_step(serving: &Serving, column: u8, array: &ArraySeen) -> Option<Step> {
    let stranger = stranger(serving, column, array)?;
    let devices = devices(serving, column);
    let good = |seen: &MemberSeen| seen.is(MemberFlag::InSync) && devices.contains(&seen.dev);
    let (volume, array_name, member) = (serving.spec.name.clone(), array.name.clone(), stranger.name.clone());
    if !stranger.is(MemberFlag::Faulty) {
        let missed = !array.members.iter().any(good);
        return (!missed).then_some(Step::FailMember { volume, array: array_name, member });
    }
    stranger.slot.is_none().then_some(Step::RemoveMember { volume, array: array_name, member })
}

fn member_step(serving: &mut Serving, member: &Member, column: u8, array: &ArraySeen) -> Option<Step> {
    let (volume, name) = (serving.spec.name.clone(), array.name.clone());
    let leg = serving.leg(member, column);
    let seen = leg.dev().and_then(|dev| array.member(dev));
    let not_wanted = matches!(member.state, MemberState::Leaving | MemberState::Faulty);
    let counts = serving.status.in_sync.contains(&member.replica);
    let out = not_wanted || serving.is_gone(member) && !counts;
    // All columns or none: where MD had one column of a copy that does not count, it could go on with that one alone.
    let torn = !counts && serving.has_no_path(member);
    let stretch = leg::stretch(serving.input, partition_guid(member.replica, column), serving.status.epoch);
    match (seen, leg) {
        (Some(seen), _) if seen.is(MemberFlag::Faulty) => {
            seen.slot.is_none().then(|| Step::RemoveMember { volume, array: name, member: seen.name.clone() })
        }
        (Some(seen), _) if out => (serving.has_other_good(member.replica)).then(|| Step::FailMember {
            volume,
            array: name,
            member: seen.name.clone(),
        }),
        (Some(seen), Leg::Ready(_)) if torn => (serving.has_other_good(member.replica))
            .then(|| Step::FailMember { volume, array: name, member: seen.name.clone() }),
        (Some(_), Leg::Ready(_)) if stretch.is_some() => stretch,
        (Some(seen), Leg::Ready(_)) => {
            let remote = member.node != *serving.input.me;
            (seen.is(MemberFlag::WriteMostly) != remote).then(|| Step::SetWriteMostly {
                volume,
                array: name,
                member: seen.name.clone(),
                on: remote,
            })
        }
        (None, _) if out => {
            let partition = partition_guid(member.replica, column);
            match leg::release(serving.input, partition, serving.status.epoch) {
                Release::Next(step) => Some(step),
                release @ (Release::Gone | Release::Wait(..)) => {
                    serving.release(release);
                    None
                }
            }
        }
        (None, Leg::Ready(_)) if stretch.is_some() => stretch,
        (None, Leg::Ready(dev)) => join(serving, member, column, array, dev),
        (None, Leg::Absent(Ok(step))) => Some(step),
        (None, Leg::Absent(Err(reason))) => {
            serving.wait(reason);
            None
        }
        (Some(_) | None, Leg::Lost(_)) | (Some(_), Leg::Absent(_)) => None,
    }
}

/// A recorded copy that is in sync in the kernel too; a local one if there is one.
fn good_member<'a>(serving: &Serving<'a>, column: u8) -> Option<&'a Member> {
    let good = |member: &&Member| {
        serving.status.in_sync.contains(&member.replica)
            && serving.in_column(member, column) == InKernel::InSync
    };
    serving.status.members.iter().filter(good).max_by_key(|member| member.node == *serving.input.me)
}

fn join(serving: &Serving, member: &Member, column: u8, array: &ArraySeen, dev: Dev) -> Option<Step> {
    let made = serving.input.world.replica_status(&member.replica).map(ReplicaStatus::made_to);
    let made =
        made.is_some_and(|made| made.0 >= array.size.0 + HEADER.0) && is_long(serving, member, column, array);
    let good = good_member(serving, column)?;
    let in_sync = serving.status.in_sync.contains(&member.replica);
    // What it was before may be in the array still, and has its number.
    let whole = serving.ready(member).is_some() && stranger(serving, column, array).is_none();
    if !made || !whole || !array.is_writable() || in_sync || is_being_replaced(serving, member) {
        return None;
    }
    let wanted = slots_wanted(serving, column, array, Some(member));
    if array.slots < wanted {
        return set_slots(serving, array, wanted);
    }
    let partition = partition_guid(member.replica, column);
    Some(Step::AddMember {
        volume: serving.spec.name.clone(),
        array: array.name.clone(),
        member: NewMember {
            partition,
            dev,
            dev_number: member.dev_number,
            write_mostly: member.node != *serving.input.me,
        },
        good: serving.leg(good, column).dev()?,
        join: how_to_join(serving, member, partition),
    })
}

/// A lost copy whose replacement is in the array does not come back: its slot is taken.
fn is_being_replaced(serving: &Serving, member: &Member) -> bool {
    let relocation = serving.status.relocation.as_ref().filter(|_| serving.status.is_healing());
    relocation.is_some_and(|relocation| relocation.leaving == Some(member.replica))
}

/// Whether a leg is as long as the array needs it: one that came back after the volume grew may not be yet.
fn is_long(serving: &Serving, member: &Member, column: u8, array: &ArraySeen) -> bool {
    let key = (partition_guid(member.replica, column), serving.status.epoch);
    let map = serving.input.seen.maps.get(&key);
    map.is_none_or(|map| map.size.0 >= array.size.0 + HEADER.0)
}

/// By bitmap what may come back that way and what the kernel did not refuse.
fn how_to_join(serving: &Serving, member: &Member, partition: Uuid) -> Join {
    let refused = serving.input.memory.bitmap_refused.contains(&partition);
    let may = safety::may_return_by_bitmap(serving.input, member);
    if may && !refused { Join::Bitmap } else { Join::Full }
}

/// As many slots as copies: one less when a copy has gone.
fn slots_step(serving: &Serving, column: u8, array: &ArraySeen) -> Option<Step> {
    let due = u32::try_from(serving.copies_due()).ok()?;
    let wanted = slots_wanted(serving, column, array, None).max(due).max(2);
    if wanted == array.slots { None } else { set_slots(serving, array, wanted) }
}

/// A slot for everybody in the array and for who joins, before that one is taken in: MD gives a spare whatever slot falls vacant. One
/// more for those who may come back by bitmap.
fn slots_wanted(serving: &Serving, column: u8, array: &ArraySeen, joining: Option<&Member>) -> u32 {
    let out = |member: &&Member| {
        joining.is_none_or(|joining| joining.replica != member.replica)
            && serving.in_column(member, column) <= InKernel::Faulty
    };
    let mut others = serving.status.members.iter().filter(out);
    let vacant = others.any(|member| safety::needs_vacant_slot(serving.input, serving.status, member));
    let has_or_gets = |seen: &&MemberSeen| seen.slot.is_some() || !seen.is(MemberFlag::Faulty);
    let taken: u32 = array.members.iter().filter(has_or_gets).map(|_| 1).sum();
    taken + u32::from(joining.is_some()) + u32::from(vacant)
}

/// Not while the kernel is busy with the members: EBUSY (`update_raid_disks`, drivers/md/md.c).
fn set_slots(serving: &Serving, array: &ArraySeen, slots: u32) -> Option<Step> {
    let busy = array.sync.action != SyncAction::Idle
        || array.members.iter().any(|member| member.is(MemberFlag::Faulty));
    let (volume, name) = (serving.spec.name.clone(), array.name.clone());
    (!busy).then_some(Step::SetSlots { volume, array: name, slots })
}
