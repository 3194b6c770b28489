//! What an owner does while the store is silent, and once it answers again: see [`crate::plan::alone`].

use super::members;
use super::serving::{InKernel, Serving};
use crate::domain::{Member, MemberState, OnStoreLoss, Reason};
use crate::plan::safety::{self, Guard};
use crate::plan::{Alone, Step, timing};

/// What was done without the store becomes record. A note that says what the record says, or that nothing came of, goes.
pub(super) fn settle(serving: &mut Serving) {
    let uid = serving.spec.uid;
    let notes: Vec<Alone> =
        serving.input.seen.alone.iter().filter(|note| note.volume == uid).copied().collect();
    for note in notes {
        match serving.status.member(note.replica).cloned() {
            Some(member) if binds(serving, &note) && !is_whole(serving, &member) => record(serving, &member),
            Some(_) | None => serving.step(Step::ForgetAlone { note }),
        }
    }
}

/// Whether the record does not know yet. Where it counts on that copy alone somebody ordered it: see `start::start_from`.
fn binds(serving: &Serving, note: &Alone) -> bool {
    let counted = &serving.status.in_sync;
    note.epoch == serving.status.epoch && counted.contains(&note.replica) && counted.len() > 1
}

/// The leg came back before it was let go: the copy lacks nothing.
fn is_whole(serving: &Serving, member: &Member) -> bool {
    serving.in_kernel(member) == InKernel::InSync && serving.is_settled(member)
}

fn record(serving: &mut Serving, member: &Member) {
    serving.drop_from_in_sync(member.replica, MemberState::Missing);
    serving.event(
        "WentOnAlone",
        format_args!(
            "the store did not answer when {} was lost; writes went on without its copy, as onStoreLoss says",
            member.node
        ),
    );
}

/// The smaller set cannot be recorded: writes wait, or go on by a note, as the user wants it.
pub(super) fn lose(serving: &mut Serving, member: &Member) {
    let (now, policy) = (serving.input.now, serving.spec.on_store_loss);
    let Some(since) = serving.input.memory.store.since() else { return };
    if safety::may_go_on_alone(serving.input, policy) {
        return go_on(serving, member);
    }
    if policy == OnStoreLoss::Continue {
        serving.plan.wake(since.plus(timing::STORE_LOST_MILLIS).max(now.plus(1000)));
    }
    let (name, seconds) = (&serving.spec.name, now.since(since) / 1000);
    serving.wait(Reason::blocked(
        "WritesWaitForStore",
        format_args!(
            "volume {name}: {} is out of reach and the store has not answered for {seconds}s: writes wait until it \
             is recorded that the copy there lacks them",
            member.node
        ),
        format_args!("bring the store or {} back; nothing is lost meanwhile", member.node),
    ));
}

/// The note takes the record's place: a later plan, which finds it, lets the copy go (`members::lost`).
fn go_on(serving: &mut Serving, member: &Member) {
    if !safety::is_on(serving.input, Guard::NoteBeforeAlone) {
        return members::let_go(serving, member);
    }
    let note = Alone { volume: serving.spec.uid, epoch: serving.status.epoch, replica: member.replica };
    serving.step(Step::NoteAlone { note });
}
