//! `stripeWidth` is chosen when a volume is made. A record may be edited past the API: what it says then is refused by name, and nothing
//! is done by it ([`World::spec_as_made`]).

use crate::domain::limits::MAX_COLUMNS;
use crate::domain::{Reason, VolumeSpec, World};

const REFUSED: &str = "StripeWidthRefused";

/// Why the record says something else than what there is. `spec` says what there is.
pub(super) fn refused(world: &World, spec: &VolumeSpec) -> Option<Reason> {
    let (has, asked) = (spec.stripe_width, world.volume_spec(&spec.name)?.stripe_width);
    (has != asked).then(|| {
        Reason::warning(
            REFUSED,
            format_args!(
                "stripeWidth of a volume that was made is not changed: it has {has}; {asked} is asked for"
            ),
            format_args!(
                "write {has} into the record's stripeWidth again; a volume of another width is a new one"
            ),
        )
    })
}

/// Why a volume cannot be made as its record says.
pub(super) fn impossible(spec: &VolumeSpec) -> Option<Reason> {
    let asked = spec.stripe_width;
    (!(1..=MAX_COLUMNS).contains(&asked)).then(|| {
        Reason::blocked(
            REFUSED,
            format_args!("a volume has 1 to {MAX_COLUMNS} columns; stripeWidth {asked} is asked for"),
            format_args!("write one of 1 to {MAX_COLUMNS} into the record's stripeWidth"),
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall stop")]

    use super::*;
    use crate::domain::testing::{member, put, volume_spec};
    use crate::domain::{MemberState, Record, Timestamp, VolumeStatus};

    /// A volume whose copies have one column each, or that has none yet, and whose record says `width`.
    fn told(width: u8, is_made: bool) -> Option<Reason> {
        let mut world = World::default();
        let members = vec![member(1, "n1", MemberState::Synced, Timestamp(0))];
        let members = if is_made { members } else { Vec::new() };
        put(&mut world, "v", Record::VolumeSpec(VolumeSpec { stripe_width: width, ..volume_spec("v") }));
        put(&mut world, "v", Record::VolumeStatus(VolumeStatus { members, ..VolumeStatus::default() }));
        refused(&world, &world.volume(&"v".parse().unwrap()).unwrap().spec)
    }

    #[test]
    fn a_width_is_refused_once_there_are_copies_of_another() {
        assert_eq!((told(1, true), told(2, false)), (None, None));
        let reason = told(2, true).unwrap();
        assert!(reason.message.contains("it has 1; 2 is asked for"), "{reason:?}");
        assert!(reason.next_step.contains("write 1 into"), "{reason:?}");
    }

    #[test]
    fn no_volume_is_made_without_a_column_or_with_nine() {
        let of = |stripe_width| impossible(&VolumeSpec { stripe_width, ..volume_spec("v") });
        assert!([1, 8].into_iter().all(|width| of(width).is_none()));
        for width in [0, 9, 255] {
            let reason = of(width).unwrap();
            assert!(reason.message.contains(&format!("stripeWidth {width} is asked for")), "{reason:?}");
        }
    }
}
