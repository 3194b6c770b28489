//! Volumes.

use super::scrub::unless_default;
use super::{FieldError, Message, all, each, maybe, twins, words};
use crate::domain::{
    ArrayReport, Bytes, Epoch, Event, Force, Growth, Member, MoveReport, Placed, PlacementEntry,
    PlacementRequest, Reason, Relocation, Timestamp, Tried, VolumeSpec, VolumeStatus,
};
use crate::wire::proto;

twins! {
    FsType { Raw, Ext4, Xfs }
    SectorSize { B512, B4096 }
    Locality { Follow, Fixed }
    Verify { Sampled, Full, Off }
    OnStoreLoss { Suspend, Continue }
    VolumePhase { New, Requested, Syncing, Synced, Expanding, Replacing, Deleting }
    MdState { Stopped, Active, Clean, Degraded, Recovering, Checking, Waiting, Broken }
    MemberState { Joining, Syncing, Synced, Missing, Faulty, Leaving }
    MoveCause { Placement, FollowOwner, Heal, Evacuate, Expand }
    Severity { Waiting, Warning, Blocked }
}

impl From<PlacementEntry> for proto::PlacementEntry {
    fn from(value: PlacementEntry) -> Self {
        let PlacementEntry { node, drive } = value;
        Self { node: node.into(), drive: drive.map(Into::into) }
    }
}

impl TryFrom<proto::PlacementEntry> for PlacementEntry {
    type Error = FieldError;

    fn try_from(wire: proto::PlacementEntry) -> Result<Self, FieldError> {
        let of = Message("PlacementEntry");
        Ok(Self {
            node: of.text("node", &wire.node)?,
            drive: of.optional_text("drive", wire.drive.as_ref())?,
        })
    }
}

impl From<PlacementRequest> for proto::PlacementRequest {
    fn from(value: PlacementRequest) -> Self {
        let PlacementRequest { generation, entries } = value;
        Self { generation, entries: each(entries) }
    }
}

impl TryFrom<proto::PlacementRequest> for PlacementRequest {
    type Error = FieldError;

    fn try_from(wire: proto::PlacementRequest) -> Result<Self, FieldError> {
        let proto::PlacementRequest { generation, entries } = wire;
        Ok(Self { generation, entries: all(entries)? })
    }
}

impl From<VolumeSpec> for proto::VolumeSpec {
    fn from(value: VolumeSpec) -> Self {
        Self {
            name: value.name.into(),
            uid: value.uid.to_string(),
            created_at_millis: value.created_at.0,
            size_bytes: value.size.0,
            replicas: value.replicas.into(),
            stripe_width: value.stripe_width.into(),
            fs: proto::FsType::from(value.fs).into(),
            sector_size: proto::SectorSize::from(value.sector_size).into(),
            member_missing_timeout_seconds: value.member_missing_timeout_seconds,
            locality: proto::Locality::from(value.locality).into(),
            verify: proto::Verify::from(value.verify).into(),
            on_store_loss: proto::OnStoreLoss::from(value.on_store_loss).into(),
            attachment: value.attachment.map(Into::into),
            placement: Some(value.placement.into()),
            deleting: value.deleting,
            forced: value.forced.map(Into::into),
            scrub: unless_default(value.scrub),
        }
    }
}

impl TryFrom<proto::VolumeSpec> for VolumeSpec {
    type Error = FieldError;

    fn try_from(wire: proto::VolumeSpec) -> Result<Self, FieldError> {
        let of = Message("VolumeSpec");
        Ok(Self {
            name: of.text("name", &wire.name)?,
            uid: of.text("uid", &wire.uid)?,
            created_at: Timestamp(wire.created_at_millis),
            size: Bytes(wire.size_bytes),
            replicas: of.number("replicas", wire.replicas)?,
            stripe_width: of.number("stripe_width", wire.stripe_width)?,
            fs: of.chosen("fs", wire.fs)?,
            sector_size: of.chosen("sector_size", wire.sector_size)?,
            member_missing_timeout_seconds: wire.member_missing_timeout_seconds,
            locality: of.chosen("locality", wire.locality)?,
            verify: of.chosen("verify", wire.verify)?,
            on_store_loss: of.chosen("on_store_loss", wire.on_store_loss)?,
            attachment: maybe(wire.attachment)?,
            placement: of.required("placement", wire.placement)?.try_into()?,
            deleting: wire.deleting,
            forced: maybe(wire.forced)?,
            scrub: wire.scrub.map(Into::into).unwrap_or_default(),
        })
    }
}

impl From<Force> for proto::Force {
    fn from(Force { replica, epoch, by, at }: Force) -> Self {
        Self { replica: replica.to_string(), epoch: epoch.0, by, at_millis: at.0 }
    }
}

