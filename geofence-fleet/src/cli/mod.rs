//! The command line of `geofence-fleet`, one file for each kind of verb.

mod agent;
mod arguments;
mod bootstrap;
mod exceptions;
mod options;
mod releases;
mod status;
mod waves;

pub use arguments::Arguments;
