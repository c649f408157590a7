//! Compares a resource with the fleet, changes the fleet, and writes the status.

mod exception;
mod list;
mod managed;
mod mapping;
mod policy;
mod release;

pub(crate) use managed::{Managed, reconcile, retry};
