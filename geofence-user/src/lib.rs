//! Everything behind the `geofence` command, as a library that tests and benchmarks can use.

pub mod checks;
pub mod cli;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod data;
pub mod explain;
pub mod kernel;
pub mod model;
pub mod os;
pub mod prepare;
pub mod serve;

// The unit tests share these with geofence-tests, which depends on this crate and cannot be depended on.
#[cfg(test)]
extern crate self as geofence_user;
#[cfg(test)]
#[path = "../../tests/src/every_key.rs"]
pub mod every_key;
#[cfg(test)]
#[path = "../../tests/src/mmdb_writer.rs"]
pub mod mmdb_writer;
#[cfg(test)]
#[path = "../../tests/src/oracle/mod.rs"]
pub mod oracle;
#[cfg(test)]
#[path = "../../tests/src/processor_time.rs"]
pub mod processor_time;
