//! Everything behind the `geofence` command, as a library so that tests and benchmarks can reach it.

pub mod access;
pub mod advice;
pub mod candidate;
pub mod capture;
pub mod cli;
pub mod compile;
pub mod config;
pub mod contacts;
pub mod control;
pub mod countries;
pub mod crowd;
pub mod daemon;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod geoip;
pub mod grants;
pub mod guard;
pub mod instance;
pub mod kernel;
pub mod lists;
pub mod metrics;
pub mod notify;
#[doc(hidden)]
pub mod oracle;
pub mod page;
pub mod policy;
pub mod prepare;
pub mod privilege;
pub mod serve;
pub mod state;
pub mod tables;
pub mod watch;
