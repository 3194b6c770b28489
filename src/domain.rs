//! What is: identities, units, records and the words users see. No I/O, no clock.

mod attachment;
mod drive;
mod force;
mod growth;
mod id;
pub mod limits;
mod node;
mod reason;
mod replica;
mod scrub;
#[cfg(test)]
pub(crate) mod testing;
mod units;
mod volume;
mod world;

pub use attachment::{Attachment, MountRequest, Publication, Published};
pub use drive::{Drive, DriveSpec, DriveState, DriveStatus};
pub use force::Force;
pub use growth::Growth;
pub use id::{
    DriveId, Epoch, InvalidName, NodeName, ReplicaId, VolumeName, VolumeUid, array_device, array_uuid,
    host_id, host_nqn, is_array_of_ours, is_host_of_ours, is_map_of_ours, leg_map_name, leg_map_uuid,
    partition_guid, partition_of_map_uuid, subsystem_nqn, subsystem_parts, top_map_name, top_map_uuid,
    volume_of_map_uuid,
};
pub use node::{Node, NodeSpec, NodeStatus};
pub use reason::{Reason, Severity};
pub use replica::{
    Endpoint, ExportTo, PartitionRecord, Replica, ReplicaSpec, ReplicaState, ReplicaStatus, Wanted,
};
pub use scrub::{BadSchedule, ScrubReport, ScrubRequest, ScrubRun, ScrubStatus};
pub use units::{Bytes, InvalidSize, Timestamp, percent};
pub use volume::{
    ArrayReport, Event, FsType, Locality, MdState, Member, MemberState, MoveCause, MoveReport, OnStoreLoss,
    Placed, PlacementEntry, PlacementRequest, Relocation, SectorSize, Tried, Verify, Volume, VolumePhase,
    VolumeSpec, VolumeStatus,
};
pub use world::{Key, Kind, Lease, Record, Revision, Versioned, World};
