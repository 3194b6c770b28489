//! What is said of each kind of object.

use super::{Facts, age};
use crate::domain::{
    Bytes, DriveId, DriveStatus, Event, Member, NodeName, NodeStatus, Reason, Relocation, ReplicaId, Volume,
    VolumeName, VolumeSpec, VolumeStatus, World, array_device, partition_guid,
};
use crate::plan::{self, controller};

/// How many events are told.
const EVENTS: usize = 8;

pub(super) fn volume(world: &World, facts: &Facts, name: &VolumeName) -> Vec<String> {
    let Some(volume) = world.volume(name) else { return Vec::new() };
    let mut lines = vec![what(&volume, facts)];
    match &volume.status {
        None => lines.push(unplaced(world, facts)),
        Some(status) => lines.extend(placed(world, facts, &volume, status)),
    }
    let about = about_volume(&volume);
    lines.extend(here(facts, &about, volume.status.as_ref().map_or(&[], |status| &status.reasons)));
    if let Some(status) = &volume.status {
        lines.extend(events(facts, &status.events));
    }
    lines
}

/// Why no place is found is known to the node that looks for one.
fn unplaced(world: &World, facts: &Facts) -> String {
    let who = match world.lease(controller::LEASE) {
        None => "no node leads the cluster yet".to_owned(),
        Some(lease) if lease.holder == *facts.me => format!("{} looks for them", facts.me),
        Some(lease) => format!("{0} looks for them; ask the daemon on {0} what is in the way", lease.holder),
    };
    format!("It is New: no places for its copies have been recorded yet; {who}.")
}

fn what(volume: &Volume, facts: &Facts) -> String {
    let spec = &volume.spec;
    let copies =
        if volume.copies() == 1 { "1 copy".to_owned() } else { format!("{} copies", volume.copies()) };
    let columns = match spec.stripe_width {
        0 | 1 => String::new(),
        columns => format!(" striped over {columns} drives each"),
    };
    let fs = format!("{:?}", spec.fs).to_lowercase();
    let going = if spec.deleting { "; it is being deleted" } else { "" };
    format!(
        "Volume {}: {}, {copies}{columns}, {fs}, asked for {} ago{going}.",
        spec.name,
        spec.size,
        age(facts.now, spec.created_at)
    )
}

fn placed(world: &World, facts: &Facts, volume: &Volume, status: &VolumeStatus) -> Vec<String> {
    let mut lines =
        vec![format!("It is {}{}.", status.phase, array(status)), ownership(facts, volume, status)];
    lines
        .extend(status.owner.as_ref().and_then(|owner| silent_owner(world, facts, &volume.spec.name, owner)));
    lines.extend(status.members.iter().map(|member| copy(world, facts, status, member)));
    lines.extend(status.relocation.as_ref().map(|relocation| under_way(facts, status, relocation)));
    lines.extend(scaling(&volume.spec, status));
    lines.extend(growth(facts, &volume.spec, status));
    lines.extend(last_move(facts, status));
    lines.extend(scrub(facts, &volume.spec, status));
    lines.extend(status.reasons.iter().map(reason));
    lines
}

fn array(status: &VolumeStatus) -> String {
    let sync = status.array.sync_permille.map(|permille| format!(", {} done", percent(permille)));
    match &status.array.device {
        Some(device) => format!("; array {device} is {}{}", status.array.state, sync.unwrap_or_default()),
        None => "; no array is running".to_owned(),
    }
}

