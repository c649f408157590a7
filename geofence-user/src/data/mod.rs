//! Data from third parties: MMDB files with countries and autonomous systems, and lists of addresses.

pub mod asn;
pub mod geoip;
pub mod lists;
pub mod mmdb;