impl TryFrom<proto::Force> for Force {
    type Error = FieldError;

    fn try_from(wire: proto::Force) -> Result<Self, FieldError> {
        let replica = Message("Force").text("replica", &wire.replica)?;
        Ok(Self { replica, epoch: Epoch(wire.epoch), by: wire.by, at: Timestamp(wire.at_millis) })
    }
}

impl From<Member> for proto::Member {
    fn from(value: Member) -> Self {
        Self {
            replica: value.replica.to_string(),
            node: value.node.into(),
            drives: words(value.drives),
            dev_number: value.dev_number,
            state: proto::MemberState::from(value.state).into(),
            since_millis: value.since.0,
            diverged: value.diverged,
            waited_millis: value.waited_millis,
        }
    }
}

impl TryFrom<proto::Member> for Member {
    type Error = FieldError;

    fn try_from(wire: proto::Member) -> Result<Self, FieldError> {
        let of = Message("Member");
        Ok(Self {
            replica: of.text("replica", &wire.replica)?,
            node: of.text("node", &wire.node)?,
            drives: of.texts("drives", &wire.drives)?,
            dev_number: wire.dev_number,
            state: of.chosen("state", wire.state)?,
            since: Timestamp(wire.since_millis),
            diverged: wire.diverged,
            waited_millis: wire.waited_millis,
        })
    }
}

impl From<Relocation> for proto::Relocation {
    fn from(value: Relocation) -> Self {
        Self {
            joining: value.joining.map(|replica| replica.to_string()),
            leaving: value.leaving.map(|replica| replica.to_string()),
            from: value.from.map(Into::into),
            cause: proto::MoveCause::from(value.cause).into(),
            started_at_millis: value.started_at.0,
            verified: value.verified,
        }
    }
}

impl TryFrom<proto::Relocation> for Relocation {
    type Error = FieldError;

    fn try_from(wire: proto::Relocation) -> Result<Self, FieldError> {
        let of = Message("Relocation");
        Ok(Self {
            joining: of.optional_text("joining", wire.joining.as_ref())?,
            leaving: of.optional_text("leaving", wire.leaving.as_ref())?,
            from: of.optional_text("from", wire.from.as_ref())?,
            cause: of.chosen("cause", wire.cause)?,
            started_at: Timestamp(wire.started_at_millis),
            verified: wire.verified,
        })
    }
}

impl From<Tried> for proto::Tried {
    fn from(Tried { drive, disk_guid, why }: Tried) -> Self {
        Self { drive: drive.to_string(), disk_guid: disk_guid.to_string(), why }
    }
}

impl TryFrom<proto::Tried> for Tried {
    type Error = FieldError;

    fn try_from(wire: proto::Tried) -> Result<Self, FieldError> {
        let of = Message("Tried");
        Ok(Self {
            drive: of.text("drive", &wire.drive)?,
            disk_guid: of.text("disk_guid", &wire.disk_guid)?,
            why: wire.why,
        })
    }
}

impl From<MoveReport> for proto::MoveReport {
    fn from(value: MoveReport) -> Self {
        Self {
            from: value.from.map(Into::into),
            to: value.to.map(Into::into),
            millis: value.millis,
            copied_bytes: value.copied.0,
            finished_at_millis: value.finished_at.0,
        }
    }
}

impl TryFrom<proto::MoveReport> for MoveReport {
    type Error = FieldError;

    fn try_from(wire: proto::MoveReport) -> Result<Self, FieldError> {
        let of = Message("MoveReport");
        Ok(Self {
            from: of.optional_text("from", wire.from.as_ref())?,
            to: of.optional_text("to", wire.to.as_ref())?,
            millis: wire.millis,
            copied: Bytes(wire.copied_bytes),
            finished_at: Timestamp(wire.finished_at_millis),
        })
    }
}

impl From<Placed> for proto::Placed {
    fn from(value: Placed) -> Self {
        let Placed { generation, replicas, entries, copies, before } = value;
        Self {
            generation,
            replicas: replicas.into(),
            entries: each(entries),
            copies: copies.into(),
            before: before.map(Into::into),
        }
    }
}

impl TryFrom<proto::Placed> for Placed {
    type Error = FieldError;

    fn try_from(wire: proto::Placed) -> Result<Self, FieldError> {
        let of = Message("Placed");
        Ok(Self {
            generation: wire.generation,
            replicas: of.number("replicas", wire.replicas)?,
            entries: all(wire.entries)?,
            copies: of.number("copies", wire.copies)?,
            before: wire.before.map(|before| of.number("before", before)).transpose()?,
        })
    }
}

impl From<ArrayReport> for proto::ArrayReport {
    fn from(value: ArrayReport) -> Self {
        Self {
            state: proto::MdState::from(value.state).into(),
            sync_permille: value.sync_permille.map(Into::into),
            device: value.device,
            mounted_at: value.mounted_at,
        }
    }
}

