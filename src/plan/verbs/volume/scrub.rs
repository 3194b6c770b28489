//! `volume scrub`

use super::precondition;
use crate::domain::{Record, ScrubRequest, VolumeName, VolumeSpec, World};
use crate::plan::verbs::{Refusal, Verdict, live_volume};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrub {
    /// Compare all copies now; make them equal, too, if `repair`.
    Begin {
        /// Write over what differs.
        repair: bool,
    },
    /// End what is under way.
    Stop,
    /// Compare them every so many seconds; 0: not by itself any more.
    Every(u64),
}

/// `volume scrub`. It is carried out by the volume's owner: one that nobody owns waits until it is attached.
pub fn scrub(world: &World, name: &VolumeName, what: Scrub) -> Result<Verdict, Refusal> {
    let (volume, status) = live_volume(world, name)?;
    let (spec, object) = (&volume.spec, format!("volume/{name}"));
    if volume.copies() < 2 && matches!(what, Scrub::Begin { .. }) {
        return Err(precondition(
            format_args!("volume {name} has one copy: there is nothing to compare it with"),
            format_args!("ask for a second one: `mdfabric volume edit {name} --replicas 2`"),
        ));
    }
    let generation = spec.scrub.generation + 1;
    let next = match what {
        Scrub::Begin { repair } => ScrubRequest { generation, repair, stop: false, ..spec.scrub.clone() },
        Scrub::Stop if status.scrub.running.is_none() && status.scrub.generation == spec.scrub.generation => {
            return Ok(Verdict::already(object));
        }
        Scrub::Stop => ScrubRequest { generation, stop: true, repair: false, ..spec.scrub.clone() },
        Scrub::Every(seconds) if seconds == spec.scrub.every_seconds => return Ok(Verdict::already(object)),
        Scrub::Every(every_seconds) => ScrubRequest { every_seconds, ..spec.scrub.clone() },
    };
    let waits = status.owner.is_none() && matches!(what, Scrub::Begin { .. });
    let chosen = waits.then(|| format!("volume {name} is not attached: it is compared as soon as it is"));
    let record = Record::VolumeSpec(VolumeSpec { scrub: next, ..spec.clone() });
    Ok(Verdict { chosen: chosen.into_iter().collect(), ..Verdict::write(object, name, record) })
}
