//! The country of every prefix, from MMDB files or the embedded database.
//!
//! What leaves this folder is sorted and has no duplicates. `compile` decides which addresses have no country whatever
//! a file claims.

mod countries;
mod database;
#[cfg(test)]
mod tests;

pub use database::{ATTRIBUTION, Database, EMBEDDED_NAME, Info, country, embedded_built};
