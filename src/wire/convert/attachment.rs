//! Where a volume is attached, mounted, and seen.

use super::{FieldError, Message, each};
use crate::domain::{Attachment, MountRequest, Publication, Published};
use crate::wire::proto;

impl From<MountRequest> for proto::MountRequest {
    fn from(value: MountRequest) -> Self {
        let MountRequest { path, read_only, options, group } = value;
        Self { path, read_only, options, group }
    }
}

impl From<proto::MountRequest> for MountRequest {
    fn from(wire: proto::MountRequest) -> Self {
        let proto::MountRequest { path, read_only, options, group } = wire;
        Self { path, read_only, options, group }
    }
}

impl From<Publication> for proto::Publication {
    fn from(value: Publication) -> Self {
        let Publication { path, read_only } = value;
        Self { path, read_only }
    }
}

impl From<proto::Publication> for Publication {
    fn from(wire: proto::Publication) -> Self {
        let proto::Publication { path, read_only } = wire;
        Self { path, read_only }
    }
}

impl From<Published> for proto::Published {
    fn from(value: Published) -> Self {
        let Published { path, shown } = value;
        Self { path, shown }
    }
}

impl From<proto::Published> for Published {
    fn from(wire: proto::Published) -> Self {
        let proto::Published { path, shown } = wire;
        Self { path, shown }
    }
}

impl From<Attachment> for proto::Attachment {
    fn from(value: Attachment) -> Self {
        let Attachment { node, mount, published } = value;
        Self { node: node.into(), mount: mount.map(Into::into), published: each(published) }
    }
}

impl TryFrom<proto::Attachment> for Attachment {
    type Error = FieldError;

    fn try_from(wire: proto::Attachment) -> Result<Self, FieldError> {
        let of = Message("Attachment");
        Ok(Self {
            node: of.text("node", &wire.node)?,
            mount: wire.mount.map(Into::into),
            published: wire.published.into_iter().map(Into::into).collect(),
        })
    }
}
