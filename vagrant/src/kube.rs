//! Kubernetes in a lab: the control plane on the host's side, nodes in guests, the product from its chart.

mod cluster;
pub mod keys;
mod kubectl;
pub mod metrics;
pub mod objects;
pub mod plane;
pub mod watch;

pub use cluster::Cluster;
pub(crate) use cluster::told;
pub use kubectl::Kubectl;
