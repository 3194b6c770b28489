//! The drivers: select, plan, record, apply. No decisions are made here.

mod asked;
mod brain;
mod cache;
mod clock;
mod heartbeat;
mod lanes;
mod mortal;
mod node;
mod records;
mod status;

pub use brain::{Brain, Ports};
pub use cache::{Cache, StoreHealth, follow};
pub use clock::now;
pub use heartbeat::{PeerNetwork, start as heartbeats};
pub use mortal::MortalKernel;
pub use node::{Identity, Running, start};
pub use status::{NodeView, View};
