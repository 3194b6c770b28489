//! The shim over a socket, the daemon's own interface behind it, and behind that the machines that decide, on simulated kernels:
//! nothing in between is made up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop"
)]

#[path = "calls/controller.rs"]
mod controller;
#[path = "calls/house.rs"]
mod house;
#[path = "calls/node.rs"]
mod node;
#[path = "calls/refusals.rs"]
mod refusals;
#[path = "calls/repeated.rs"]
mod repeated;
