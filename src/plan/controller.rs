//! The controller's machine: places new volumes, looks after volumes nobody owns, deletes.
//!
//! One node of the cluster runs it at a time ([`Lease`]); two at once would only meet in compare-and-swap conflicts.

use std::collections::BTreeSet;

use crate::domain::{
    ExportTo, Key, Kind, Lease, Member, MemberState, Placed, Reason, Record, Replica, ReplicaId, ReplicaSpec,
    Timestamp, Volume, VolumePhase, VolumeSpec, VolumeStatus, Wanted,
};
use crate::plan::placement::{self, Place, Request};
use crate::plan::{Input, Plan, candidate, evacuate, heal, scale, timing, width};

/// The controller's lease in the store.
pub const LEASE: &str = "controller";

/// Entries of a superblock's role table (`MAX_SB_DISKS`, drivers/md/md.c).
const MAX_DEV_NUMBERS: u32 = 1920;

/// Takes or renews the lease. `true` with the plan when this node is the controller.
#[must_use]
pub fn lead(input: &Input) -> (bool, Plan) {
    let mut plan = Plan::default();
    let age = input.memory.liveness.age(&Key::new(Kind::Lease, LEASE), input.now).unwrap_or(0);
    let (leads, take, next) = match input.world.lease(LEASE) {
        None => (false, true, 0),
        Some(lease) if lease.holder == *input.me => {
            (true, age >= timing::LEASE_RENEW_MILLIS, timing::LEASE_RENEW_MILLIS)
        }
        Some(lease) => (false, age >= lease.term_millis, lease.term_millis),
    };
    if take {
        let renewals = input.world.lease(LEASE).map_or(0, |lease| lease.renewals) + 1;
        let lease = Lease { holder: input.me.clone(), renewals, term_millis: timing::LEASE_TERM_MILLIS };
        plan.put(LEASE, Record::Lease(lease));
    }
    plan.wake(input.now.plus(next.saturating_sub(age).max(1)));
    (leads, plan)
}

/// Everything the controller does.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    let mut plan = Plan::default();
    let mut promised = placement::promised(input.world);
    for volume in input.world.volumes() {
        let key = Key::new(Kind::VolumeStatus, &volume.spec.name);
        match &volume.status {
            // It says where copies are.
            None if input.world.is_unreadable(&key) => {}
            None if volume.spec.deleting => plan.remove(Key::new(Kind::VolumeSpec, &volume.spec.name)),
            None => plan.merge(place(input, &volume.spec, None, &mut promised)),
            Some(status) if is_unplaced(&volume.spec, status) => {
                plan.merge(place(input, &volume.spec, Some(status), &mut promised));
            }
            Some(status) if status.owner.is_none() => plan.merge(unowned(input, &volume, status)),
            Some(status) => plan.merge(abandoned(input, &volume, status)),
        }
    }
    plan
}

/// Whether there was no room for a volume yet; its status says only why.
fn is_unplaced(spec: &VolumeSpec, status: &VolumeStatus) -> bool {
    !spec.deleting && status.phase == VolumePhase::New && status.members.is_empty()
}

/// A new volume: choose where its replicas go and write that down before anything is made; or why they go nowhere.
fn place(
    input: &Input,
    spec: &VolumeSpec,
    stored: Option<&VolumeStatus>,
    promised: &mut Vec<(crate::domain::DriveId, crate::domain::Bytes)>,
) -> Plan {
    let mut plan = Plan::default();
    let mut status = VolumeStatus::default();
    match places(input, spec, promised) {
        Ok(places) => {
            status.phase = VolumePhase::Requested;
            status.placement_generation = spec.placement.generation;
            status.placed = Some(Placed::carried_out(spec));
            status.size = Some(spec.size);
            let size = placement::partition_size(spec.size, spec.stripe_width);
            for place in places {
                promised.extend(place.drives.iter().map(|drive| (drive.clone(), size)));
                push_member(&mut status, spec, place, input.now);
            }
            status.in_sync = status.members.iter().map(|member| member.replica).collect();
        }
        Err(reason) => {
            status.reasons = vec![reason.clone()];
            plan.reasons.push(reason);
            plan.wake(input.now.plus(timing::RETRY_MAX_MILLIS));
        }
    }
    if stored != Some(&status) {
        plan.put(&spec.name, Record::VolumeStatus(status));
    }
    plan
}

