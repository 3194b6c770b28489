//! How large a volume could be that is asked for now. Pure.

use crate::domain::{Bytes, NodeName, SectorSize, World};
use crate::plan::placement::{self, HEADER, Request};
use crate::plan::verbs::{MAX_VOLUME, MIN_VOLUME};

/// What volumes are asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// Has one of the copies; `None`: whoever has room.
    pub node: Option<NodeName>,
    /// Copies, each on another node.
    pub replicas: u32,
    /// Columns, each on another drive of every node with a copy.
    pub stripe_width: u8,
    /// Sector size of the file system.
    pub sector_size: SectorSize,
}

/// What there is for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Free space, in however many pieces: of that node; of all nodes, once for each copy.
    pub free: Bytes,
    /// The largest volume that finds a place for every copy; 0 if the smallest finds none.
    pub largest: Bytes,
}

/// What one node has.
struct Room {
    node: NodeName,
    free: Bytes,
    largest: Bytes,
}

/// What there is by the records.
#[must_use]
pub fn of(world: &World, question: &Question) -> Capacity {
    let rooms = rooms(world, question);
    let copies = usize::try_from(question.replicas.max(1)).unwrap_or(usize::MAX);
    match &question.node {
        None => {
            let all: u64 = rooms.iter().map(|room| room.free.0).sum();
            let free = Bytes(all / u64::from(question.replicas.max(1)));
            Capacity { free, largest: nth(&rooms, copies) }
        }
        Some(node) => {
            let (here, others): (Vec<Room>, Vec<Room>) =
                rooms.into_iter().partition(|room| room.node == *node);
            let Some(here) = here.first() else { return Capacity::default() };
            let elsewhere = if copies == 1 { MAX_VOLUME } else { nth(&others, copies - 1) };
            Capacity { free: here.free, largest: here.largest.min(elsewhere) }
        }
    }
}

/// What so many nodes have at least.
fn nth(rooms: &[Room], count: usize) -> Bytes {
    let mut largest: Vec<Bytes> = rooms.iter().map(|room| room.largest).collect();
    largest.sort_unstable_by(|one, other| other.cmp(one));
    largest.get(count - 1).copied().unwrap_or_default()
}

fn rooms(world: &World, question: &Question) -> Vec<Room> {
    let promised = placement::promised(world);
    let columns = question.stripe_width.max(1);
    let request = Request {
        partition_size: placement::partition_size(MIN_VOLUME, columns),
        columns,
        sector_size: question.sector_size,
        taken: &[],
        promised: &promised,
        avoided: &[],
    };
    let room = |node: NodeName| {
        let drives = placement::drives_on(world, &request, &node, None).ok()?;
        let free: Vec<Bytes> = drives.into_iter().map(|(free, _)| free).collect();
        let column = whole(*free.get(usize::from(columns) - 1)?);
        let largest = Bytes(column.0 * u64::from(columns)).min(MAX_VOLUME);
        let free = Bytes(free.iter().map(|free| whole(*free).0).sum());
        Some(Room { node, free, largest })
    };
    world.nodes().filter_map(|(node, _)| room(node)).collect()
}

/// What is the volume's of so much of a drive.
fn whole(free: Bytes) -> Bytes {
    let usable = free.0.saturating_sub(HEADER.0);
    Bytes(usable - usable % Bytes::MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{drive_status, node_status, put};
    use crate::domain::{DriveSpec, DriveState, DriveStatus, NodeSpec, Record, Timestamp};

    fn node(index: u64) -> NodeName {
        format!("n{index}").parse().unwrap()
    }

    /// Drives of so many GiB and a few bytes, each on a node of that number.
    fn cluster(drives: &[(u64, u64)]) -> World {
        let mut world = World::default();
        for (index, (on, gib)) in drives.iter().enumerate() {
            let id = format!("S{index}");
            put(&mut world, node(*on), Record::NodeStatus(node_status(Timestamp(1))));
            let free = Bytes(Bytes::gib(*gib).0 + 4096);
            let status = DriveStatus { largest_free: free, ..drive_status(&node(*on), DriveState::Ready) };
            put(&mut world, &id, Record::DriveStatus(status));
            let spec = DriveSpec {
                id: id.parse().unwrap(),
                node: node(*on),
                disk_guid: uuid::Uuid::nil(),
                wipe: false,
                cordoned: false,
                evicting: false,
                removing: false,
                added_at: Timestamp(1),
            };
            put(&mut world, &id, Record::DriveSpec(spec));
        }
        world
    }

    fn largest(world: &World, on: Option<u64>, replicas: u32, stripe_width: u8) -> Bytes {
        let question =
            Question { node: on.map(node), replicas, stripe_width, sector_size: SectorSize::B4096 };
        of(world, &question).largest
    }

    fn less(gib: u64, mib: u64) -> Bytes {
        Bytes(Bytes::gib(gib).0 - Bytes::mib(mib).0)
    }

    #[test]
    fn every_copy_needs_a_node_of_its_own() {
        let world = cluster(&[(1, 9), (2, 5), (3, 7)]);
        let all: Vec<Bytes> = (1..=4).map(|copies| largest(&world, None, copies, 1)).collect();
        assert_eq!(all, [less(9, 1), less(7, 1), less(5, 1), Bytes(0)]);
        let with_one: Vec<Bytes> = (1..=4).map(|copies| largest(&world, Some(2), copies, 1)).collect();
        assert_eq!(with_one, [less(5, 1), less(5, 1), less(5, 1), Bytes(0)]);
        assert_eq!(largest(&world, Some(1), 2, 1), less(7, 1), "the other copy is on node 3");
    }

    #[test]
    fn every_column_needs_a_drive_of_its_own() {
        let world = cluster(&[(1, 9), (1, 4), (1, 6), (2, 20)]);
        assert_eq!(largest(&world, None, 1, 2), less(12, 2));
        assert_eq!(largest(&world, None, 1, 3), less(12, 3));
        assert_eq!(largest(&world, None, 2, 2), Bytes(0));
    }

    #[test]
    fn what_cannot_be_had_does_not_count() {
        let mut world = cluster(&[(1, 9), (2, 5)]);
        put(&mut world, node(1), Record::NodeSpec(NodeSpec { cordoned: true, ..NodeSpec::default() }));
        assert_eq!((largest(&world, Some(1), 1, 1), largest(&world, None, 1, 1)), (Bytes(0), less(5, 1)));
        assert_eq!(largest(&cluster(&[(1, 0)]), None, 1, 1), Bytes(0));
        assert_eq!(largest(&world, Some(7), 1, 1), Bytes(0));
    }

    #[test]
    fn what_the_largest_comes_to_can_be_created() {
        use crate::domain::VolumeUid;
        use crate::plan::verbs::{CreateVolume, create};
        let world = cluster(&[(1, 9), (1, 4), (2, 7), (2, 5)]);
        let size = largest(&world, None, 2, 2);
        let asked = |size| {
            let wish = CreateVolume { stripe_width: 2, ..CreateVolume::new("v".parse().unwrap(), size) };
            create(&world, &wish, VolumeUid(uuid::Uuid::nil()), Timestamp(1)).is_ok()
        };
        assert!(asked(size) && !asked(Bytes(size.0 + Bytes::mib(2).0)), "{size}");
    }
}
