//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod compile;
pub mod daemon;
pub mod kernel;
pub mod metrics;
pub mod page;
pub mod policy;
pub mod serve;
