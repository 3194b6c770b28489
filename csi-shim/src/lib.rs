#![doc = include_str!("../README.md")]

pub mod capability;
pub mod cluster;
pub mod condition;
pub mod controller;
pub mod daemon;
pub mod deadline;
pub mod failure;
pub mod identity;
pub mod node;
pub mod parameters;
pub mod serve;
pub mod size;
pub mod topology;
pub mod volume_id;
pub mod wire;
