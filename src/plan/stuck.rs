//! Calls into the kernel that have not come back: which, since when, and what a person can do.
//!
//! A step runs on a lane of its own and nothing ends it but its own return. One whose call is overdue leaves its object Stuck
//! and nothing else: its lane is given no more steps, everybody else goes on; when the call does return, the object goes on too.
//!
//! How long it has been is said in rungs ("for over 2 min"), so that a record that says so is not written every second.

use super::safety::{self, Guard};
use super::{Input, Lane, Memory, Plan, Step, timing};
use crate::domain::{DriveId, NodeName, Reason, Timestamp};

/// The code of every reason and event of this kind.
pub const STUCK: &str = "Stuck";
/// The event when nothing of a volume is stuck any more.
pub const ANSWERED: &str = "Answered";

/// Somebody waits for the kernel to answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The call that has not returned and what it was made on (`BLKPG on /dev/nvme1n1`), where it is known.
    pub call: Option<String>,
    /// For how many milliseconds.
    pub millis: u64,
}

impl Step {
    /// In how many milliseconds each of its calls into the kernel is back, unless something is wrong.
    #[must_use]
    pub const fn deadline_millis(&self) -> u64 {
        match self {
            Self::Connect { .. } | Self::Disconnect { .. } => timing::CONTROLLER_CALL_MILLIS,
            Self::Mount { .. }
            | Self::Unmount { .. }
            | Self::Publish { .. }
            | Self::Unpublish { .. }
            | Self::GrowFs { .. }
            | Self::Format { .. } => timing::FILE_SYSTEM_CALL_MILLIS,
            Self::PrepareDrive { .. }
            | Self::RepairTable { .. }
            | Self::ReleaseDrive { .. }
            | Self::Carve { .. }
            | Self::Zero { .. }
            | Self::Erase { .. }
            | Self::GrowPartition { .. }
            | Self::ZeroTail { .. }
            | Self::Revalidate { .. }
            | Self::RemovePartition { .. }
            | Self::Export { .. }
            | Self::Fence { .. }
            | Self::MapLeg { .. }
            | Self::ReloadLeg { .. }
            | Self::ReinstateLeg { .. }
            | Self::HoldLeg { .. }
            | Self::FailLeg { .. }
            | Self::NoteAlone { .. }
            | Self::ForgetAlone { .. }
            | Self::UnmapLeg { .. }
            | Self::MapTop { .. }
            | Self::UnmapTop { .. }
            | Self::WriteHeaders { .. }
            | Self::ReadHeader { .. }
            | Self::Assemble { .. }
            | Self::SetWritable { .. }
            | Self::SetSlots { .. }
            | Self::AddMember { .. }
            | Self::SetWriteMostly { .. }
            | Self::FailMember { .. }
            | Self::RemoveMember { .. }
            | Self::GrowArray { .. }
            | Self::Thaw { .. }
            | Self::Compare { .. }
            | Self::Check { .. }
            | Self::StopArray { .. }
            | Self::MeasureUse { .. }
            | Self::ShutDown { .. }
            | Self::CutMember { .. }
            | Self::FindHolders { .. }
            | Self::EndProcesses { .. } => timing::CALL_MILLIS,
        }
    }
}

/// A step whose call is overdue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stuck<'a> {
    /// Which.
    pub step: &'a Step,
    /// What it is in, where that is known.
    pub call: Option<&'a str>,
    /// For how many milliseconds.
    pub millis: u64,
}

/// What a lane's step is in: the call that has not returned, else the step itself.
fn in_call<'a>(memory: &'a Memory, lane: &Lane, now: Timestamp) -> Option<Stuck<'a>> {
    let (step, began) = memory.running.get(lane)?;
    let (call, since) = match memory.calls.get(lane) {
        Some((call, since)) => (call.as_deref(), *since.max(began)),
        None => (None, *began),
    };
    Some(Stuck { step, call, millis: now.since(since) })
}

fn is_overdue(input: &Input, millis: u64, deadline: u64) -> bool {
    millis >= deadline && safety::is_on(input, Guard::Deadline)
}

/// The overdue step of a lane.
#[must_use]
pub fn of<'a>(input: &Input<'a>, lane: &Lane) -> Option<Stuck<'a>> {
    in_call(input.memory, lane, input.now)
        .filter(|stuck| is_overdue(input, stuck.millis, stuck.step.deadline_millis()))
}