fn ownership(facts: &Facts, volume: &Volume, status: &VolumeStatus) -> String {
    let wanted = volume.spec.attachment.as_ref().map(|attachment| &attachment.node);
    let mounted =
        status.array.mounted_at.as_ref().map(|path| format!(", mounted at {path}")).unwrap_or_default();
    let shown = status.published.iter().filter(|place| place.shown).map(|place| place.path.as_str());
    let shown: Vec<&str> = shown.collect();
    let shown = if shown.is_empty() { String::new() } else { format!(", published at {}", shown.join(", ")) };
    let mounted = mounted + &shown;
    match (&status.owner, wanted) {
        (Some(owner), wanted) => {
            let since = age(facts.now, status.claimed_at);
            let other = match wanted {
                Some(node) if node == owner => String::new(),
                Some(node) => format!("; it is to be attached on {node}"),
                None => "; nobody asked for it to be attached".to_owned(),
            };
            format!("{owner} has owned it for {since} (epoch {}){mounted}{other}.", status.epoch)
        }
        (None, Some(node)) => {
            format!("Nobody owns it; it is to be attached on {node} (last epoch {}).", status.epoch)
        }
        (None, None) => format!("Nobody owns it and it is not attached (last epoch {}).", status.epoch),
    }
}

/// For how long another node's daemon has been silent, if that is too long. Without a store nobody can be heard.
fn silence(facts: &Facts, node: &NodeName, status: &NodeStatus) -> Option<String> {
    let silent = plan::is_silent(status, facts.now);
    (silent && node != facts.me && facts.store_lost.is_none()).then(|| age(facts.now, status.heartbeat_at))
}

/// Nobody but the owner changes anything of a volume.
fn silent_owner(world: &World, facts: &Facts, name: &VolumeName, owner: &NodeName) -> Option<String> {
    let heard = silence(facts, owner, world.node_status(owner)?)?;
    Some(format!(
        "The daemon of its owner {owner} was last heard {heard} ago: where that node lives what uses it goes on, but no copy is healed, moved or added until that daemon is back. If the node is lost, `mdfabric volume detach {name}` and `mdfabric volume attach {name} --node OTHER` take it over."
    ))
}

fn copy(world: &World, facts: &Facts, status: &VolumeStatus, member: &Member) -> String {
    let drives: Vec<String> = member.drives.iter().map(ToString::to_string).collect();
    let provider = world.replica_status(&member.replica).map_or_else(
        || "its provider has not answered yet".to_owned(),
        |provider| format!("its provider says {} (epoch {})", provider.state, provider.acked_epoch),
    );
    let silent = world.node_status(&member.node).and_then(|status| silence(facts, &member.node, status));
    let silent = silent.map(|heard| format!(", and was last heard {heard} ago")).unwrap_or_default();
    let in_sync = if status.in_sync.contains(&member.replica) { "in sync" } else { "not in sync" };
    let waited = match member.waited_millis / 1000 {
        0 => String::new(),
        seconds => format!(", waited for {seconds} s"),
    };
    format!(
        "Copy on {} (drive {}) is {} for {}, {in_sync}{waited}; {provider}{silent}. It is replica/{}.",
        member.node,
        drives.join(", "),
        member.state.word(),
        age(facts.now, member.since),
        member.replica
    )
}

/// What was asked for and is not so yet, beyond the copy that comes or goes just now.
fn scaling(spec: &VolumeSpec, status: &VolumeStatus) -> Option<String> {
    if !status.has_taken_up(spec) {
        return Some("A change of its placement is asked for and has not begun.".to_owned());
    }
    let placed = status.placed.as_ref()?;
    let before = placed.before.filter(|before| *before != placed.copies)?;
    Some(format!("The number of its copies is being changed from {before} to {}.", placed.copies))
}

fn growth(facts: &Facts, spec: &VolumeSpec, status: &VolumeStatus) -> Option<String> {
    let has = status.usable(spec);
    match &status.growth {
        None => status
            .is_to_grow(spec)
            .then(|| format!("It is to grow from {has} to {}; no owner has taken that up yet.", spec.size)),
        Some(growth) => {
            let since = age(facts.now, growth.started_at);
            let how_far = if status.is_to_grow(spec) {
                format!("its array has {has}")
            } else {
                "its array has that, its file system not yet".to_owned()
            };
            Some(format!("It has been growing to {} for {since}: {how_far}.", growth.to))
        }
    }
}