/// One place per replica, on different nodes: as the user listed them, then wherever there is room.
pub(super) fn places(
    input: &Input,
    spec: &VolumeSpec,
    promised: &[(crate::domain::DriveId, crate::domain::Bytes)],
) -> Result<Vec<Place>, Reason> {
    if let Some(reason) = width::impossible(spec) {
        return Err(reason);
    }
    let mut places: Vec<Place> = Vec::new();
    for index in 0..usize::from(spec.replicas) {
        let taken: Vec<_> = places.iter().map(|place| (place.node.clone(), candidate::HOSTS)).collect();
        let request = Request::of(spec, spec.size, &taken, promised);
        let entry = spec.placement.entries.get(index);
        places.push(
            placement::choose(input.world, &request, entry).map_err(|unfit| no_place(spec, index, &unfit))?,
        );
    }
    Ok(places)
}

fn no_place(spec: &VolumeSpec, index: usize, unfit: &[placement::Unfit]) -> Reason {
    let whys = if unfit.is_empty() { "no such node".to_owned() } else { placement::whys(unfit) };
    Reason::blocked(
        "NoPlace",
        format_args!("no place for copy {} of {} of volume {}: {whys}", index + 1, spec.replicas, spec.name),
        "add a drive (`mdfabric drive add`), free space, or ask for fewer copies",
    )
}

/// Adds a member at `place`. Its id is a function of volume and count, so that a plan made twice names it once.
pub(super) fn push_member(
    status: &mut VolumeStatus,
    spec: &VolumeSpec,
    place: Place,
    now: Timestamp,
) -> ReplicaId {
    let replica = ReplicaId(uuid::Uuid::new_v5(&spec.uid.0, &status.members_made.to_be_bytes()));
    let taken: BTreeSet<u32> = status.members.iter().map(|member| member.dev_number).collect();
    let dev_number = (0..MAX_DEV_NUMBERS).find(|number| !taken.contains(number)).unwrap_or_default();
    status.members_made += 1;
    let (node, drives) = (place.node, place.drives);
    status.members.push(Member {
        replica,
        node,
        drives,
        dev_number,
        state: MemberState::Joining,
        since: now,
        diverged: false,
        waited_millis: 0,
    });
    replica
}

/// The record that asks a provider for a member. Written after the volume's status names it.
pub(super) fn replica_spec(
    spec: &VolumeSpec,
    status: &VolumeStatus,
    member: &Member,
    export: Option<ExportTo>,
    wanted: Wanted,
) -> ReplicaSpec {
    ReplicaSpec {
        id: member.replica,
        volume: spec.name.clone(),
        volume_uid: spec.uid,
        node: member.node.clone(),
        drives: member.drives.clone(),
        partition_size: placement::partition_size(status.target(spec), spec.stripe_width),
        export,
        wanted,
    }
}

/// A volume nobody owns: ask for its replicas, say what it is, take away what goes.
fn unowned(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    let mut plan = Plan::default();
    let mut next = status.clone();
    let deleting = volume.spec.deleting;
    for member in &status.members {
        let wanted =
            if deleting || member.state == MemberState::Leaving { Wanted::Removed } else { Wanted::Present };
        ask(input, &volume.spec, status, member, None, wanted, &mut plan);
    }
    forget_gone(input, &mut next, &mut plan);
    if !deleting {
        heal::count_unowned(input, &volume.spec, &mut next, &mut plan);
    }
    crate::plan::owner::finish_relocation(input, &mut next, &volume.spec);
    next.size.get_or_insert(volume.spec.size);
    next.phase = phase(input, volume, &next);
    next.reasons = reasons(input, volume, &next);
    next.array = crate::domain::ArrayReport::default();
    if deleting && status.members.is_empty() {
        plan.remove(Key::new(Kind::VolumeStatus, &volume.spec.name));
        plan.remove(Key::new(Kind::VolumeSpec, &volume.spec.name));
    } else if next != *status {
        plan.put(&volume.spec.name, Record::VolumeStatus(next));
    }
    plan
}

