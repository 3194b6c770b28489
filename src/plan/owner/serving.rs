//! What the owner's rungs share: one volume, its columns and members as they are, and the status that is to be written.

use uuid::Uuid;

use crate::domain::{
    Member, MemberState, Reason, ReplicaId, ReplicaState, Timestamp, Volume, VolumeSpec, VolumeStatus,
    array_uuid, partition_guid,
};
pub(super) use crate::plan::event::push as push_event;
use crate::plan::leg::{self, Leg, Release};
use crate::plan::safety::{self, Refusal};
use crate::plan::{
    Alone, ArraySeen, Attempt, Dev, DriveSeen, FailureKind, Input, Lane, MemberFlag, Plan, Step, TableSeen,
    timing,
};

/// A member as the kernel has it, the worst of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InKernel {
    /// Not in the array.
    Absent,
    /// Kicked out, still bound.
    Faulty,
    /// Bound, no slot.
    Spare,
    /// In a slot, being filled.
    Recovering,
    /// Holds every write.
    InSync,
}

/// One volume in its owner's hands.
pub(super) struct Serving<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) spec: &'a VolumeSpec,
    pub(super) status: &'a VolumeStatus,
    pub(super) next: VolumeStatus,
    pub(super) plan: Plan,
    /// What is planned for other volumes in the same turn.
    pub(super) so_far: &'a Plan,
    /// The uuids of its arrays, by column: each is a hash.
    arrays: Vec<Uuid>,
}

impl<'a> Serving<'a> {
    pub(super) fn new(
        input: &'a Input<'a>,
        volume: &'a Volume,
        status: &'a VolumeStatus,
        so_far: &'a Plan,
    ) -> Self {
        let next = VolumeStatus { reasons: Vec::new(), ..status.clone() };
        let spec = &volume.spec;
        let arrays = (0..spec.stripe_width).map(|column| array_uuid(spec.uid, column)).collect();
        Self { input, spec, status, next, plan: Plan::default(), so_far, arrays }
    }

    pub(super) fn columns(&self) -> std::ops::Range<u8> {
        0..self.spec.stripe_width
    }

    /// Copies that have to hold every write: see [`VolumeStatus::copies_due`].
    pub(super) fn copies_due(&self) -> usize {
        self.next.copies_due(self.spec)
    }

