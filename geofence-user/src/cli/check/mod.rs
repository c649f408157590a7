//! `geofence check`: what a configuration amounts to, as text or JSON.

mod command;
mod effective;
#[cfg(test)]
mod tests;
mod text;

pub use command::Arguments;
pub(super) use command::check;