/// A volume that nobody wants attached and whose owner is dead: nobody owns it from now on. One that is wanted
/// somewhere is taken over there.
fn abandoned(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    let mut plan = Plan::default();
    let Some(owner) = status.owner.as_ref().filter(|_| volume.spec.attachment.is_none()) else { return plan };
    if input.owner_lives(owner) {
        plan.wake(input.dead_at(owner));
    } else {
        let next = crate::plan::owner::depose(input, status, owner);
        plan.put(&volume.spec.name, Record::VolumeStatus(next));
    }
    plan
}

/// Writes a member's replica record if it does not say so yet.
pub(super) fn ask(
    input: &Input,
    spec: &VolumeSpec,
    status: &VolumeStatus,
    member: &Member,
    export: Option<ExportTo>,
    wanted: Wanted,
    plan: &mut Plan,
) {
    let record = replica_spec(spec, status, member, export, wanted);
    if input.world.replica_spec(&member.replica) != Some(&record) {
        plan.put(member.replica, Record::ReplicaSpec(record));
    }
}

/// Members whose provider says they are gone leave the volume; their records go after them.
pub(super) fn forget_gone(input: &Input, next: &mut VolumeStatus, plan: &mut Plan) {
    let gone = |replica: &Replica| {
        replica.spec.wanted == Wanted::Removed && replica.status.as_ref().is_some_and(|status| status.gone)
    };
    for replica in next.members.iter().filter_map(|member| input.world.replica(&member.replica)).filter(gone)
    {
        plan.remove(Key::new(Kind::ReplicaSpec, replica.spec.id));
        plan.remove(Key::new(Kind::ReplicaStatus, replica.spec.id));
    }
    let forgotten: BTreeSet<ReplicaId> = next
        .members
        .iter()
        .filter_map(|member| input.world.replica(&member.replica))
        .filter(gone)
        .map(|replica| replica.spec.id)
        .collect();
    next.members.retain(|member| !forgotten.contains(&member.replica));
    next.in_sync.retain(|replica| !forgotten.contains(replica));
}

fn is_made(input: &Input, member: &Member) -> bool {
    input.world.replica_status(&member.replica).is_some_and(|status| status.zeroed)
}

fn phase(input: &Input, volume: &Volume, status: &VolumeStatus) -> VolumePhase {
    let usable = |member: &&Member| member.state != MemberState::Leaving;
    if volume.spec.deleting {
        VolumePhase::Deleting
    } else if !status.created && !status.members.iter().filter(usable).all(|member| is_made(input, member)) {
        VolumePhase::Requested
    } else if status.is_replacing() {
        VolumePhase::Replacing
    } else if status.relocation.is_some() || status.in_sync.len() < status.copies(&volume.spec) {
        VolumePhase::Syncing
    } else if status.is_expanding(&volume.spec) {
        VolumePhase::Expanding
    } else {
        VolumePhase::Synced
    }
}

fn reasons(input: &Input, volume: &Volume, status: &VolumeStatus) -> Vec<Reason> {
    let of_replicas = status.members.iter().filter_map(|member| {
        let reason = input.world.replica_status(&member.replica)?.reason.clone()?;
        Some(Reason { message: format!("replica on {}: {}", member.node, reason.message), ..reason })
    });
    let due = status.copies_due(&volume.spec);
    let detached = (status.in_sync.len() < due && !volume.spec.deleting).then(|| {
        Reason::warning(
            "DegradedDetached",
            format_args!("{} of {due} copies are in sync and nobody owns the volume", status.in_sync.len()),
            "the missing copy is filled as soon as the volume is attached",
        )
    });
    let growth = status.growth.as_ref().filter(|_| status.waits_for_mount(&volume.spec));
    let growth = growth.map(|growth| crate::plan::owner::grows_when_mounted(growth.to));
    let stays = evacuate::stays(input, &volume.spec, status).filter(|_| !volume.spec.deleting);
    let impossible = scale::impossible(&volume.spec, status);
    let width = width::refused(input.world, &volume.spec);
    let timeout = heal::refused(&volume.spec);
    of_replicas
        .chain(detached)
        .chain(growth)
        .chain(stays)
        .chain(impossible)
        .chain(width)
        .chain(timeout)
        .collect()
}
