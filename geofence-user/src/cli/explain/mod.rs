//! `geofence explain`: what the filter does with a packet, and why.

mod command;
mod decider;
mod egress;
mod report;

pub use command::{Arguments, explain};