impl Stuck<'_> {
    /// In words.
    #[must_use]
    pub fn reason(&self, me: &NodeName) -> Reason {
        let what = self.call.map_or_else(|| "it".to_owned(), ToOwned::to_owned);
        Reason::blocked(
            STUCK,
            format_args!(
                "{}: the kernel of {me} has not answered {what} for over {}",
                self.step,
                words(self.millis)
            ),
            advice(me),
        )
    }
}

/// Why nothing is done on a drive that does not answer; `None` while it does, or may be about to.
#[must_use]
pub fn drive(input: &Input, drive: &DriveId) -> Option<Reason> {
    let waiting = input.seen.drives.get(drive)?.unanswered.as_ref();
    let waiting = waiting.filter(|waiting| is_overdue(input, waiting.millis, timing::DRIVE_ANSWER_MILLIS));
    let of_lane = of(input, &Lane::Drive(drive.clone())).map(|stuck| stuck.reason(input.me));
    waiting.map(|waiting| silent(input.me, drive, waiting)).or(of_lane)
}

fn silent(me: &NodeName, drive: &DriveId, waiting: &Waiting) -> Reason {
    let what = waiting.call.as_deref().unwrap_or("a read");
    let age = words(waiting.millis);
    Reason::blocked(
        STUCK,
        format_args!(
            "drive {drive} does not answer: the kernel of {me} has not answered {what} for over {age}"
        ),
        advice(me),
    )
}

fn advice(me: &NodeName) -> String {
    format!(
        "nothing else waits for it and it goes on by itself when the call returns; what the device does stands in \
         the kernel log of {me} (dmesg); if it never returns, only a reboot of {me} ends the call"
    )
}

/// What is stuck on this node, and when something may become so or has been so for notably longer.
#[must_use]
pub fn plan(input: &Input) -> Plan {
    let mut plan = Plan::default();
    for lane in input.memory.running.keys() {
        let Some(stuck) = in_call(input.memory, lane, input.now) else { continue };
        let deadline = stuck.step.deadline_millis();
        plan.wake(wake(input.now, stuck.millis, deadline));
        plan.reasons.extend(of(input, lane).map(|stuck| stuck.reason(input.me)));
    }
    for (id, seen) in &input.seen.drives {
        if let Some(waiting) = &seen.unanswered {
            plan.wake(wake(input.now, waiting.millis, timing::DRIVE_ANSWER_MILLIS));
            plan.reasons.extend(drive(input, id));
        }
    }
    if let Some(waiting) = &input.memory.look {
        let what = waiting.call.as_deref().unwrap_or("a look at its state");
        plan.wake(input.now.plus(timing::LOOK_CALL_MILLIS));
        plan.reasons.push(Reason::blocked(
            STUCK,
            format_args!(
                "{}: the kernel has not answered {what} for over {}; nothing new is begun here until it does",
                input.me,
                words(waiting.millis)
            ),
            advice(input.me),
        ));
    }
    plan
}

fn wake(now: Timestamp, millis: u64, deadline: u64) -> Timestamp {
    let next = if millis < deadline { deadline } else { next_rung(millis) };
    now.plus(next - millis)
}

/// Ages that are told apart, in milliseconds and words.
const RUNGS: [(u64, &str); 13] = [
    (0, "a moment"),
    (5_000, "5 s"),
    (10_000, "10 s"),
    (20_000, "20 s"),
    (60_000, "1 min"),
    (120_000, "2 min"),
    (300_000, "5 min"),
    (600_000, "10 min"),
    (1_800_000, "30 min"),
    (3_600_000, "1 h"),
    (14_400_000, "4 h"),
    (43_200_000, "12 h"),
    (86_400_000, "1 day"),
];

fn words(millis: u64) -> &'static str {
    RUNGS.iter().rev().find(|(from, _)| *from <= millis).map_or("a moment", |(_, words)| words)
}

fn next_rung(millis: u64) -> u64 {
    let day = millis.saturating_add(86_400_000);
    RUNGS.iter().map(|(from, _)| *from).find(|from| *from > millis).unwrap_or(day)
}

#[cfg(test)]
mod tests;
