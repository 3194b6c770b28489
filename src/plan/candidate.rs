//! Where a new copy goes in favour of which another one leaves its place: by the owner that builds it, and by the verb that
//! says so before.

use super::placement::{self, Place, Request, Unfit};
use super::{Input, Plan, evacuate, heal};
use crate::domain::{
    Bytes, DriveId, Member, NodeName, PlacementEntry, Record, ReplicaId, VolumeSpec, VolumeStatus, World,
};

/// Why a node that has a copy gets no other one.
pub(super) const HOSTS: &str = "hosts a copy";

/// Which nodes are asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Those without a copy; the node of the leaving one only if there is none.
    Others,
    /// The node of the leaving one: the data stays where it is used.
    Same,
}

/// A search for a place.
pub(super) struct Search<'a> {
    pub(super) world: &'a World,
    pub(super) spec: &'a VolumeSpec,
    pub(super) status: &'a VolumeStatus,
    /// The copy that goes.
    pub(super) leaving: &'a Member,
    /// Whether a node can be asked to build one.
    pub(super) alive: &'a dyn Fn(&NodeName) -> bool,
    /// Given away already, in records or by the same plan.
    pub(super) promised: &'a [(DriveId, Bytes)],
}

impl Search<'_> {
    /// The best place, or why each node has none.
    pub(super) fn place(&self, first: First) -> Result<Place, Vec<Unfit>> {
        let others = unavailable(self.world, self.status, self.alive);
        let same = |taken: &(NodeName, &'static str)| taken.0 != self.leaving.node;
        let all: Vec<_> = others.iter().filter(|taken| same(taken)).cloned().collect();
        if !self.may_stay_on_its_node() {
            return self.on(&others);
        }
        match first {
            First::Others => self.on(&others).or_else(|_| self.on(&all)),
            First::Same => {
                let nodes = self.world.nodes().map(|(node, _)| (node, "not asked yet"));
                let rest: Vec<_> = nodes.filter(|(node, _)| *node != self.leaving.node).collect();
                self.on(&rest).or_else(|_| self.on(&all))
            }
        }
    }

    fn may_stay_on_its_node(&self) -> bool {
        let beside =
            |member: &&Member| member.replica != self.leaving.replica && member.node == self.leaving.node;
        (self.alive)(&self.leaving.node) && !self.status.members.iter().any(|member| beside(&member))
    }

    fn on(&self, taken: &[(NodeName, &'static str)]) -> Result<Place, Vec<Unfit>> {
        let avoided = avoided(self.world, self.status, self.leaving);
        let request = Request {
            avoided: &avoided,
            ..Request::of(self.spec, self.status.target(self.spec), taken, self.promised)
        };
        placement::choose(self.world, &request, None)
    }
}

/// Nodes that host a copy already, one that still has to be erased among them, and those that do not answer.
pub(super) fn unavailable(
    world: &World,
    status: &VolumeStatus,
    alive: &dyn Fn(&NodeName) -> bool,
) -> Vec<(NodeName, &'static str)> {
    let hosts = status.members.iter().map(|member| (member.node.clone(), HOSTS));
    let silent = |(node, _): (NodeName, _)| (!alive(&node)).then_some((node, "does not answer"));
    hosts.chain(world.nodes().filter_map(silent)).collect()
}

/// Drives that were tried in vain and are still those they were, and those of the leaving copy.
fn avoided(world: &World, status: &VolumeStatus, leaving: &Member) -> Vec<(DriveId, String)> {
    let own = leaving.drives.iter().map(|drive| (drive.clone(), "has the copy that goes".to_owned()));
    tried(world, status).into_iter().chain(own).collect()
}

/// Drives that a copy at `entry` does not go to: one that the user names is tried whatever came of it before.
pub(super) fn barred(
    world: &World,
    status: &VolumeStatus,
    entry: Option<&PlacementEntry>,
) -> Vec<(DriveId, String)> {
    let named = entry.is_some_and(|entry| entry.drive.is_some());
    if named { Vec::new() } else { tried(world, status) }
}

/// What was tried in vain is forgotten once no new copy is wanted any more: the next one is begun for another reason.
pub(super) fn forget(world: &World, spec: &VolumeSpec, next: &mut VolumeStatus) {
    let is_wanted = next.relocation.is_some()
        || next.follow_owner
        || next.is_expanding(spec)
        || !next.is_placed(spec)
        || heal::lost(spec, next).is_some()
        || evacuate::due(world, next).is_some();
    if !is_wanted {
        next.tried.clear();
    }
}

/// Drives that were tried in vain and are still those they were, with what came of it.
fn tried(world: &World, status: &VolumeStatus) -> Vec<(DriveId, String)> {
    let same = |drive: &DriveId, guid| world.drive_spec(drive).is_some_and(|spec| spec.disk_guid == guid);
    let tried = status.tried.iter().filter(|tried| same(&tried.drive, tried.disk_guid));
    tried.map(|tried| (tried.drive.clone(), format!("tried in vain: {}", tried.why))).collect()
}

/// The place of a copy that joins in favour of `leaving`, as the owner chooses it now.
pub(super) fn place(
    input: &Input,
    (spec, status): (&VolumeSpec, &VolumeStatus),
    leaving: &Member,
    first: First,
    so_far: &Plan,
) -> Result<Place, Vec<Unfit>> {
    let promised = promised(input.world, so_far);
    let alive = |node: &NodeName| input.is_alive(node);
    Search { world: input.world, spec, status, leaving, alive: &alive, promised: &promised }.place(first)
}

/// What stands in records, and what the same plan has already given away.
fn promised(world: &World, so_far: &Plan) -> Vec<(DriveId, Bytes)> {
    let mut promised = placement::promised(world);
    for (spec, status) in begun(world, so_far) {
        let size = placement::partition_size(status.target(spec), status.columns(spec));
        let known: Vec<ReplicaId> = world
            .volume_status(&spec.name)
            .map(|stored| stored.members.iter().map(|member| member.replica).collect())
            .unwrap_or_default();
        let new = status.members.iter().filter(|member| !known.contains(&member.replica));
        promised.extend(new.flat_map(|member| &member.drives).map(|drive| (drive.clone(), size)));
    }
    promised
}

/// Volumes for which the plan so far begins a relocation.
pub(super) fn begun<'a>(
    world: &'a World,
    so_far: &'a Plan,
) -> impl Iterator<Item = (&'a VolumeSpec, &'a VolumeStatus)> {
    so_far.writes.iter().filter_map(|write| {
        let Some(Record::VolumeStatus(status)) = &write.record else { return None };
        let name = write.key.name.parse().ok()?;
        let stored = world.volume_status(&name)?;
        let new = stored.relocation.is_none() && status.relocation.is_some();
        new.then_some((world.volume_spec(&name)?, status))
    })
}
