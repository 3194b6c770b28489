//! The daemon's interface.

pub mod client;
pub mod dump;
pub mod server;

pub use crate::wire::proto;

/// The largest message either side of `mdfabric.proto` should take, in bytes: a `World` of many thousand records. tonic
/// takes 4 MiB unless told otherwise.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
