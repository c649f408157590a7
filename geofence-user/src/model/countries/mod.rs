//! Countries as people write them: names, the groups that stand for several, and what a wrong spelling probably meant.
//!
//! The codes themselves are in `geofence_common::country`. A code is accepted in upper case only, so that a
//! configuration has one spelling for each country.

mod entry;
mod group;
mod guess;
mod name;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use group::{GROUPS, Group};
pub use guess::Guess;
pub use name::{described, name, name_of, named};
