//! How much of the address space each country holds, counted from an image.
//!
//! Counting images works for data whose database is gone.

use std::collections::BTreeMap;

use geofence_common::country::Country;

use crate::compile::{BrokenImage, Extent, Extents, Family, ranges, spans};
use crate::data::asn::AsDatabase;

/// What all autonomous systems of a database hold together. Of IPv6, only the prefixes are counted.
#[must_use]
pub fn as_database_extents(database: &AsDatabase) -> Extents {
    let [v4, v6] = database.networks();
    let extent = |prefixes: usize, addresses: u64| Extent {
        prefixes: prefixes as u64,
        addresses: addresses.into(),
    };
    Extents {
        v4: extent(v4, database.addresses_v4()),
        v6: extent(v6, 0),
    }
}

/// What every country holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts(BTreeMap<Country, Extents>);

impl AddressCounts {
    /// Counts an image, given by its words.
    pub fn of_image(words: &[u32]) -> Result<Self, BrokenImage> {
        let mut counts = Self::default();
        for family in Family::ALL {
            for (start, end, country) in spans(&country_ranges(words, family)?) {
                if country.code().is_some() {
                    let extents = counts.0.entry(country).or_default();
                    extents.add(family, start, end);
                }
            }
        }
        Ok(counts)
    }

    /// What one country holds.
    #[must_use]
    pub fn of(&self, country: Country) -> Extents {
        self.0.get(&country).copied().unwrap_or_default()
    }

    /// Every country that holds anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Country, Extents)> {
        self.0.iter().map(|(country, extents)| (*country, *extents))
    }
}

/// The country of every address, by the start of each range.
pub fn country_ranges(words: &[u32], family: Family) -> Result<Vec<(u128, Country)>, BrokenImage> {
    let mut all: Vec<(u128, Country)> = ranges(words, family)?
        .into_iter()
        .map(|(start, class)| (start, class.country()))
        .collect();
    all.dedup_by_key(|(_, country)| *country);
    Ok(all)
}
