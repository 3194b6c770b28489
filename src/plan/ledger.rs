//! The ledger: whose is what the kernel has? Ours and claimed by a record; ours, and no record knows it any more: left over,
//! and removed; somebody else's: never touched, and shown by `explain`.
//!
//! ```text
//! array left over:  nobody uses it -> legs that hold I/O let go -> stopped
//! stripes left over: nobody uses them -> taken away, then their arrays
//! leg left over:    in no array    -> map, then connection (`leg::release`: never a live controller of a silent peer)
//! export left over: fenced
//! ```
//!
//! What no record claims may be claimed by one that cannot be read: while there is such a record nothing is removed.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use super::safety::{self, Guard};
use super::{ArraySeen, Input, Observation, Plan, Step, Stranger, Thing, leg};
use crate::domain::{
    Key, Reason, VolumeName, VolumeUid, World, array_device, array_uuid, is_array_of_ours, leg_map_uuid,
    partition_guid, subsystem_nqn, top_map_uuid,
};

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Ours, and a record claims it.
    Wanted,
    /// Ours by its name, and no record knows it.
    LeftOver,
    /// Somebody else's.
    Foreign,
}

/// One thing in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Whose it is.
    pub standing: Standing,
    /// What it is, and what it is known by.
    pub what: Stranger,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stranger { thing, name, identity } = &self.what;
        let word = match thing {
            Thing::Connection => "connection",
            Thing::Export => "export",
            Thing::Map => "device-mapper device",
            Thing::Array => "array",
        };
        write!(f, "{word} {name}")?;
        if identity.is_empty() { Ok(()) } else { write!(f, " ({identity})") }
    }
}

/// What records claim.
struct Claims {
    /// Partitions that members of volumes have.
    legs: BTreeSet<Uuid>,
    /// Partitions that replicas have.
    exports: BTreeSet<Uuid>,
    arrays: BTreeSet<Uuid>,
    volumes: BTreeSet<VolumeUid>,
}

impl Claims {
    fn of(world: &World) -> Self {
        let mut claims = Self {
            legs: BTreeSet::new(),
            exports: BTreeSet::new(),
            arrays: BTreeSet::new(),
            volumes: BTreeSet::new(),
        };
        for volume in world.volumes() {
            let columns = 0..volume.spec.stripe_width;
            for member in volume.status.iter().flat_map(|status| &status.members) {
                claims.legs.extend(columns.clone().map(|column| partition_guid(member.replica, column)));
            }
            claims.volumes.insert(volume.spec.uid);
            claims.arrays.extend(columns.map(|column| array_uuid(volume.spec.uid, column)));
        }
        for replica in world.replicas() {
            claims.exports.extend(replica.spec.partitions().map(|(guid, _)| guid));
        }
        claims
    }

    fn array(&self, uuid: Uuid, array: &ArraySeen) -> Standing {
        if self.arrays.contains(&uuid) {
            Standing::Wanted
        } else if is_array_of_ours(&array.name, uuid) {
            Standing::LeftOver
        } else {
            Standing::Foreign
        }
    }
}

fn standing(claimed: bool) -> Standing {
    if claimed { Standing::Wanted } else { Standing::LeftOver }
}

/// Everything that was seen, each with whose it is.
#[must_use]
pub fn entries(world: &World, seen: &Observation) -> Vec<Entry> {
    let claims = Claims::of(world);
    let entry = |standing, thing, name: &str, identity: String| Entry {
        standing,
        what: Stranger { thing, name: name.to_owned(), identity },
    };
    let foreign = seen.strangers.iter().map(|what| Entry { standing: Standing::Foreign, what: what.clone() });
    let connections = seen.connections.iter().map(|((partition, epoch), connection)| {
        let nqn = subsystem_nqn(*partition, *epoch);
        entry(standing(claims.legs.contains(partition)), Thing::Connection, &connection.controller, nqn)
    });
    let maps = seen.maps.iter().map(|((partition, epoch), map)| {
        let (name, uuid) = (map.dev.to_string(), leg_map_uuid(*partition, *epoch));
        entry(standing(claims.legs.contains(partition)), Thing::Map, &name, uuid)
    });
    let tops = seen.tops.iter().map(|(volume, top)| {
        let name = top.dev.to_string();
        entry(standing(claims.volumes.contains(volume)), Thing::Map, &name, top_map_uuid(*volume))
    });
    let exports = seen.exports.keys().map(|(partition, epoch)| {
        let nqn = subsystem_nqn(*partition, *epoch);
        entry(standing(claims.exports.contains(partition)), Thing::Export, &nqn, String::new())
    });
    let arrays = seen
        .arrays
        .iter()
        .map(|(uuid, array)| entry(claims.array(*uuid, array), Thing::Array, &array.name, uuid.to_string()));
    foreign.chain(connections).chain(maps).chain(tops).chain(exports).chain(arrays).collect()
}

/// What is not ours, in words.
#[must_use]
pub fn foreign(world: &World, seen: &Observation) -> Vec<String> {
    let mut entries = entries(world, seen);
    entries.retain(|entry| entry.standing == Standing::Foreign);
    entries.sort();
    entries.iter().map(ToString::to_string).collect()
}

