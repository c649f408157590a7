//! How much of the address space each country has, for people to read.

use std::collections::BTreeMap;

use geofence_common::country::Country;

use super::layers;
use super::prefix::{self, Family};
use crate::data::geoip::Database;
use crate::model::policy::Policy;

/// What one country has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountryStatistics {
    /// Prefixes in the data.
    pub prefixes_v4: usize,
    pub prefixes_v6: usize,
    /// Addresses that are counted as this country's, special-use space taken out.
    pub addresses_v4: u64,
    pub addresses_v6: u128,
}

/// What every country has, those that are none included.
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
            // IPv4 addresses stand in the upper 32 bits.
            countries.entry(country).or_default().addresses_v4 += (addresses >> 96) as u64;
        }
        for (country, addresses) in addresses(policy, database, Family::V6) {
            countries.entry(country).or_default().addresses_v6 += addresses;
        }
        Self { countries }
    }

    /// What one country has.
    #[must_use]
    pub fn of(&self, country: Country) -> CountryStatistics {
        self.countries.get(&country).copied().unwrap_or_default()
    }
}

/// How many addresses each range of one class has.
fn addresses(
    policy: &Policy,
    database: &Database,
    family: Family,
) -> impl Iterator<Item = (Country, u128)> {
    let steps = layers::classes(policy, database, family);
    // The end of the last range is past the last address; wrapping, the subtraction gives the same.
    let ends: Vec<u128> = steps
        .iter()
        .skip(1)
        .map(|(start, _)| *start)
        .chain([0])
        .collect();
    steps
        .into_iter()
        .zip(ends)
        .map(|((start, class), end)| (class.country(), end.wrapping_sub(start)))
}
