//! Data from third parties: MMDB files with countries and autonomous systems, and lists of addresses.

pub mod asn;
mod fetch;
pub mod geoip;
pub mod geoip_update;
pub mod lists;
pub mod mmdb;
#[cfg(test)]
mod test_server;
