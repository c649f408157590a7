//! How the data of two images differs, country by country and address by address.

use std::collections::BTreeMap;

use geofence_common::country::Country;
use geofence_common::image::header;
use serde::Serialize;

use super::address_counts::{AddressCounts, country_ranges};
use crate::compile::{BrokenImage, Extents, Family, Segment, side_by_side};
use crate::model::units::UnixSeconds;

/// How the holdings of one country differ, as extents or as counts for a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change<T = Extents> {
    pub before: T,
    pub after: T,
    /// What it holds only in the new data.
    pub gained: T,
    /// What it holds only in the old data.
    pub lost: T,
}

impl<T> Change<T> {
    pub(super) fn map<U>(self, convert: impl Fn(T) -> U) -> Change<U> {
        Change {
            before: convert(self.before),
            after: convert(self.after),
            gained: convert(self.gained),
            lost: convert(self.lost),
        }
    }
}

impl Change {
    /// Whether the country had something and now has nothing, in both families.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.before != Extents::default() && self.after == Extents::default()
    }

    /// Whether anything differs.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.gained != Extents::default() || self.lost != Extents::default()
    }
}

impl std::ops::AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.before += other.before;
        self.after += other.after;
        self.gained += other.gained;
        self.lost += other.lost;
    }
}

/// The data in use and new data, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// When the old and the new data were built; zero for data that comes from no file.
    pub built: [UnixSeconds; 2],
    countries: BTreeMap<Country, Change>,
}

impl Comparison {
    /// Compares two images, given by their words.
    pub fn of_images(before: &[u32], after: &[u32]) -> Result<Self, BrokenImage> {
        let mut countries: BTreeMap<Country, Change> = BTreeMap::new();
        for (country, holdings) in AddressCounts::of_image(before)?.iter() {
            countries.entry(country).or_default().before = holdings;
        }
        for (country, holdings) in AddressCounts::of_image(after)?.iter() {
            countries.entry(country).or_default().after = holdings;
        }
        for family in Family::ALL {
            let segments = side_by_side(
                &country_ranges(before, family)?,
                &country_ranges(after, family)?,
            );
            for segment in segments.iter().filter(|one| one.before != one.after) {
                let Segment { start, end, .. } = *segment;
                if segment.before.code().is_some() {
                    let change = countries.entry(segment.before).or_default();
                    change.lost.add(family, start, end);
                }
                if segment.after.code().is_some() {
                    let change = countries.entry(segment.after).or_default();
                    change.gained.add(family, start, end);
                }
            }
        }
        Ok(Self {
            built: [data_built(before), data_built(after)],
            countries,
        })
    }

    /// How the holdings of one country differ.
    #[must_use]
    pub fn of(&self, country: Country) -> Change {
        self.countries.get(&country).copied().unwrap_or_default()
    }

    /// Every country that holds or held anything.
    pub fn countries(&self) -> impl Iterator<Item = (Country, Change)> {
        self.countries
            .iter()
            .map(|(country, change)| (*country, *change))
    }

    /// What some countries hold together.
    #[must_use]
    pub fn sum(&self, includes: impl Fn(Country) -> bool) -> Change {
        let mut sum = Change::default();
        for (_, change) in self.countries().filter(|(country, _)| includes(*country)) {
            sum += change;
        }
        sum
    }
}

/// When the data of an image was built; zero for data that comes from no file.
#[must_use]
pub fn data_built(words: &[u32]) -> UnixSeconds {
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
    UnixSeconds(word(header::DATA_BUILT) | word(header::DATA_BUILT + 1) << 32)
}
