//! Data that others publish: GeoIP databases, third-party lists, and the names of countries.

pub mod countries;
pub mod geoip;
pub mod lists;
