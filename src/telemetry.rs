//! What the daemon tells about itself beyond its answers.

pub mod log;
pub mod recorder;
