//! Data that others publish: GeoIP databases and third-party lists.

pub mod geoip;
pub mod lists;
