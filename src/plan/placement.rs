//! Where a new replica goes: filter, then score. Pure.

use std::collections::BTreeSet;

use crate::domain::{
    Bytes, DriveId, DriveState, DriveStatus, NodeName, PlacementEntry, Replica, SectorSize, VolumeSpec, World,
};

/// Bytes at the start of each partition that are not the volume's: superblock, bitmap, room for a longer bitmap.
pub const HEADER: Bytes = Bytes::mib(1);

/// What lies together in one column of a striped volume. Part of what is on disk, like [`HEADER`]: a volume that was written with
/// one chunk cannot be read with another, so a version that wants another one has to record it.
///
/// A request of the page cache's usual length (128 KiB of read-ahead) goes to one column and one provider, as one command;
/// a stream of 1 MiB is on eight of them at once. It divides the MiB that columns are whole in.
pub const CHUNK: Bytes = Bytes(128 << 10);

/// What has to be placed.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Partition size of each column, header included.
    pub partition_size: Bytes,
    /// Columns: as many drives of one node.
    pub columns: u8,
    /// Largest logical sector a drive may have.
    pub sector_size: SectorSize,
    /// Nodes that may not be chosen, each with the reason.
    pub taken: &'a [(NodeName, &'static str)],
    /// Bytes already promised on drives and not yet visible in their status.
    pub promised: &'a [(DriveId, Bytes)],
    /// Drives that may not be chosen, each with the reason.
    pub avoided: &'a [(DriveId, String)],
}

impl<'a> Request<'a> {
    /// What one more copy of a volume of this size needs.
    #[must_use]
    pub fn of(
        spec: &VolumeSpec,
        size: Bytes,
        taken: &'a [(NodeName, &'static str)],
        promised: &'a [(DriveId, Bytes)],
    ) -> Self {
        let partition_size = partition_size(size, spec.stripe_width);
        let (columns, sector_size) = (spec.stripe_width, spec.sector_size);
        Self { partition_size, columns, sector_size, taken, promised, avoided: &[] }
    }
}

/// A chosen place: one drive per column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Provider.
    pub node: NodeName,
    /// Its drives.
    pub drives: Vec<DriveId>,
}

/// Why a node was not chosen: `node-3: hosts a copy`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {why}")]
pub struct Unfit {
    /// The node.
    pub node: NodeName,
    /// Why not.
    pub why: String,
}