    pub(super) fn array(&self, column: u8) -> Option<&'a ArraySeen> {
        self.input.seen.arrays.get(self.arrays.get(usize::from(column))?)
    }

    /// Every column's array, if all of them are there.
    pub(super) fn arrays(&self) -> Option<Vec<&'a ArraySeen>> {
        self.columns().map(|column| self.array(column)).collect()
    }

    /// Whether a step on the volume's array is under way: what it does is not to be seen yet.
    pub(super) fn is_busy(&self) -> bool {
        self.input.memory.running.contains_key(&Lane::Volume(self.spec.name.clone()))
    }

    pub(super) fn leg(&self, member: &Member, column: u8) -> Leg {
        leg::of(self.input, member, column, self.status.epoch)
    }

    pub(super) fn legs(&self, member: &Member) -> Vec<Leg> {
        self.columns().map(|column| self.leg(member, column)).collect()
    }

    /// Every column's device, if all of them work.
    pub(super) fn ready(&self, member: &Member) -> Option<Vec<Dev>> {
        let ready = |leg| if let Leg::Ready(dev) = leg { Some(dev) } else { None };
        self.legs(member).into_iter().map(ready).collect()
    }

    /// What the kernel says to each try to read or write the superblock of a copy whose legs work: its drive fails.
    pub(super) fn unreadable(&self, member: &Member) -> Option<&'a str> {
        self.ready(member)?;
        let is_of = |partition: Uuid| {
            self.columns().any(|column| partition_guid(member.replica, column) == partition)
        };
        let hopeless = |attempt: &&Attempt| {
            attempt.count >= timing::SUPERBLOCK_FAILURES
                && matches!(attempt.failure.kind, FailureKind::Unreadable(partition) if is_of(partition))
        };
        let attempt = self.input.memory.failed.values().find(hopeless)?;
        Some(&attempt.failure.message)
    }

    /// Whether a member's provider says that the partition, or its drive, is not there any more. The path to it may well be.
    pub(super) fn is_gone(&self, member: &Member) -> bool {
        let status = self.input.world.replica_status(&member.replica);
        status.is_some_and(|status| status.state == ReplicaState::Missing)
    }

    /// Whether a member is on a drive of this node that has not answered since this daemon began: what is not to be seen is
    /// not gone.
    pub(super) fn is_unread(&self, member: &Member) -> bool {
        let unread = |seen: &DriveSeen| seen.unanswered.is_some() && seen.table == TableSeen::Unread;
        let drives = &self.input.seen.drives;
        member.node == *self.input.me && member.drives.iter().any(|id| drives.get(id).is_some_and(unread))
    }

    /// Whether a member has no path, or will have none in a moment: its node said so.
    pub(super) fn is_lost(&self, member: &Member) -> bool {
        self.goes_down(member) || self.has_no_path(member)
    }

    pub(super) fn has_no_path(&self, member: &Member) -> bool {
        self.legs(member).iter().any(|leg| matches!(leg, Leg::Lost(_)))
    }

    pub(super) fn goes_down(&self, member: &Member) -> bool {
        member.node != *self.input.me && self.input.goes_down(&member.node)
    }

    /// Whether a member's legs work and no step on them is under way that could let it go.
    pub(super) fn is_settled(&self, member: &Member) -> bool {
        let running = &self.input.memory.running;
        let idle = |column| !running.contains_key(&Lane::Leg(partition_guid(member.replica, column)));
        !self.is_lost(member) && self.columns().all(idle)
    }

    /// Whether a note of this ownership says that a member lacks writes, whatever the record says.
    pub(super) fn is_noted(&self, member: &Member) -> bool {
        let (volume, epoch) = (self.spec.uid, self.status.epoch);
        self.input.seen.alone.contains(&Alone { volume, epoch, replica: member.replica })
    }

    /// Whether a member's lost leg holds I/O: one that was let go fails it, and nobody waits for that one.
    pub(super) fn holds_writes(&self, member: &Member) -> bool {
        self.columns().any(|column| {
            let key = (partition_guid(member.replica, column), self.status.epoch);
            let queues = self.input.seen.maps.get(&key).is_some_and(|map| map.queueing);
            queues && matches!(self.leg(member, column), Leg::Lost(_))
        })
    }

    /// Whether anything may be asked of the arrays now.
    pub(super) fn may_touch_array(&self) -> Result<(), Refusal> {
        let queues = self.status.members.iter().find(|member| self.holds_writes(member));
        safety::may_touch_array(self.input, queues)
    }

    /// Since when a member has no working path, by the first column that lost it.
    pub(super) fn lost_since(&self, member: &Member) -> Option<Timestamp> {
        let since = |column| {
            let key = (partition_guid(member.replica, column), self.status.epoch);
            self.input.memory.lost_since.get(&key).copied()
        };
        self.columns().filter_map(since).min()
    }

    /// The worst of the columns that run: on the way up and down some do not.
    pub(super) fn in_kernel(&self, member: &Member) -> InKernel {
        let running = self.columns().filter(|column| self.array(*column).is_some());
        let states = running.map(|column| self.in_column(member, column));
        states.min().unwrap_or(InKernel::Absent)
    }

    pub(super) fn in_column(&self, member: &Member, column: u8) -> InKernel {
        let seen = self.leg(member, column).dev().and_then(|dev| self.array(column)?.member(dev));
        match seen {
            None => InKernel::Absent,
            Some(seen) if seen.is(MemberFlag::Faulty) => InKernel::Faulty,
            Some(seen) if seen.is(MemberFlag::InSync) => InKernel::InSync,
            Some(seen) if seen.slot.is_some() => InKernel::Recovering,
            Some(_) => InKernel::Spare,
        }
    }

    /// Whether the kernel threw a member out for what its drive said, as far as this daemon can know: its path works, and it
    /// was not let go.
    pub(super) fn has_failed(&self, member: &Member) -> bool {
        let let_go = &self.input.memory.let_go;
        !self.is_lost(member)
            && self.columns().all(|column| !let_go.contains(&partition_guid(member.replica, column)))
    }

    /// Whether the recorded in-sync set holds somebody else than `replica` whom the kernel has in sync and who works.
    pub(super) fn has_other_good(&self, replica: ReplicaId) -> bool {
        self.status.members.iter().any(|member| {
            member.replica != replica
                && self.status.in_sync.contains(&member.replica)
                && self.in_kernel(member) == InKernel::InSync
                && !self.is_lost(member)
        })
    }

    /// Takes a replica out of the in-sync set that is to be written. Never the last one.
    pub(super) fn drop_from_in_sync(&mut self, replica: ReplicaId, state: MemberState) {
        if self.next.in_sync.len() > 1 && self.next.in_sync.remove(&replica) {
            self.set_state(replica, state);
        }
    }

    pub(super) fn set_state(&mut self, replica: ReplicaId, state: MemberState) {
        let now = self.input.now;
        let Some(member) = self.next.members.iter_mut().find(|member| member.replica == replica) else {
            return;
        };
        if member.state != state {
            member.state = state;
            member.since = now;
        }
        if state == MemberState::Synced {
            member.waited_millis = 0;
        }
    }

    /// Notes whether a copy may hold writes that no other copy has.
    pub(super) fn set_diverged(&mut self, replica: ReplicaId, diverged: bool) {
        if let Some(member) = self.next.members.iter_mut().find(|member| member.replica == replica) {
            member.diverged = diverged;
        }
    }

    /// Adds a step unless it failed a moment ago: then the failure is the reason, and the plan wakes when it is due.
    pub(super) fn step(&mut self, step: Step) {
        if let Some(attempt) = self.input.memory.failed.get(&step.to_string()) {
            self.next.reasons.push(Reason::warning(
                "StepFails",
                format_args!("{step}: {}", attempt.failure.message),
                "it is tried again by itself; the message says what the kernel objects to",
            ));
        }
        self.plan.steps.push(step);
    }

    /// The step towards releasing a leg, or what it waits for. `true` once nothing is left of it.
    pub(super) fn release(&mut self, release: Release) -> bool {
        match release {
            Release::Gone => return true,
            Release::Next(step) => self.step(step),
            Release::Wait(reason, until) => {
                self.wait(reason);
                self.plan.wake(until);
            }
        }
        false
    }

    pub(super) fn wait(&mut self, reason: Reason) {
        self.next.reasons.push(reason);
    }

    pub(super) fn event(&mut self, reason: &str, message: impl std::fmt::Display) {
        push_event(&mut self.next, self.input.now, reason, message);
    }
}