fn under_way(facts: &Facts, status: &VolumeStatus, relocation: &Relocation) -> String {
    let node = |replica: Option<ReplicaId>| status.member(replica?).map(|member| &member.node);
    let since = age(facts.now, relocation.started_at);
    let progress = status.array.sync_permille.map(|permille| format!(", {} copied", percent(permille)));
    let verified = if relocation.joining.is_some() && relocation.verified { ", compared" } else { "" };
    let how_far = format!("{}{verified}", progress.unwrap_or_default());
    match (node(relocation.leaving), node(relocation.joining)) {
        (Some(from), Some(to)) if status.is_healing() => {
            format!("A copy has been built on {to} in place of the one on {from} for {since}{how_far}.")
        }
        (Some(from), Some(to)) if from == to => {
            format!("A copy has been moving within {to} for {since}{how_far}.")
        }
        (Some(from), Some(to)) => format!("A copy has been moving from {from} to {to} for {since}{how_far}."),
        (None, Some(to)) => format!("A copy has been joining on {to} for {since}{how_far}."),
        (Some(from), None) => format!("The copy on {from} has been leaving for {since}."),
        (None, None) => format!("A change of its copies has been ending for {since}."),
    }
}

fn last_move(facts: &Facts, status: &VolumeStatus) -> Option<String> {
    let report = status.last_move.as_ref()?;
    let what = match (&report.from, &report.to) {
        (Some(from), Some(to)) if from == to => format!("The last move, within {to},"),
        (Some(from), Some(to)) => format!("The last move, from {from} to {to},"),
        (None, Some(to)) => format!("The last change, a copy more on {to},"),
        (Some(from), None) => format!("The last change, a copy less on {from},"),
        (None, None) => "The last change".to_owned(),
    };
    Some(format!(
        "{what} ended {} ago and took {}.{} s.",
        age(facts.now, report.finished_at),
        report.millis / 1000,
        report.millis % 1000 / 100
    ))
}

fn scrub(facts: &Facts, spec: &VolumeSpec, status: &VolumeStatus) -> Vec<String> {
    let running = status.scrub.running.as_ref().map(|run| {
        let how = if run.repair { "compared and made equal" } else { "compared" };
        let (since, differ) = (age(facts.now, run.started_at), run.mismatched.0);
        format!(
            "Its copies have been {how} for {since}: {} behind, {differ} bytes that differ.",
            run.position
        )
    });
    let last = status.scrub.last.as_ref().map(|last| {
        let differ = match (last.mismatched.0, last.repaired) {
            (0, _) => "they were equal".to_owned(),
            (bytes, true) => format!("{bytes} bytes differed and were made equal"),
            (bytes, false) => format!("{bytes} bytes differed"),
        };
        format!("Its copies were compared {} ago: {differ}.", age(facts.now, last.finished_at))
    });
    let every = spec.scrub.every().map(|every| format!("They are compared every {every}."));
    running.into_iter().chain(last).chain(every).collect()
}

fn percent(permille: u16) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

fn reason(reason: &Reason) -> String {
    let next = if reason.next_step.is_empty() {
        String::new()
    } else {
        format!(" What to do: {}.", reason.next_step)
    };
    format!("{:?}: {}: {}.{next}", reason.severity, reason.code, reason.message)
}

fn events(facts: &Facts, events: &[Event]) -> Vec<String> {
    let skipped = events.len().saturating_sub(EVENTS);
    let line =
        |event: &Event| format!("{} ago: {}: {}", age(facts.now, event.at), event.reason, event.message);
    events.iter().skip(skipped).map(line).collect()
}

