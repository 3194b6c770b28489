//! The lab: boots stock Debian kernels in QEMU, wires them together, breaks what should break, and asks judges that
//! nobody here wrote.
//!
//! `vagrant/lab` is the door. Scenarios, demo, chaos and benchmarks share [`lab::Lab`] and [`node::Node`].

#[macro_use]
pub mod output;

pub mod agent;
pub mod chaos;
pub mod checks;
pub mod command;
pub mod console;
pub mod daemon;
pub mod demo;
pub mod faults;
pub mod guest;
pub mod kube;
pub mod lab;
pub mod load;
pub mod node;
pub mod product;
pub mod qemu;
pub mod qmp;
pub mod report;
pub mod runner;
pub mod scenarios;
pub mod setup;
pub mod socket;
pub mod spec;
pub mod supervisor;
pub mod switch;
pub mod wait;
