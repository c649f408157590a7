//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod geoip;
pub mod policy;