/// Texts that a step about the volume contains.
fn about_volume(volume: &Volume) -> Vec<String> {
    let columns = 0..volume.spec.stripe_width;
    let members = volume.status.iter().flat_map(|status| &status.members);
    let mut texts = vec![volume.spec.name.to_string()];
    texts.extend(columns.clone().map(|column| array_device(volume.spec.uid, column)));
    texts.extend(members.flat_map(|member| {
        columns.clone().map(move |column| partition_guid(member.replica, column).to_string())
    }));
    texts
}

/// What this node does, fails at and waits for about an object, beyond what was said already.
fn here(facts: &Facts, about: &[String], said: &[Reason]) -> Vec<String> {
    let concerns = |text: &str| about.iter().any(|word| has_word(text, word));
    let running = facts.running.iter().filter(|(step, _)| concerns(step));
    let failing = facts.failing.iter().filter(|(step, _, _)| concerns(step));
    let unsaid = |reason: &&Reason| concerns(&reason.message) && !said.contains(reason);
    let mut lines: Vec<String> = running
        .map(|(step, since)| format!("{} has been doing for {}: {step}.", facts.me, age(facts.now, *since)))
        .collect();
    lines.extend(failing.map(|(step, count, why)| {
        format!("{} failed {count} times in a row and tries again: {step}: {why}.", facts.me)
    }));
    lines.extend(facts.reasons.iter().filter(unsaid).map(reason));
    lines
}

/// Whether `word` stands in `text` with no letter, digit or `-` on either side.
fn has_word(text: &str, word: &str) -> bool {
    let joins = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    text.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        !joins(before) && !joins(text.as_bytes().get(at + word.len()))
    })
}

pub(super) fn replica(world: &World, facts: &Facts, id: &ReplicaId) -> Vec<String> {
    let Some(replica) = world.replica(id) else { return Vec::new() };
    let spec = &replica.spec;
    let drives: Vec<String> = spec.drives.iter().map(ToString::to_string).collect();
    let mut lines = vec![format!(
        "Replica {id}: the copy of volume {} on {}, {} on drive {}, wanted {:?}.",
        spec.volume,
        spec.node,
        spec.partition_size,
        drives.join(", "),
        spec.wanted
    )];
    lines.push(match &spec.export {
        Some(export) => {
            format!("It is to be served to {} (epoch {}) and to nobody else.", export.node, export.epoch)
        }
        None => "It is to be served to nobody.".to_owned(),
    });
    let member = world.volume_status(&spec.volume).and_then(|status| Some((status, status.member(*id)?)));
    lines.extend(member.map(|(status, member)| copy(world, facts, status, member)));
    match &replica.status {
        None => lines.push(format!("{} has not answered yet.", spec.node)),
        Some(status) => {
            let zeroed = if status.zeroed { "was zeroed and read back" } else { "was not zeroed yet" };
            lines.push(format!(
                "{} made {} partitions of it; it {zeroed}; state {} for {}.",
                spec.node,
                status.partitions.len(),
                status.state,
                age(facts.now, status.updated_at)
            ));
            lines.extend(status.reason.iter().map(reason));
        }
    }
    let about: Vec<String> = spec.partitions().map(|(guid, _)| guid.to_string()).collect();
    lines.extend(here(facts, &about, &[]));
    lines
}

pub(super) fn drive(world: &World, facts: &Facts, id: &DriveId) -> Vec<String> {
    let mut lines = match world.drive_status(id) {
        Some(status) => seen_drive(id, status),
        None => vec![format!("Drive {id} has not been reported by its node yet.")],
    };
    lines.push(match world.drive_spec(id) {
        None => format!("It was not added; `mdfabric drive add {id}` gives it to mdfabric."),
        Some(spec) if spec.removing => "It is being given back.".to_owned(),
        Some(spec) if spec.cordoned => "It is cordoned: no new copies are placed on it.".to_owned(),
        Some(spec) => format!("It was added on {} {} ago.", spec.node, age(facts.now, spec.added_at)),
    });
    let hosted = world.replicas().filter(|replica| replica.spec.drives.contains(id));
    lines.extend(hosted.map(|replica| {
        format!(
            "It hosts a copy of volume {} ({}, replica/{}).",
            replica.spec.volume, replica.spec.partition_size, replica.spec.id
        )
    }));
    lines.extend(here(facts, &[id.to_string()], &[]));
    lines
}

