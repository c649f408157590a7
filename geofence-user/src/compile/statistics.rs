//! How much of the address space each country has, for people to read.

use std::collections::BTreeMap;

use geofence_common::country::Country;

use super::layer::spans;
use super::prefix::{self, Family};
use super::sources;
use crate::data::geoip::Database;
use crate::model::policy::Policy;

/// The address space of one country.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountryStatistics {
    /// Prefixes in the data.
    pub prefixes_v4: usize,
    pub prefixes_v6: usize,
    /// Addresses that count as this country, without special-use space.
    pub addresses_v4: u64,
    pub addresses_v6: u128,
}

/// The address space of every country, and of those without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub countries: BTreeMap<Country, CountryStatistics>,
}

impl Statistics {
    /// Counts the prefixes and addresses of every country.
    #[must_use]
    pub fn new(policy: &Policy, database: &Database) -> Self {
        let mut countries: BTreeMap<Country, CountryStatistics> = BTreeMap::new();
        for (_, country) in prefix::countries(database, Family::V4) {
            countries.entry(country).or_default().prefixes_v4 += 1;
        }
        for (_, country) in prefix::countries(database, Family::V6) {
            countries.entry(country).or_default().prefixes_v6 += 1;
        }
        for (country, addresses) in addresses(policy, database, Family::V4) {
            // IPv4 addresses are in the upper 32 bits.
            countries.entry(country).or_default().addresses_v4 += (addresses >> 96) as u64;
        }
        for (country, addresses) in addresses(policy, database, Family::V6) {
            countries.entry(country).or_default().addresses_v6 += addresses;
        }
        Self { countries }
    }

    /// The address space of one country.
    #[must_use]
    pub fn of(&self, country: Country) -> CountryStatistics {
        self.countries.get(&country).copied().unwrap_or_default()
    }
}

/// The number of left-aligned addresses in each range of one class.
fn addresses(policy: &Policy, database: &Database, family: Family) -> Vec<(Country, u128)> {
    let classes = sources::classes(policy, database, family);
    spans(&classes)
        .map(|(start, end, class)| (class.country(), end.wrapping_sub(start)))
        .collect()
}
