//! R1 to R5 of ARCHITECTURE.md as questions, and what keeps a node clean. Each guard is a pure function of records, observation and memory: it says yes,
//! or refuses; where somebody has to be told why, with a typed [`Refusal`].
//!
//! In tests every guard can be turned off ([`Guard`]): whatever searches for faults has to find the loss or the stall that
//! follows, else it would not find a mistake in that place either.

use super::Input;
use crate::domain::{
    Epoch, Key, Kind, Member, MemberState, NodeName, OnStoreLoss, Reason, ReplicaId, ReplicaSpec, VolumeName,
    VolumeSpec, VolumeStatus,
};

/// Makes the enum and the list of its variants out of one list: none can be forgotten.
macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What stands between a fault and the data, one by one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Guard {
            $($(#[$doc])* $name,)*
        }

        impl Guard {
            /// Every guard there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

guards! {
    /// R1: a member that the record counts on is not let go.
    RecordBeforeDegrade,
    /// R1: while a leg holds I/O nothing is asked of its array (KERNEL2.md, rule 3).
    NotWhileQueueing,
    /// R2: a copy that is still being filled does not count.
    JoinAfterProof,
    /// R2: a copy in whose favour another one goes is compared with the rest.
    Verification,
    /// R2: no copy goes while one that stays does not hold every write.
    OldCopyLast,
    /// R2: what a volume counts on is neither made anew nor erased, whatever the replica's own records say.
    WipeNothingCounted,
    /// R3: an array starts from the recorded copies, not from those that happen to be there.
    StartFromInSync,
    /// R3: a copy that an owner before could still write to does not come back by bitmap.
    FullAfterTakeover,
    /// R3: an array keeps a slot vacant for a copy that may come back by bitmap: with none, MD forgets what that one lacks.
    VacantSlot,
    /// R4: a provider cuts the owner before off, then it acknowledges the next one.
    FenceBeforeAcknowledge,
    /// R4: a provider does not serve what an array of its own node still holds.
    NotWhileHeld,
    /// R4: an owner uses no copy, its own neither, that has not acknowledged its epoch.
    UseAcknowledged,
    /// R5: while a loss cannot be recorded writes wait, unless the user wants it otherwise.
    WaitForStore,
    /// R5: what is let go without a record is noted on the owner's disk first.
    NoteBeforeAlone,
    /// R5: a node that lost a volume takes down what it has of it.
    StopWhenDeposed,
    /// R5: what holds I/O at that moment holds for good before anything is cut off beside it.
    HoldBeforeCut,
    /// R5: and lets held writes go only when nobody is left to whom they could be acknowledged.
    HoldUntilDown,
    /// The ledger: what is ours and no record knows goes.
    RemoveLeftOver,
    /// The deadline: who does not answer by then is not counted on any more.
    Deadline,
}

impl Guard {
    /// Those whose lack random faults hardly ever show, so that the model has to: a connection that is away and comes back by itself
    /// between two steps of an eviction is rare.
    pub const ONLY_IN_THE_MODEL: &[Self] = &[Self::HoldBeforeCut];
}

/// Whether a guard is on. It always is in what is shipped: there is no way to turn one off.
#[cfg(not(any(test, feature = "sabotage")))]
pub(super) const fn is_on(_: &Input, _: Guard) -> bool {
    true
}

/// Whether a guard is on.
#[cfg(any(test, feature = "sabotage"))]
pub(super) fn is_on(input: &Input, guard: Guard) -> bool {
    input.memory.sabotage != Some(guard)
}

/// Why something is not done yet, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The copy's provider has not cut earlier owners off.
    NotAcknowledged { node: NodeName, epoch: Epoch },
    /// A call on the volume is under way on the provider's own node.
    WorkedOn { node: NodeName, volume: VolumeName, epoch: Epoch },
    /// An array of the provider's own node holds the copy.
    Held { node: NodeName, array: String, epoch: Epoch },
    /// Nobody else holds every write.
    LastInSync,
    /// This one stays and does not hold every write, as far as is known.
    NotInSync { node: NodeName },
    /// The leg of this one holds I/O.
    LegQueues { node: NodeName },
    /// The copy holds what its volume counts on.
    Counts { volume: VolumeName, node: NodeName },
    /// A record that says whether it does cannot be read.
    Unread { key: Key },
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotAcknowledged { node, epoch } => Self::waiting(
                "WaitingForProvider",
                format_args!("waiting for {node} to make its replica and acknowledge epoch {epoch}"),
            ),
            Refusal::WorkedOn { node, volume, epoch } => Self::waiting(
                "HeldByEarlierOwner",
                format_args!("{node} still works on {volume}; epoch {epoch} waits"),
            ),
            Refusal::Held { node, array, epoch } => Self::waiting(
                "HeldByEarlierOwner",
                format_args!(
                    "{node} still runs {array} on this replica; it stops before epoch {epoch} is served"
                ),
            ),
            Refusal::LastInSync => {
                Self::waiting("LastInSync", "the last copy that holds every write does not go")
            }
            Refusal::NotInSync { node } => Self::waiting(
                "CopyNotInSync",
                format_args!("the copy on {node} does not hold every write yet; no copy goes before"),
            ),
            Refusal::Counts { volume, node } => Self::blocked(
                "CopyCounts",
                format_args!(
                    "volume {volume} counts on this copy: it is neither made anew nor erased, though the replica's records ask for it"
                ),
                format_args!(
                    "put the replica's records back; or give the copy up: `mdfabric volume edit {volume} --remove-replica {node}`"
                ),
            ),
            Refusal::Unread { key } => Self::blocked(
                "RecordUnreadable",
                format_args!("{key} cannot be read: this copy is neither made anew nor erased meanwhile"),
                "start a version of the daemon that can read it, or put it back",
            ),
            Refusal::LegQueues { node } => Self::waiting(
                "LegQueues",
                format_args!(
                    "the path to the copy on {node} is lost and holds I/O: nothing is asked of the array before it is back, or recorded as lost"
                ),
            ),
        }
    }
}

