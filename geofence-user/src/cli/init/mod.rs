//! `geofence init`: a first configuration, written, checked, and compared with what this machine depends on.

mod answers;
mod command;
mod questions;

pub use command::Arguments;
pub(super) use command::init;
