//! Verbs on volumes.

mod attach;
mod edit;
mod force;
mod grow;
mod publish;
mod scrub;

pub use attach::{At, attach, detach, detach_at, mount, mount_on, unmount, unmount_at};
pub use edit::{EditVolume, edit};
pub use force::{ForceStart, force_start};
pub use grow::{NewSize, grow};
pub use publish::{Publish, publish, unpublish};
pub use scrub::{Scrub, scrub};

use super::{
    MAX_COLUMNS, MAX_REPLICAS, MAX_VOLUME, MIN_VOLUME, Refusal, RefusalKind, Verdict, known_node, live_volume,
};
use crate::domain::limits::{MEMBER_MISSING_TIMEOUT_LEAST, MEMBER_MISSING_TIMEOUT_SECONDS, REPLICAS};
use crate::domain::{
    Bytes, DriveId, FsType, Locality, Member, MemberState, NodeName, OnStoreLoss, PlacementEntry,
    PlacementRequest, Record, ScrubRequest, SectorSize, Timestamp, Verify, VolumeName, VolumeSpec,
    VolumeStatus, VolumeUid, World,
};
use crate::plan::candidate;
use crate::plan::placement::{self, Request, Unfit};
use crate::plan::scale;

/// A wish for a volume, parsed but not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateVolume {
    /// Name.
    pub name: VolumeName,
    /// Usable size.
    pub size: Bytes,
    /// Copies.
    pub replicas: u32,
    /// Columns.
    pub stripe_width: u32,
    /// What it carries.
    pub fs: FsType,
    /// Sector size of the file system.
    pub sector_size: SectorSize,
    /// Seconds a lost replica is waited for.
    pub member_missing_timeout_seconds: u32,
    /// Whether data follows the owner.
    pub locality: Locality,
    /// Comparison before an old copy is dropped.
    pub verify: Verify,
    /// Behaviour without a store.
    pub on_store_loss: OnStoreLoss,
    /// Places, first copies first; the rest is chosen.
    pub placement: Vec<PlacementEntry>,
    /// Nodes that get the first copies if they have room, the most wanted first. Only without `placement`.
    pub prefer: Vec<NodeName>,
}

impl CreateVolume {
    /// A wish for `size` bytes where nothing else is said.
    #[must_use]
    pub fn new(name: VolumeName, size: Bytes) -> Self {
        Self {
            name,
            size,
            replicas: REPLICAS.into(),
            stripe_width: 1,
            fs: FsType::default(),
            sector_size: SectorSize::default(),
            member_missing_timeout_seconds: MEMBER_MISSING_TIMEOUT_SECONDS,
            locality: Locality::default(),
            verify: Verify::default(),
            on_store_loss: OnStoreLoss::default(),
            placement: Vec::new(),
            prefer: Vec::new(),
        }
    }
}

fn invalid(message: impl std::fmt::Display, next_step: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::InvalidArgument, message, next_step)
}

fn precondition(message: impl std::fmt::Display, next_step: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::FailedPrecondition, message, next_step)
}

/// `volume create`. The same wish again is already so; another one under the same name is a conflict.
pub fn create(
    world: &World,
    wish: &CreateVolume,
    uid: VolumeUid,
    now: Timestamp,
) -> Result<Verdict, Refusal> {
    let object = format!("volume/{}", wish.name);
    let spec = checked(wish, uid, now)?;
    if let Some(there) = world.volume_spec(&wish.name) {
        return if is_same(there, &spec) { Ok(Verdict::already(object)) } else { Err(conflict(there)) };
    }
    wish.placement.iter().try_for_each(|entry| known_node(world, &entry.node))?;
    let spec = if wish.placement.is_empty() { preferring(world, spec, &wish.prefer) } else { spec };
    has_room(world, &spec)?;
    Ok(Verdict::write(object, &wish.name, Record::VolumeSpec(spec)))
}

