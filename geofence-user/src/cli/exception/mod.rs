//! `geofence exception`: adds, lists, shows, extends and removes exceptions; the running daemon does the work.

mod arguments;
mod command;
mod view;

pub use arguments::{Arguments, End, NewException, services, span};
pub(super) use command::{exception, show};
