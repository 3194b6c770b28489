//! mdfabric: replicated block volumes that move between nodes while applications write.

pub mod domain;
pub mod plan;
pub mod ports;
pub mod sim;
