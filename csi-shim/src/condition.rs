//! Whether a volume is well, in CSI's words.

use crate::cluster::Volume;
use crate::wire::csi::VolumeCondition;
use crate::wire::mdfabric::{Reason, Severity};

/// Abnormal: it works with less safety than was asked for, or it waits for a person. What goes on by itself is normal.
#[must_use]
pub fn of(volume: Volume) -> VolumeCondition {
    let abnormal = volume.reasons().iter().any(is_abnormal) || is_degraded(volume);
    VolumeCondition { abnormal, message: message(volume) }
}

fn is_abnormal(reason: &Reason) -> bool {
    matches!(reason.severity(), Severity::Warning | Severity::Blocked)
}

/// Fewer copies hold every write than shall be. One that is not made yet lacks none.
fn is_degraded(volume: Volume) -> bool {
    let in_sync = volume.status.filter(|status| status.created).map(|status| status.in_sync.len());
    in_sync.is_some_and(|in_sync| in_sync < copies(volume))
}

fn copies(volume: Volume) -> usize {
    let placed = volume.status.and_then(|status| status.placed.as_ref());
    let due = placed
        .map_or(volume.spec.replicas, |placed| placed.before.unwrap_or(placed.copies).min(placed.copies));
    usize::try_from(due).unwrap_or(usize::MAX)
}

fn message(volume: Volume) -> String {
    let in_sync = volume.status.map_or(0, |status| status.in_sync.len());
    let state = format!("{in_sync} of {} copies hold every write", copies(volume));
    let why = volume.why("");
    if why.is_empty() { state } else { format!("{state}; {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mdfabric::{Placed, VolumeSpec, VolumeStatus};

    fn condition(in_sync: usize, severity: Option<Severity>, placed: Option<Placed>) -> VolumeCondition {
        let reason = |severity: Severity| Reason {
            code: "Why".to_owned(),
            severity: severity.into(),
            message: "because".to_owned(),
            next_step: String::new(),
        };
        let status = VolumeStatus {
            created: true,
            in_sync: vec!["r".to_owned(); in_sync],
            reasons: severity.map(reason).into_iter().collect(),
            placed,
            ..VolumeStatus::default()
        };
        let spec = VolumeSpec { replicas: 2, ..VolumeSpec::default() };
        of(Volume { spec: &spec, status: Some(&status) })
    }

    #[test]
    fn what_needs_a_person_or_lacks_a_copy_is_abnormal() {
        let well = condition(2, None, None);
        assert_eq!((well.abnormal, well.message.as_str()), (false, "2 of 2 copies hold every write"));
        assert!(!condition(2, Some(Severity::Waiting), None).abnormal);
        assert!(condition(2, Some(Severity::Warning), None).abnormal);
        let blocked = condition(2, Some(Severity::Blocked), None);
        assert!(blocked.abnormal && blocked.message.ends_with("; Why: because"), "{blocked:?}");
        assert!(condition(1, None, None).abnormal);
    }

    #[test]
    fn a_copy_more_that_is_being_filled_is_none_that_lacks() {
        let placed = |copies, before| Some(Placed { copies, before, ..Placed::default() });
        assert!(!condition(2, None, placed(3, Some(2))).abnormal);
        assert!(condition(2, None, placed(3, None)).abnormal);
        assert!(!condition(1, None, placed(1, Some(2))).abnormal);
    }
}
