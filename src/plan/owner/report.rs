//! What users see of a volume: phase, array state, progress, use.

use super::serving::{InKernel, Serving};
use super::{scrub, stop};
use crate::domain::{ArrayReport, Bytes, MdState, Member, Reason, VolumePhase};
use crate::plan::{ArraySeen, ArrayState, SyncAction, timing};

pub(super) fn plan(serving: &mut Serving) {
    serving.next.phase = phase(serving);
    serving.next.array = array(serving);
    serving.next.used = used(serving);
    let of_replicas: Vec<Reason> =
        serving.next.members.iter().filter_map(|member| replica_reason(serving, member)).collect();
    serving.next.reasons.extend(of_replicas);
    if serving.next.in_sync.len() < serving.copies_due() {
        let (have, want) = (serving.next.in_sync.len(), serving.copies_due());
        serving.wait(Reason::warning(
            "Degraded",
            format_args!("{have} of {want} copies hold every write"),
            "see the reasons of the missing copy; it is filled as soon as its provider is back",
        ));
    }
}

fn replica_reason(serving: &Serving, member: &Member) -> Option<Reason> {
    let reason = serving.input.world.replica_status(&member.replica)?.reason.clone()?;
    Some(Reason { message: format!("replica on {}: {}", member.node, reason.message), ..reason })
}

fn phase(serving: &Serving) -> VolumePhase {
    let next = &serving.next;
    if serving.spec.deleting {
        VolumePhase::Deleting
    } else if next.is_replacing() {
        VolumePhase::Replacing
    } else if next.relocation.is_some() || next.in_sync.len() < next.copies(serving.spec) {
        VolumePhase::Syncing
    } else if next.formatted && next.is_expanding(serving.spec) {
        VolumePhase::Expanding
    } else if next.formatted {
        VolumePhase::Synced
    } else {
        VolumePhase::Requested
    }
}

fn array(serving: &Serving) -> ArrayReport {
    let Some(arrays) = serving.arrays() else { return ArrayReport::default() };
    let permille = arrays.iter().filter_map(|array| progress(array)).min();
    let permille = permille.or_else(|| scrub::progress(serving));
    ArrayReport {
        state: arrays.iter().map(|array| md_state(serving, array)).max().unwrap_or_default(),
        sync_permille: coarse(permille, serving.status.array.sync_permille),
        device: stop::device(serving),
        mounted_at: serving.next.array.mounted_at.clone(),
    }
}

fn progress(array: &ArraySeen) -> Option<u16> {
    let busy = matches!(array.sync.action, SyncAction::Recover | SyncAction::Resync);
    let total = array.sync.total;
    let permille = array.sync.done.saturating_mul(1000).checked_div(total)?;
    busy.then_some(u16::try_from(permille.min(1000)).ok()?)
}

/// Progress is written down only when it moved visibly: the store is not a progress bar.
fn coarse(now: Option<u16>, before: Option<u16>) -> Option<u16> {
    match (now, before) {
        (Some(now), Some(before)) if now.abs_diff(before) < timing::PROGRESS_STEP_PERMILLE => Some(before),
        (now, _) => now,
    }
}

/// Of a file system that is mounted here. Written down only when it moved visibly, and kept when it is unmounted.
fn used(serving: &Serving) -> Option<Bytes> {
    let before = serving.status.used;
    let mounted = serving.next.array.mounted_at.is_some();
    let now =
        serving.input.memory.used.get(&serving.spec.name).filter(|_| mounted).map(|used| used.usage.used);
    let step = serving.next.usable(serving.spec).0 / 1000 * timing::USE_STEP_PERMILLE;
    let moved = |now: &Bytes| before.is_none_or(|before| now.0.abs_diff(before.0) > step);
    now.filter(moved).or(before)
}

fn md_state(serving: &Serving, array: &ArraySeen) -> MdState {
    let waits = |member: &Member| serving.is_lost(member) && serving.in_kernel(member) != InKernel::Absent;
    if array.state == ArrayState::Broken {
        return MdState::Broken;
    }
    if serving.status.members.iter().any(waits) {
        return MdState::Waiting;
    }
    match array.sync.action {
        SyncAction::Recover | SyncAction::Resync => MdState::Recovering,
        SyncAction::Check | SyncAction::Repair | SyncAction::Piece => MdState::Checking,
        // Slices come and go: the store is not told.
        SyncAction::Idle if scrub::is_going_on(serving) => MdState::Checking,
        SyncAction::Idle | SyncAction::Frozen | SyncAction::Reshape => idle_state(serving, array),
    }
}

fn idle_state(serving: &Serving, array: &ArraySeen) -> MdState {
    if serving.next.in_sync.len() < serving.copies_due() {
        return MdState::Degraded;
    }
    match array.state {
        // The kernel goes from active to clean 200 ms after each write and back: the store is not told.
        ArrayState::Active | ArrayState::Clean => MdState::Active,
        ArrayState::Inactive => MdState::Stopped,
        ArrayState::ReadOnly | ArrayState::ReadAuto | ArrayState::Broken | ArrayState::Other(_) => {
            MdState::Clean
        }
    }
}
