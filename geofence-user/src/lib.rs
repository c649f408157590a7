//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod cli;
pub mod config;
pub mod countries;
pub mod policy;
