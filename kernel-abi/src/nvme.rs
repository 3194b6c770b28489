//! NVMe as a host sees it: connections over fabrics, controllers, namespaces and admin commands.
//!
//! A name never says who is connected to what: in `nvme3n2` the 3 is the instance of the *subsystem* and the 2 the
//! instance of the head, neither the controller nor the namespace id (`drivers/nvme/host/core.c`,
//! `nvme_alloc_ns`). Find connections by subsystem NQN and namespaces by UUID or NGUID.

#![allow(clippy::doc_markdown, reason = "NVMe is a name in prose, not an item")]

pub mod controller;
pub mod fabrics;
#[cfg(test)]
pub(crate) mod fixture;
mod ids;
pub mod ioctl;
pub mod namespace;
pub mod registry;
mod secret;

pub use controller::{Controller, ControllerState, Transport, controllers};
pub use ids::{ControllerName, Fabric, HeadName, Nguid, Nqn, Nsid, Timeout};
pub use namespace::{NamespaceHead, namespaces};
pub use secret::DhchapSecret;
