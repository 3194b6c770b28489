//! The Linux kernel's storage verbs in safe Rust: one function per verb, no policy, no async, no retries.
//!
//! Guarantees: every file read or written hangs from a [`Root`], so the same readers serve the running kernel and a
//! debug dump of another machine; every failed call names itself, its object and the kernel's errno ([`CallError`]);
//! whatever parses bytes from outside survives any bytes.
//!
//! Deliberately absent: decisions, locks, time-outs. A call here may block for as long as the kernel does; callers
//! give each device its own worker.

pub mod block;
pub mod call;
pub mod dm;
mod error;
pub mod fs;
pub mod holders;
pub mod md;
pub mod module;
pub mod nvme;
pub mod nvmet;
mod root;
pub mod seccomp;
pub mod sock;
pub mod uevent;

pub use error::{CallError, ParseError};
pub use root::{DevNum, Root};