fn checked(wish: &CreateVolume, uid: VolumeUid, now: Timestamp) -> Result<VolumeSpec, Refusal> {
    let name = &wish.name;
    if wish.size < MIN_VOLUME {
        return Err(invalid(
            format_args!("volume {name}: size {} is too small", wish.size),
            format_args!("use at least {MIN_VOLUME}"),
        ));
    }
    if wish.size > MAX_VOLUME {
        return Err(invalid(
            format_args!("volume {name}: size {} is too large", wish.size),
            format_args!("use at most {MAX_VOLUME}"),
        ));
    }
    if !(1..=u32::from(MAX_REPLICAS)).contains(&wish.replicas) {
        return Err(invalid(
            format_args!("volume {name}: {} replicas", wish.replicas),
            format_args!("use 1 to {MAX_REPLICAS}"),
        ));
    }
    let stripe_width = checked_width(name, wish.stripe_width)?;
    check_whole(name, wish.size, stripe_width)?;
    check_timeout(name, wish.member_missing_timeout_seconds)?;
    if wish.placement.len() > wish.replicas as usize {
        return Err(invalid(
            format_args!("volume {name}: {} places for {} copies", wish.placement.len(), wish.replicas),
            "name at most one node per copy",
        ));
    }
    Ok(VolumeSpec {
        name: name.clone(),
        uid,
        created_at: now,
        size: wish.size,
        replicas: u8::try_from(wish.replicas).unwrap_or(MAX_REPLICAS),
        stripe_width,
        fs: wish.fs,
        sector_size: wish.sector_size,
        member_missing_timeout_seconds: wish.member_missing_timeout_seconds,
        locality: wish.locality,
        verify: wish.verify,
        on_store_loss: wish.on_store_loss,
        scrub: ScrubRequest::default(),
        attachment: None,
        placement: PlacementRequest { generation: 0, entries: wish.placement.clone() },
        deleting: false,
        forced: None,
    })
}

fn checked_width(name: &VolumeName, columns: u32) -> Result<u8, Refusal> {
    let allowed = u8::try_from(columns).ok().filter(|columns| (1..=MAX_COLUMNS).contains(columns));
    allowed.ok_or_else(|| {
        invalid(
            format_args!("volume {name}: stripeWidth {columns}"),
            format_args!("use 1 to {MAX_COLUMNS}: as many drives are needed on each node with a copy"),
        )
    })
}

/// Every column is whole MiB, so that nothing of any of them is lost.
fn check_whole(name: &VolumeName, size: Bytes, columns: u8) -> Result<(), Refusal> {
    let unit = Bytes::mib(u64::from(columns));
    if size.0.is_multiple_of(unit.0) {
        return Ok(());
    }
    let up = Bytes(size.0.div_ceil(unit.0) * unit.0).0 / Bytes::MIB;
    let of = if columns == 1 { "whole MiB".to_owned() } else { format!("whole MiB in {columns} columns") };
    Err(invalid(
        format_args!("volume {name}: size {} bytes is not {of}", size.0),
        format_args!("round it up to {up}MiB"),
    ))
}

fn check_timeout(name: &VolumeName, seconds: u32) -> Result<(), Refusal> {
    if seconds >= MEMBER_MISSING_TIMEOUT_LEAST {
        return Ok(());
    }
    Err(invalid(
        format_args!("volume {name}: memberMissingTimeout {seconds} s"),
        format_args!("use at least {MEMBER_MISSING_TIMEOUT_LEAST} s"),
    ))
}

fn is_same(there: &VolumeSpec, wish: &VolumeSpec) -> bool {
    let asked = |spec: &VolumeSpec| {
        (
            spec.size,
            spec.replicas,
            spec.stripe_width,
            spec.fs,
            spec.sector_size,
            spec.member_missing_timeout_seconds,
            spec.locality,
            spec.verify,
            spec.on_store_loss,
        )
    };
    asked(there) == asked(wish) && !there.deleting
}

