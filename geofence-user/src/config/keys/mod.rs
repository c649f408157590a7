//! The keys of the configuration: those of the top level, and those of each kind of table.
//!
//! A key that is not declared here does not exist. Readers and documentation both use these declarations.

mod country_rule;
mod events;
pub(super) mod exception;
pub(super) mod geo_override;
pub(super) mod geoip_source;
pub(super) mod global;
pub(super) mod list;
pub(super) mod protect;
pub(super) mod tenant;
