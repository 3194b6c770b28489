//! An array none of whose devices works any more: the drive with the last copy was pulled from below it. What uses the volume gets
//! errors, also once the drive is back: that has another number then.
//!
//! ```text
//! used -> told -> used by nobody, and the drive is back -> stopped -> started as ever
//! ```

use super::serving::Serving;
use super::{members, publish, stop};
use crate::domain::{Member, Reason};
use crate::plan::{ArraySeen, ArrayState, MemberFlag};

/// Says so, and stops the array once nobody uses it. `true` while there is nothing else to be done with it.
pub(super) fn plan(serving: &mut Serving) -> bool {
    let Some(member) = last_copy(serving) else { return false };
    serving.wait(told(serving, member));
    let is_back = serving.ready(member).is_some();
    if !is_back || is_used(serving) || serving.is_busy() {
        return false;
    }
    stop::take_down(serving);
    true
}

/// The recorded copy on this node whose device an array has not, while what it has is none of any copy.
fn last_copy<'a>(serving: &Serving<'a>) -> Option<&'a Member> {
    let is_dead =
        |column| serving.array(column).is_some_and(|array| has_nothing_else(serving, column, array));
    serving.columns().any(is_dead).then_some(())?;
    let here = |member: &&Member| member.node == *serving.input.me && !serving.is_unread(member);
    serving.status.members.iter().filter(here).find(|member| serving.status.in_sync.contains(&member.replica))
}

fn has_nothing_else(serving: &Serving, column: u8, array: &ArraySeen) -> bool {
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
    let drives: Vec<&str> = drives.iter().map(|drive| drive.as_str()).collect();
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
