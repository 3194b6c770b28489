//! A simulated cluster: nodes with drives, kernels, a network, a store and a clock; the machines of `plan/` run in it
//! exactly as they run in the daemon.
//!
//! Guarantees: the same seed and the same calls give the same run; time passes only in [`Cluster::tick`] and what calls it.
//! Assumptions: what KERNEL facts the model knows stands at each function. A block is one number, the version of the
//! write it saw last; a drive keeps its data and superblocks through a power cut, a kernel keeps nothing.
//! Caveats: partitions do not fragment a drive, and a step takes effect at one moment, at its end.

mod app;
mod apply;
mod array;
mod bench;
mod check;
mod clock;
mod cluster;
mod daemon;
mod disk;
mod drives;
mod evict;
mod fabric;
mod file_system;
mod grow;
mod heard;
mod kernel;
mod member;
mod peers;
mod rehearse;
mod rng;
mod scrub;
mod store;
mod stripes;

pub use app::App;
pub use bench::Bench;
pub use check::Violation;
pub use cluster::{Cluster, Config, Crash, CrashWhen};
pub use disk::{BLOCKS, Blocks};
pub use drives::{DriveFault, Hang};
pub use heard::News;
pub use rehearse::rehearse;
pub use rng::Rng;