impl TryFrom<proto::ArrayReport> for ArrayReport {
    type Error = FieldError;

    fn try_from(wire: proto::ArrayReport) -> Result<Self, FieldError> {
        let of = Message("ArrayReport");
        Ok(Self {
            state: of.chosen("state", wire.state)?,
            sync_permille: wire
                .sync_permille
                .map(|permille| of.number("sync_permille", permille))
                .transpose()?,
            device: wire.device,
            mounted_at: wire.mounted_at,
        })
    }
}

impl From<Reason> for proto::Reason {
    fn from(value: Reason) -> Self {
        let Reason { code, severity, message, next_step } = value;
        Self { code, severity: proto::Severity::from(severity).into(), message, next_step }
    }
}

impl TryFrom<proto::Reason> for Reason {
    type Error = FieldError;

    fn try_from(wire: proto::Reason) -> Result<Self, FieldError> {
        let severity = Message("Reason").chosen("severity", wire.severity)?;
        Ok(Self { code: wire.code, severity, message: wire.message, next_step: wire.next_step })
    }
}

impl From<Event> for proto::Event {
    fn from(value: Event) -> Self {
        let Event { at, reason, message } = value;
        Self { at_millis: at.0, reason, message }
    }
}

impl TryFrom<proto::Event> for Event {
    type Error = FieldError;

    fn try_from(wire: proto::Event) -> Result<Self, FieldError> {
        let proto::Event { at_millis, reason, message } = wire;
        Ok(Self { at: Timestamp(at_millis), reason, message })
    }
}

impl From<Growth> for proto::Growth {
    fn from(value: Growth) -> Self {
        let Growth { to, started_at } = value;
        Self { to_bytes: to.0, started_at_millis: started_at.0 }
    }
}

impl TryFrom<proto::Growth> for Growth {
    type Error = FieldError;

    fn try_from(wire: proto::Growth) -> Result<Self, FieldError> {
        Ok(Self { to: Bytes(wire.to_bytes), started_at: Timestamp(wire.started_at_millis) })
    }
}

impl From<VolumeStatus> for proto::VolumeStatus {
    fn from(value: VolumeStatus) -> Self {
        Self {
            phase: proto::VolumePhase::from(value.phase).into(),
            epoch: value.epoch.0,
            owner: value.owner.map(Into::into),
            claimed_at_millis: value.claimed_at.0,
            taken_over: value.taken_over,
            forced: value.forced.0,
            in_sync: words(value.in_sync),
            members: each(value.members),
            members_made: value.members_made,
            created: value.created,
            size_bytes: value.size.map(|size| size.0),
            growth: value.growth.map(Into::into),
            formatted: value.formatted,
            placement_generation: value.placement_generation,
            placed: value.placed.map(Into::into),
            follow_owner: value.follow_owner,
            relocation: value.relocation.map(Into::into),
            mount_path: value.mount_path,
            published: each(value.published),
            used_bytes: value.used.map(|used| used.0),
            last_move: value.last_move.map(Into::into),
            tried: each(value.tried),
            scrub: unless_default(value.scrub),
            array: Some(value.array.into()),
            reasons: each(value.reasons),
            events: each(value.events),
        }
    }
}

impl TryFrom<proto::VolumeStatus> for VolumeStatus {
    type Error = FieldError;

    fn try_from(wire: proto::VolumeStatus) -> Result<Self, FieldError> {
        let of = Message("VolumeStatus");
        Ok(Self {
            phase: of.chosen("phase", wire.phase)?,
            epoch: Epoch(wire.epoch),
            owner: of.optional_text("owner", wire.owner.as_ref())?,
            claimed_at: Timestamp(wire.claimed_at_millis),
            taken_over: wire.taken_over,
            forced: Epoch(wire.forced),
            in_sync: of.texts("in_sync", &wire.in_sync)?,
            members: all(wire.members)?,
            members_made: wire.members_made,
            created: wire.created,
            size: wire.size_bytes.map(Bytes),
            growth: maybe(wire.growth)?,
            formatted: wire.formatted,
            placement_generation: wire.placement_generation,
            placed: maybe(wire.placed)?,
            follow_owner: wire.follow_owner,
            relocation: maybe(wire.relocation)?,
            mount_path: wire.mount_path,
            published: wire.published.into_iter().map(Into::into).collect(),
            used: wire.used_bytes.map(Bytes),
            last_move: maybe(wire.last_move)?,
            tried: all(wire.tried)?,
            scrub: wire.scrub.map(Into::into).unwrap_or_default(),
            array: of.required("array", wire.array)?.try_into()?,
            reasons: all(wire.reasons)?,
            events: all(wire.events)?,
        })
    }
}
