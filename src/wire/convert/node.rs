//! Nodes and the roles they hold.

use super::{FieldError, Message};
use crate::domain::{Endpoint, Lease, NodeSpec, NodeStatus, Timestamp};
use crate::wire::proto;

impl From<NodeSpec> for proto::NodeSpec {
    fn from(value: NodeSpec) -> Self {
        let NodeSpec { cordoned, draining } = value;
        Self { cordoned, draining }
    }
}

impl TryFrom<proto::NodeSpec> for NodeSpec {
    type Error = FieldError;

    fn try_from(wire: proto::NodeSpec) -> Result<Self, FieldError> {
        let proto::NodeSpec { cordoned, draining } = wire;
        Ok(Self { cordoned, draining })
    }
}

impl From<Endpoint> for proto::Endpoint {
    fn from(value: Endpoint) -> Self {
        let Endpoint { address, port } = value;
        Self { address, port: port.into() }
    }
}

impl TryFrom<proto::Endpoint> for Endpoint {
    type Error = FieldError;

    fn try_from(wire: proto::Endpoint) -> Result<Self, FieldError> {
        let port = Message("Endpoint").number("port", wire.port)?;
        Ok(Self { address: wire.address, port })
    }
}

impl From<NodeStatus> for proto::NodeStatus {
    fn from(value: NodeStatus) -> Self {
        Self {
            endpoint: Some(value.endpoint.into()),
            host_nqn: value.host_nqn,
            host_id: value.host_id.to_string(),
            kernel: value.kernel,
            version: value.version,
            boot_id: value.boot_id,
            missing: value.missing,
            heartbeat_at_millis: value.heartbeat_at.0,
            dead_after_millis: value.dead_after_millis,
        }
    }
}

impl TryFrom<proto::NodeStatus> for NodeStatus {
    type Error = FieldError;

    fn try_from(wire: proto::NodeStatus) -> Result<Self, FieldError> {
        let of = Message("NodeStatus");
        Ok(Self {
            endpoint: of.required("endpoint", wire.endpoint)?.try_into()?,
            host_nqn: wire.host_nqn,
            host_id: of.text("host_id", &wire.host_id)?,
            kernel: wire.kernel,
            version: wire.version,
            boot_id: wire.boot_id,
            missing: wire.missing,
            heartbeat_at: Timestamp(wire.heartbeat_at_millis),
            dead_after_millis: wire.dead_after_millis,
        })
    }
}

impl From<Lease> for proto::Lease {
    fn from(value: Lease) -> Self {
        let Lease { holder, renewals, term_millis } = value;
        Self { holder: holder.into(), renewals, term_millis }
    }
}

impl TryFrom<proto::Lease> for Lease {
    type Error = FieldError;

    fn try_from(wire: proto::Lease) -> Result<Self, FieldError> {
        let holder = Message("Lease").text("holder", &wire.holder)?;
        Ok(Self { holder, renewals: wire.renewals, term_millis: wire.term_millis })
    }
}
