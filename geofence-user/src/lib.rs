//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod compile;
pub mod kernel;
pub mod policy;