fn seen_drive(id: &DriveId, status: &DriveStatus) -> Vec<String> {
    let read_only = if status.read_only { ", read-only" } else { "" };
    let mut lines = vec![format!(
        "Drive {id} in {}: {}, {}, {} byte sectors, health {}{read_only}.",
        status.node, status.model, status.capacity, status.sector_size, status.health
    )];
    lines.push(if status.free == Bytes(0) {
        format!("It is {}.", status.state)
    } else {
        format!(
            "It is {}: {} allocated, {} free, the largest copy that fits has {}.",
            status.state, status.allocated, status.free, status.largest_free
        )
    });
    lines.extend((!status.found.is_empty()).then(|| format!("Found on it: {}.", status.found.join(", "))));
    lines.extend(status.message.iter().map(|message| format!("Its node says: {message}.")));
    lines
}

pub(super) fn node(world: &World, facts: &Facts, name: &NodeName) -> Vec<String> {
    let mut lines = match world.node_status(name) {
        Some(status) => reported_node(facts, name, status),
        None => vec![format!("Node {name}: its daemon has never reported.")],
    };
    if world.node_spec(name).is_some_and(|spec| spec.cordoned) {
        lines.push("It is cordoned: no new copies. What is attached here may be, and is served.".to_owned());
    }
    let owned =
        |volume: &Volume| volume.status.as_ref().is_some_and(|status| status.owner.as_ref() == Some(name));
    let volumes: Vec<String> =
        world.volumes().filter(owned).map(|volume| volume.spec.name.to_string()).collect();
    lines.extend((!volumes.is_empty()).then(|| format!("It owns {}.", volumes.join(", "))));
    let copies = world.replicas().filter(|replica| replica.spec.node == *name).count();
    lines.push(format!("It hosts {copies} copies."));
    let stands = facts.peers.iter().filter(|(node, _)| node == name);
    lines.extend(stands.map(|(_, words)| format!("As {} has it, {name} {words}.", facts.me)));
    if name == facts.me {
        lines.extend(this_node(facts));
    }
    lines
}

fn reported_node(facts: &Facts, name: &NodeName, status: &NodeStatus) -> Vec<String> {
    let mut lines = vec![format!(
        "Node {name}: kernel {}, mdfabric {}, its target at {}:{}.",
        status.kernel, status.version, status.endpoint.address, status.endpoint.port
    )];
    let heard = age(facts.now, status.heartbeat_at);
    lines.push(if silence(facts, name, status).is_some() {
        format!("Its last sign of life is {heard} old: its daemon, the node or its way to the store is down.")
    } else {
        format!("Its last sign of life is {heard} old.")
    });
    let missing = status.missing.join(", ");
    lines.extend((!missing.is_empty()).then(|| format!("Its kernel lacks: {missing}.")));
    lines
}

/// Everything this daemon does, fails at and waits for.
fn this_node(facts: &Facts) -> Vec<String> {
    let mut lines: Vec<String> =
        facts.leads.then(|| "It leads the cluster.".to_owned()).into_iter().collect();
    lines.extend(
        facts
            .running
            .iter()
            .map(|(step, since)| format!("It has been doing for {}: {step}.", age(facts.now, *since))),
    );
    lines.extend(
        facts
            .failing
            .iter()
            .map(|(step, count, why)| format!("It failed {count} times in a row: {step}: {why}.")),
    );
    lines.extend(facts.reasons.iter().map(reason));
    lines.extend(facts.foreign.iter().map(|what| format!("Not mdfabric's, and left alone: {what}.")));
    lines
}
