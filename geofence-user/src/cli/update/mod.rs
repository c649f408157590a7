//! `geofence update`: fetches the databases and lists that have a source, and puts those in place that are good.

mod command;
mod databases;
mod lists;
mod progress;

pub use command::Arguments;
pub(super) use command::update;
