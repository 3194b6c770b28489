//! What the daemon tells about itself beyond its answers.

pub mod dump;
pub mod log;
pub mod recorder;