/// Takes away what is left over, each in its order.
pub(super) fn plan(input: &Input) -> Plan {
    let claims = Claims::of(input.world);
    let mut plan = Plan::default();
    exports(input, &claims, &mut plan);
    legs(input, &claims, &mut plan);
    tops(input, &claims, &mut plan);
    arrays(input, &claims, &mut plan);
    notes(input, &mut plan);
    match input.world.unreadable() {
        _ if plan == Plan::default() || !safety::is_on(input, Guard::RemoveLeftOver) => Plan::default(),
        Some(key) => stays(input, key),
        None => plan,
    }
}

/// What no record claims may be claimed by one that cannot be read.
fn stays(input: &Input, key: &Key) -> Plan {
    let left =
        entries(input.world, input.seen).into_iter().find(|entry| entry.standing == Standing::LeftOver);
    let reason = |first: Entry| {
        Reason::blocked(
            "RecordUnreadable",
            format_args!("{first} may be what record {key} speaks of, which cannot be read; it stays"),
            "restore the record from a backup of the store",
        )
    };
    Plan { reasons: left.map(reason).into_iter().collect(), ..Plan::default() }
}

/// Notes of ownerships that are over: whatever they speak of was decided without them.
fn notes(input: &Input, plan: &mut Plan) {
    for note in &input.seen.alone {
        let volume = input.world.volumes().find(|volume| volume.spec.uid == note.volume);
        let status = volume.and_then(|volume| volume.status);
        if status.is_none_or(|status| status.epoch > note.epoch) {
            plan.steps.push(Step::ForgetAlone { note: *note });
        }
    }
}

/// The kernel refuses to take those away that somebody uses, and to stop the arrays below them.
fn tops(input: &Input, claims: &Claims, plan: &mut Plan) {
    for uid in input.seen.tops.keys().filter(|uid| !claims.volumes.contains(uid)) {
        if let Ok(volume) = array_device(*uid, 0).replace('_', "-").parse() {
            plan.steps.push(Step::UnmapTop { volume, uid: *uid });
        }
    }
}

fn exports(input: &Input, claims: &Claims, plan: &mut Plan) {
    let left = input.seen.exports.keys().filter(|(partition, _)| !claims.exports.contains(partition));
    plan.steps.extend(left.map(|(partition, epoch)| Step::Fence { partition: *partition, epoch: *epoch }));
}

/// Those that an array still has go after it.
fn legs(input: &Input, claims: &Claims, plan: &mut Plan) {
    let seen = input.seen;
    let keys: BTreeSet<_> = seen.maps.keys().chain(seen.connections.keys()).collect();
    for key in keys.into_iter().filter(|(partition, _)| !claims.legs.contains(partition)) {
        if seen.maps.get(key).is_some_and(|map| seen.array_holding(map.dev).is_some()) {
            continue;
        }
        match leg::release(input, key.0, key.1) {
            leg::Release::Next(step) => plan.steps.push(step),
            leg::Release::Wait(reason, until) => {
                plan.reasons.push(reason);
                plan.wake(until);
            }
            leg::Release::Gone => {}
        }
    }
}

fn arrays(input: &Input, claims: &Claims, plan: &mut Plan) {
    for (uuid, array) in &input.seen.arrays {
        if claims.array(*uuid, array) == Standing::LeftOver
            && let Some(name) = stand_in(array)
        {
            stop(input, array, name, plan);
        }
    }
}

/// The name of the volume is not known: its array's name stands in for it.
fn stand_in(array: &ArraySeen) -> Option<VolumeName> {
    array.name.replace('_', "-").parse().ok()
}

/// An array that somebody uses stays, and so do its legs: letting go of what they hold would tell its users that it was
/// written. The kernel refuses to stop one that is open.
fn stop(input: &Input, array: &ArraySeen, name: VolumeName, plan: &mut Plan) {
    if let Some(mount) = input.seen.mounts.iter().find(|mount| mount.dev == array.dev) {
        return plan.reasons.push(used(array, &format!("is mounted at {}", mount.path)));
    }
    let held = held(input, array);
    if held.is_empty() {
        return plan.steps.push(Step::StopArray { volume: name, array: array.name.clone() });
    }
    let Some(users) = input.memory.users(&name, input.now) else {
        return plan.steps.push(Step::FindHolders { volume: name, devs: vec![array.dev] });
    };
    plan.wake(users.good_until());
    match users.holders.iter().find(|holder| holder.hears()) {
        Some(holder) => plan.reasons.push(used(array, &format!("is used by {}", holder.name()))),
        None => plan.steps.extend(held),
    }
}

/// What lets its legs go that hold I/O.
fn held(input: &Input, array: &ArraySeen) -> Vec<Step> {
    let maps = input.seen.maps.iter().filter(|(_, map)| array.member(map.dev).is_some());
    let held = maps.filter(|(key, _)| leg::holds(input, **key));
    held.map(|((partition, epoch), map)| Step::FailLeg {
        partition: *partition,
        epoch: *epoch,
        path: map.path,
        cut: None,
    })
    .collect()
}

fn used(array: &ArraySeen, how: &str) -> Reason {
    let name = &array.name;
    Reason::blocked(
        "LeftOverInUse",
        format_args!("{name} was mdfabric's, no record knows its volume any more, and it {how}"),
        format_args!("end the use of /dev/{name}: it is stopped then"),
    )
}