/// R1: a member may be let go once the stored record does not count on it any more.
pub(super) fn may_let_go(input: &Input, status: &VolumeStatus, replica: ReplicaId) -> bool {
    !status.in_sync.contains(&replica) || !is_on(input, Guard::RecordBeforeDegrade)
}

/// R2: a copy counts once the kernel has it in sync; one that is being filled does not.
pub(super) fn may_join(input: &Input, in_sync: bool, filling: bool) -> bool {
    in_sync || filling && !is_on(input, Guard::JoinAfterProof)
}

/// R1: while a leg holds I/O nothing is asked of its array: what writes superblocks would wait for that leg, with everybody who uses the
/// array behind it (KERNEL2.md, rule 3). `queues` is whose leg does.
pub(super) fn may_touch_array(input: &Input, queues: Option<&Member>) -> Result<(), Refusal> {
    let queues = queues.filter(|_| is_on(input, Guard::NotWhileQueueing));
    queues.map_or(Ok(()), |member| Err(Refusal::LegQueues { node: member.node.clone() }))
}

/// R1, R2: a copy may leave the set while somebody stays in it, and all who stay are `good` in the kernel.
pub(super) fn may_leave(
    input: &Input,
    status: &VolumeStatus,
    leaving: ReplicaId,
    good: impl Fn(&Member) -> bool,
) -> Result<(), Refusal> {
    if !is_on(input, Guard::OldCopyLast) {
        return Ok(());
    }
    let stays = |member: &&Member| member.replica != leaving && status.in_sync.contains(&member.replica);
    let mut others = status.members.iter().filter(stays).peekable();
    if others.peek().is_none() {
        return Err(Refusal::LastInSync);
    }
    match others.find(|member| !good(member)) {
        Some(member) => Err(Refusal::NotInSync { node: member.node.clone() }),
        None => Ok(()),
    }
}

/// R2: a copy may be made anew or erased while no volume counts on it, as far as records can be read that would say so.
pub(super) fn may_wipe(input: &Input, replica: &ReplicaSpec) -> Result<(), Refusal> {
    let world = input.world;
    let keys = [Key::new(Kind::VolumeSpec, &replica.volume), Key::new(Kind::VolumeStatus, &replica.volume)];
    let unread = keys.into_iter().find(|key| world.is_unreadable(key));
    let lives = |volume: &VolumeSpec| volume.uid == replica.volume_uid && !volume.deleting;
    let status = world.volume_spec(&replica.volume).filter(|volume| lives(volume));
    let status = status.and_then(|_| world.volume_status(&replica.volume));
    let counts = status.is_some_and(|status| status.created && status.in_sync.contains(&replica.id));
    let refusal = match unread {
        Some(key) => Refusal::Unread { key },
        None if counts => Refusal::Counts { volume: replica.volume.clone(), node: replica.node.clone() },
        None => return Ok(()),
    };
    if is_on(input, Guard::WipeNothingCounted) { Err(refusal) } else { Ok(()) }
}

/// R3: an array starts from the copies the record counts on, whether they are there or not.
pub(super) fn may_start_from(
    input: &Input,
    status: &VolumeStatus,
    replica: ReplicaId,
    is_there: impl Fn() -> bool,
) -> bool {
    if is_on(input, Guard::StartFromInSync) { status.in_sync.contains(&replica) } else { is_there() }
}

/// R3: by bitmap comes back only what was in sync, and what nobody else could write to since.
pub(super) fn may_return_by_bitmap(input: &Input, member: &Member) -> bool {
    let same_lineage = !member.diverged || !is_on(input, Guard::FullAfterTakeover);
    member.state == MemberState::Missing && same_lineage
}

/// R3: whether a slot has to stay vacant for a copy that is out of the array: the record counts on it, or it may come back by bitmap.
///
/// While a slot is vacant MD keeps every bit that it sets or copies by. As soon as all are taken, be it by somebody who is only being filled,
/// bits go (`still_degraded` of `raid1_sync_request`, `R1BIO_Degraded`, drivers/md/raid1.c), and only a write to a whole array notes that (`events_cleared`,
/// `md_bitmap_endwrite`): between, MD takes a copy back by a bitmap that has forgotten what it lacks.
pub(super) fn needs_vacant_slot(input: &Input, status: &VolumeStatus, out: &Member) -> bool {
    let comes_back = matches!(out.state, MemberState::Missing | MemberState::Faulty) && !out.diverged;
    (comes_back || status.in_sync.contains(&out.replica)) && is_on(input, Guard::VacantSlot)
}

/// R5: without a record writes go on only where the user wants that, and after the store was asked in vain for long enough.
pub(super) fn may_go_on_alone(input: &Input, policy: OnStoreLoss) -> bool {
    let is_wanted = policy == OnStoreLoss::Continue || !is_on(input, Guard::WaitForStore);
    is_wanted && input.memory.store.is_lost(input.now)
}

/// R4: a copy is used only after its provider has cut off whoever it was exported to before.
pub(super) fn may_use(input: &Input, member: &Member, epoch: Epoch) -> Result<(), Refusal> {
    let status = input.world.replica_status(&member.replica);
    let acknowledged = status.is_some_and(|status| status.acked_epoch >= epoch);
    if acknowledged || !is_on(input, Guard::UseAcknowledged) {
        return Ok(());
    }
    Err(Refusal::NotAcknowledged { node: member.node.clone(), epoch })
}
