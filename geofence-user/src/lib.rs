//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod compile;
pub mod geoip;
#[doc(hidden)]
pub mod oracle;
pub mod policy;
