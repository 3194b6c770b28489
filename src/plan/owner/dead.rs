//! An array none of whose devices works any more: the drive with the last copy was pulled from below it. What uses the volume gets
//! errors, also once the drive is back: that has another number then.
//!
//! ```text
//! used -> told -> used by nobody, and the drive is back -> stopped -> started as ever
//! ```

use super::serving::Serving;
use super::{members, publish, stop, top};
use crate::domain::{DriveId, Member, Reason};
use crate::plan::{ArraySeen, ArrayState, MemberFlag};

/// Says so, if it is so, and whose copy it was.
pub(super) fn tell<'a>(serving: &mut Serving<'a>) -> Option<&'a Member> {
    let member = last_copy(serving)?;
    serving.wait(told(serving, member));
    Some(member)
}

/// Says so, and stops the array once nobody uses it. `true` while there is nothing else to be done with it.
pub(super) fn plan(serving: &mut Serving) -> bool {
    let Some(member) = tell(serving) else { return false };
    let is_back = serving.ready(member).is_some();
    if !is_back || is_used(serving) || serving.is_busy() || serving.may_touch_array().is_err() {
        return false;
    }
    if top::unmap(serving) {
        // No other: what a new start brought up already stays.
        let dead = arrays(serving);
        stop::stop_arrays(serving, &dead);
    }
    true
}

/// The recorded copy on this node whose device an array has not, while what it has is none of any copy.
pub(super) fn last_copy<'a>(serving: &Serving<'a>) -> Option<&'a Member> {
    arrays(serving).first()?;
    let here = |member: &&Member| member.node == *serving.input.me && !serving.is_unread(member);
    serving.status.members.iter().filter(here).find(|member| serving.status.in_sync.contains(&member.replica))
}

/// Arrays of the volume none of whose devices is a copy's any more.
fn arrays<'a>(serving: &Serving<'a>) -> Vec<&'a ArraySeen> {
    let dead = |column| serving.array(column).filter(|array| is_dead(serving, column, array));
    serving.columns().filter_map(dead).collect()
}

fn is_dead(serving: &Serving, column: u8, array: &ArraySeen) -> bool {
    let devices = members::devices(serving, column);
    let mut good = array.members.iter().filter(|seen| seen.is(MemberFlag::InSync)).peekable();
    array.state != ArrayState::Inactive
        && good.peek().is_some()
        && good.all(|seen| !devices.contains(&seen.dev))
}

fn is_used(serving: &Serving) -> bool {
    publish::left(serving).is_some()
        || stop::mounted_here(serving).is_some()
        || stop::shown_here(serving).is_some()
}

fn told(serving: &Serving, member: &Member) -> Reason {
    let (volume, node, drives) = (&serving.spec.name, &member.node, &member.drives);
    let drives: Vec<&str> = drives.iter().map(DriveId::as_str).collect();
    let drives = drives.join(", ");
    let back = format!("put {drives} back into {node}, then ");
    let back = if serving.ready(member).is_some() { "" } else { back.as_str() };
    Reason::blocked(
        "LastCopyPulled",
        format_args!(
            "the last copy of {volume} was pulled from below it on {node} ({drives}): what uses it gets errors"
        ),
        format_args!(
            "{back}end what uses it and unmount or detach it: it starts anew from that copy, nothing that was acknowledged is lost"
        ),
    )
}