/// Why each node was not chosen, in one line.
#[must_use]
pub fn whys(unfit: &[Unfit]) -> String {
    unfit.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The best place, or why each node is not one. The node with most free space wins; names break ties.
pub fn choose(world: &World, request: &Request, entry: Option<&PlacementEntry>) -> Result<Place, Vec<Unfit>> {
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for (node, _) in world.nodes().filter(|(node, _)| entry.is_none_or(|entry| entry.node == *node)) {
        match on_node(world, request, &node, entry.and_then(|entry| entry.drive.as_ref())) {
            Ok((free, place)) => fit.push((free, place)),
            Err(why) => unfit.push(Unfit { node, why }),
        }
    }
    fit.sort_by(|(free, place), (other_free, other)| other_free.cmp(free).then(place.node.cmp(&other.node)));
    fit.into_iter().next().map(|(_, place)| place).ok_or(unfit)
}

fn on_node(
    world: &World,
    request: &Request,
    node: &NodeName,
    drive: Option<&DriveId>,
) -> Result<(Bytes, Place), String> {
    let drives = drives_on(world, request, node, drive)?;
    let free = drives.iter().map(|(free, _)| free.0).sum();
    let columns = usize::from(request.columns);
    let drives = drives.into_iter().take(columns).map(|(_, id)| id).collect();
    Ok((Bytes(free), Place { node: node.clone(), drives }))
}

/// The drives of a node with room, and how much each has, most first: at least one for each column.
pub(super) fn drives_on(
    world: &World,
    request: &Request,
    node: &NodeName,
    drive: Option<&DriveId>,
) -> Result<Vec<(Bytes, DriveId)>, String> {
    if let Some((_, why)) = request.taken.iter().find(|(taken, _)| taken == node) {
        return Err((*why).to_owned());
    }
    if world.node_spec(node).is_some_and(|spec| spec.cordoned) {
        return Err("cordoned".to_owned());
    }
    let (mut drives, whys) = usable_drives(world, request, node, drive)?;
    drives.sort_by(|(free, id), (other_free, other)| other_free.cmp(free).then(id.cmp(other)));
    let columns = usize::from(request.columns);
    if drives.len() < columns {
        let drives =
            if drives.len() == 1 { "1 drive".to_owned() } else { format!("{} drives", drives.len()) };
        let named = if drive.is_some() { "; name the node alone, its drives are chosen" } else { "" };
        let enough = format!("{drives} with room, {columns} needed{named}");
        return Err([enough].into_iter().chain(whys).collect::<Vec<_>>().join(", "));
    }
    Ok(drives)
}

/// How much a drive has, and which it is.
type Room = (Bytes, DriveId);

/// Those with room, and why the others have none.
fn usable_drives(
    world: &World,
    request: &Request,
    node: &NodeName,
    only: Option<&DriveId>,
) -> Result<(Vec<Room>, BTreeSet<String>), String> {
    let mut whys = BTreeSet::new();
    let mut drives = Vec::new();
    for (id, drive) in world.drives() {
        let Some(status) = drive.status.as_ref().filter(|status| status.node == *node) else { continue };
        if only.is_some_and(|only| *only != id) || (only.is_none() && drive.spec.is_none()) {
            continue;
        }
        let cordoned = drive.spec.as_ref().is_none_or(|spec| spec.cordoned || spec.removing);
        match fits(request, &id, status, cordoned) {
            Ok(free) => drives.push((free, id)),
            Err(why) => drop(whys.insert(why)),
        }
    }
    if drives.is_empty() {
        let missing =
            only.map_or_else(|| "no drive was added".to_owned(), |drive| format!("has no drive {drive}"));
        return Err(if whys.is_empty() { missing } else { whys.into_iter().collect::<Vec<_>>().join(", ") });
    }
    Ok((drives, whys))
}

fn fits(request: &Request, id: &DriveId, status: &DriveStatus, cordoned: bool) -> Result<Bytes, String> {
    let promised: u64 =
        request.promised.iter().filter(|(drive, _)| drive == id).map(|(_, bytes)| bytes.0).sum();
    let free = Bytes(status.largest_free.0.saturating_sub(promised));
    let avoided = request.avoided.iter().find(|(drive, _)| drive == id);
    if let Some((_, why)) = avoided {
        Err(format!("drive {id}: {why}"))
    } else if status.state != DriveState::Ready {
        Err(format!("drive {id}: {}", status.state))
    } else if cordoned {
        Err(format!("drive {id}: cordoned"))
    } else if status.read_only {
        Err(format!("drive {id}: read-only"))
    } else if status.sector_size > request.sector_size.bytes() {
        Err(format!(
            "drive {id}: {} byte sectors, {} wanted",
            status.sector_size,
            request.sector_size.bytes()
        ))
    } else if free < request.partition_size {
        Err(format!("drive {id}: {free} free of {} needed", request.partition_size))
    } else {
        Ok(free)
    }
}

/// What has been written into records and is not yet carved: it will not be promised twice.
#[must_use]
pub fn promised(world: &World) -> Vec<(DriveId, Bytes)> {
    let replicas: Vec<_> = world.replicas().collect();
    let known: BTreeSet<_> = replicas.iter().map(|replica| replica.spec.id).collect();
    let uncarved = replicas.iter().flat_map(|replica| {
        let missing = |(guid, drive): (uuid::Uuid, &DriveId)| (drive.clone(), missing(replica, guid));
        replica.spec.partitions().map(missing).filter(|(_, missing)| *missing > Bytes(0)).collect::<Vec<_>>()
    });
    let unwritten = world.volumes().flat_map(|volume| {
        let size = volume.status.as_ref().map_or(volume.spec.size, |status| status.target(&volume.spec));
        let size = partition_size(size, volume.spec.stripe_width);
        let members = volume.status.map(|status| status.members).unwrap_or_default();
        members
            .into_iter()
            .filter(|member| !known.contains(&member.replica))
            .flat_map(|member| member.drives)
            .map(move |drive| (drive, size))
            .collect::<Vec<_>>()
    });
    uncarved.chain(unwritten).collect()
}

/// What a column of a replica still needs of its drive. One that cannot grow where it lies moves, and needs nothing there.
fn missing(replica: &Replica, guid: uuid::Uuid) -> Bytes {
    let wanted = replica.spec.partition_size;
    let carved = replica.status.iter().flat_map(|status| &status.partitions);
    match carved.into_iter().find(|partition| partition.guid == guid) {
        None => wanted,
        Some(carved) if carved.is_crowded(wanted) => Bytes(0),
        Some(carved) => Bytes(wanted.0.saturating_sub(carved.size.0)),
    }
}

/// The partition each column of a replica needs.
#[must_use]
pub fn partition_size(volume_size: Bytes, columns: u8) -> Bytes {
    let column = volume_size.0.div_ceil(u64::from(columns.max(1)));
    let whole = column.checked_next_multiple_of(Bytes::MIB).unwrap_or(u64::MAX);
    Bytes(whole.saturating_add(HEADER.0))
}
