//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod checks;
pub mod cli;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod data;
pub mod explain;
pub mod kernel;
pub mod model;
#[doc(hidden)]
pub mod oracle;
pub mod os;
pub mod prepare;
pub mod serve;
