//! The configuration and the database that these suites change.

use anyhow::Result;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::site::Site;

/// A configuration that blocks a country.
pub(super) fn blocking(country: &str) -> String {
    format!("block = [\"{country}\"]\ndatabases = [\"countries.mmdb\"]\n")
}

/// Puts a database in place, whole.
pub(super) fn provide(site: &Site, data: &[u8]) -> Result<()> {
    site.write("countries.mmdb", data)
}

/// A database of a few countries.
pub(super) fn writer() -> Writer {
    let mut writer = Writer::new(Schema::Nested);
    for (network, code) in [
        ("77.88.0.0/16", "RU"),
        ("2a02:6b8::/32", "RU"),
        ("84.200.0.0/16", "DE"),
        ("2a01:4f8::/32", "DE"),
        ("8.8.0.0/16", "US"),
        ("2001:4860::/32", "US"),
    ] {
        writer.add_code(network.parse().expect("a network"), code);
    }
    writer
}

pub(super) fn data() -> Vec<u8> {
    writer().finish()
}

/// The same with the sides of Russia and Germany changed.
pub(super) fn swapped() -> Vec<u8> {
    let mut writer = writer();
    for (network, code) in [
        ("77.88.0.0/16", "DE"),
        ("2a02:6b8::/32", "DE"),
        ("84.200.0.0/16", "RU"),
        ("2a01:4f8::/32", "RU"),
    ] {
        writer.add_code(network.parse().expect("a network"), code);
    }
    writer.finish()
}
