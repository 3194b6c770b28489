//! mdfabric: replicated block volumes that move between nodes while applications write.

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod kernel;
pub mod plan;
pub mod ports;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod wire;
