//! `geofence diff`: what a new policy would change, before it changes anything.

mod command;
mod table;
mod text;
mod traffic;

pub use command::{Arguments, diff};

#[cfg(test)]
mod tests;