fn conflict(there: &VolumeSpec) -> Refusal {
    let how = if there.deleting { "and is being deleted" } else { "with other properties" };
    Refusal::new(
        RefusalKind::AlreadyExists,
        format_args!(
            "there is a volume {} already {how}: {}, {} replicas, {:?}",
            there.name, there.size, there.replicas, there.fs
        ),
        "choose another name, or ask for exactly these properties",
    )
}

/// Whether every copy finds a place now; each node that is none says why.
fn has_room(world: &World, spec: &VolumeSpec) -> Result<(), Refusal> {
    let nodes = world.nodes().count();
    if nodes < usize::from(spec.replicas) {
        return Err(precondition(
            format_args!(
                "volume {}: {} replicas need as many nodes, there are {nodes}",
                spec.name, spec.replicas
            ),
            "add nodes or ask for fewer replicas",
        ));
    }
    let promised = placement::promised(world);
    let mut taken: Vec<(NodeName, &'static str)> = Vec::new();
    for index in 0..usize::from(spec.replicas) {
        let request = Request::of(spec, spec.size, &taken, &promised);
        let place = placement::choose(world, &request, spec.placement.entries.get(index))
            .map_err(|unfit| no_room(spec, index, &unfit))?;
        taken.push((place.node, "hosts another copy"));
    }
    Ok(())
}

/// The list of places begins with the nodes that are preferred and have room.
fn preferring(world: &World, mut spec: VolumeSpec, prefer: &[NodeName]) -> VolumeSpec {
    let promised = placement::promised(world);
    for node in prefer {
        let entry = PlacementEntry { node: node.clone(), drive: None };
        let request = Request::of(&spec, spec.size, &[], &promised);
        let full = spec.placement.entries.len() >= usize::from(spec.replicas);
        if !full
            && !spec.placement.entries.contains(&entry)
            && placement::choose(world, &request, Some(&entry)).is_ok()
        {
            spec.placement.entries.push(entry);
        }
    }
    spec
}

fn no_room(spec: &VolumeSpec, index: usize, unfit: &[Unfit]) -> Refusal {
    Refusal::new(
        RefusalKind::ResourceExhausted,
        format_args!(
            "volume {}: no place for copy {} of {}: {}",
            spec.name,
            index + 1,
            spec.replicas,
            placement::whys(unfit)
        ),
        "add a drive with `mdfabric drive add`, free space, or ask for less",
    )
}

/// `volume rm`. Gone already is already so.
pub fn delete(world: &World, name: &VolumeName) -> Result<Verdict, Refusal> {
    let object = format!("volume/{name}");
    let Some(spec) = world.volume_spec(name) else { return Ok(Verdict::already(object)) };
    if spec.deleting {
        return Ok(Verdict::already(object));
    }
    let status = world.volume_status(name);
    let attached = spec.attachment.as_ref().map(|attachment| &attachment.node);
    if let Some(node) = attached.or(status.and_then(|status| status.owner.as_ref())) {
        return Err(precondition(
            format_args!("volume {name} is attached on {node} and cannot be deleted"),
            format_args!("`mdfabric volume detach {name}` first"),
        ));
    }
    Ok(Verdict::write(object, name, Record::VolumeSpec(VolumeSpec { deleting: true, ..spec.clone() })))
}

/// `volume move --from --to`: one edit of the placement list.
pub fn move_replica(
    world: &World,
    name: &VolumeName,
    from: &NodeName,
    to: &NodeName,
    drive: Option<&DriveId>,
) -> Result<Verdict, Refusal> {
    let (volume, status) = live_volume(world, name)?;
    known_node(world, from)?;
    known_node(world, to)?;
    if let Some(done) = already_moving(&volume.spec, &status, from, to)? {
        return Ok(done);
    }
    movable(&volume.spec, &status, from, to)?;
    let entry = PlacementEntry { node: to.clone(), drive: drive.cloned() };
    let promised = placement::promised(world);
    let barred = candidate::barred(world, &status, Some(&entry));
    let request = Request {
        avoided: &barred,
        ..Request::of(&volume.spec, status.target(&volume.spec), &[], &promised)
    };
    placement::choose(world, &request, Some(&entry)).map_err(|unfit| {
        Refusal::new(
            RefusalKind::ResourceExhausted,
            format_args!("volume {name}: no room for a copy on {to}: {}", placement::whys(&unfit)),
            format_args!("free space on {to}, add a drive there, or choose another node"),
        )
    })?;
    let left_over: Vec<_> = scale::leftovers(&volume.spec, &status).map(|member| &member.node).collect();
    let stays = |member: &&Member| member.node != *from && !left_over.contains(&&member.node);
    let mut entries: Vec<_> =
        status.staying().filter(stays).map(|member| kept(&volume.spec, member)).collect();
    entries.push(entry);
    Ok(set_places(&volume.spec, entries))
}

/// A copy that stays where it is, as the list has it already.
fn kept(spec: &VolumeSpec, member: &Member) -> PlacementEntry {
    let listed = spec.placement.entries.iter().find(|entry| scale::is_at(member, entry));
    listed.cloned().unwrap_or_else(|| PlacementEntry { node: member.node.clone(), drive: None })
}

/// A new list, complete: as many copies as places.
fn set_places(spec: &VolumeSpec, entries: Vec<PlacementEntry>) -> Verdict {
    let replicas = u8::try_from(entries.len()).unwrap_or(MAX_REPLICAS);
    let placement = PlacementRequest { generation: spec.placement.generation + 1, entries };
    let next = VolumeSpec { replicas, placement, ..spec.clone() };
    Verdict::write(format_args!("volume/{}", spec.name), &spec.name, Record::VolumeSpec(next))
}

/// The very same move under way is already so; another one is refused.
fn already_moving(
    spec: &VolumeSpec,
    status: &VolumeStatus,
    from: &NodeName,
    to: &NodeName,
) -> Result<Option<Verdict>, Refusal> {
    let node = |replica| status.member(replica).map(|member| member.node.clone());
    let pending = !status.is_placed(spec);
    let Some(relocation) = &status.relocation else {
        return if pending { Err(moving(spec, "a change of its placement")) } else { Ok(None) };
    };
    let same = relocation.leaving.and_then(node).as_ref() == Some(from)
        && relocation.joining.and_then(node).as_ref() == Some(to);
    if same {
        return Ok(Some(Verdict::already(format!("volume/{}", spec.name))));
    }
    Err(moving(spec, "another move"))
}

fn moving(spec: &VolumeSpec, what: &str) -> Refusal {
    precondition(
        format_args!("volume {}: {what} is under way", spec.name),
        format_args!("wait for it: `mdfabric volume show {} -w`", spec.name),
    )
}

fn movable(spec: &VolumeSpec, status: &VolumeStatus, from: &NodeName, to: &NodeName) -> Result<(), Refusal> {
    let name = &spec.name;
    if from == to {
        return Err(invalid(
            format_args!("volume {name}: {from} and {to} are the same node"),
            "name another target",
        ));
    }
    if status.member_on(from).is_none_or(|member| member.state == MemberState::Leaving) {
        let nodes: Vec<_> = status.members.iter().map(|member| member.node.to_string()).collect();
        return Err(precondition(
            format_args!("volume {name} has no copy on {from}"),
            format_args!("its copies are on {}", nodes.join(", ")),
        ));
    }
    if scale::leftovers(spec, status).any(|member| member.node == *from) {
        return Err(precondition(
            format_args!("volume {name}: the copy on {from} is Faulty and none that counts"),
            format_args!("`mdfabric volume edit {name} --remove-replica {from}` drops it"),
        ));
    }
    if status.member_on(to).is_some() {
        return Err(precondition(
            format_args!("volume {name} has a copy on {to} already"),
            "choose a node without one",
        ));
    }
    Ok(())
}
