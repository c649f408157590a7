//! What each country has of the address space, in an image or in a summary of one, and how two of them differ.
//!
//! Everything is counted from images, so the data in use can be counted long after its database is gone. A census is
//! the small form that is kept beside an image: it survives a change of the image's layout.

use std::collections::BTreeMap;

use geofence_common::country::Country;
use geofence_common::image::header;
use serde::{Deserialize, Serialize};

use crate::compile::{BrokenImage, Extent, Family, Segment, ranges, side_by_side, spans};
use crate::data::asn::AsDatabase;

/// The form that is written; another one is not read.
const VERSION: u32 = 1;

/// What one country has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    pub v4: Extent,
    pub v6: Extent,
}

impl Holdings {
    /// What the autonomous systems of a database have together; of IPv6 only the prefixes are counted.
    #[must_use]
    pub fn of_as_database(database: &AsDatabase) -> Self {
        let [v4, v6] = database.networks();
        let extent = |prefixes: usize, addresses: u64| Extent {
            prefixes: prefixes as u64,
            addresses: addresses.into(),
        };
        Self {
            v4: extent(v4, database.addresses_v4()),
            v6: extent(v6, 0),
        }
    }

    #[must_use]
    pub const fn of(&self, family: Family) -> Extent {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Adds the addresses from `start` to the last before `end`.
    pub fn add(&mut self, family: Family, start: u128, end: u128) {
        let holdings = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        *holdings += Extent::of(family, start, end);
    }
}

impl std::ops::AddAssign for Holdings {
    fn add_assign(&mut self, other: Self) {
        self.v4 += other.v4;
        self.v6 += other.v6;
    }
}

/// What every country has, by the image or its summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Census {
    version: u32,
    /// When the data was built, seconds since 1970; zero for data of no file.
    pub built: u64,
    /// By alpha-2 code.
    countries: BTreeMap<String, Holdings>,
}

/// Why a text is no census.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    #[error("it is not a census: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and this program reads version {VERSION}")]
    Version(u32),
}

impl Census {
    /// Counts an image, given by its words.
    pub fn of_image(words: &[u32]) -> Result<Self, BrokenImage> {
        let mut countries: BTreeMap<String, Holdings> = BTreeMap::new();
        for family in Family::ALL {
            let layer = layer(words, family)?;
            for (start, end, country) in spans(&layer) {
                if let Some(code) = country.code() {
                    let holdings = countries.entry(code.to_owned()).or_default();
                    holdings.add(family, start, end);
                }
            }
        }
        Ok(Self {
            version: VERSION,
            built: built(words),
            countries,
        })
    }

    /// What one country has.
    #[must_use]
    pub fn of(&self, country: Country) -> Holdings {
        self.countries
            .get(country.name())
            .copied()
            .unwrap_or_default()
    }

    /// One JSON object, for the state directory.
    ///
    /// # Errors
    /// None that is known of.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(text: &str) -> Result<Self, CensusError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // Asked first: what else a census of another version has is not ours to complain about.
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(CensusError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }
}

/// How one country's holdings differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    pub before: Holdings,
    pub after: Holdings,
    /// What it has now and had not. From summaries, what it has more.
    pub gained: Holdings,
    /// What it had and has no more. From summaries, what it has less.
    pub lost: Holdings,
}

impl Change {
    /// Whether all that a country had is gone, of both families.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.before != Holdings::default() && self.after == Holdings::default()
    }

    /// Whether anything differs.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.gained != Holdings::default() || self.lost != Holdings::default()
    }

    fn of_summaries(before: Holdings, after: Holdings) -> Self {
        let less = |one: Extent, other: Extent| Extent {
            prefixes: one.prefixes.saturating_sub(other.prefixes),
            addresses: one.addresses.saturating_sub(other.addresses),
        };
        let less = |one: Holdings, other: Holdings| Holdings {
            v4: less(one.v4, other.v4),
            v6: less(one.v6, other.v6),
        };
        Self {
            before,
            after,
            gained: less(after, before),
            lost: less(before, after),
        }
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
    /// When either was built, seconds since 1970; zero for data of no file.
    pub built: [u64; 2],
    /// Whether addresses were compared; otherwise a country's gains may hide its losses.
    pub is_exact: bool,
    countries: BTreeMap<Country, Change>,
}

impl Comparison {
    /// Compares two images, given by their words, address by address.
    pub fn of_images(before: &[u32], after: &[u32]) -> Result<Self, BrokenImage> {
        let mut countries: BTreeMap<Country, Change> = BTreeMap::new();
        for (census, is_after) in [
            (Census::of_image(before)?, false),
            (Census::of_image(after)?, true),
        ] {
            for country in Country::all() {
                let holdings = census.of(country);
                if holdings != Holdings::default() {
                    let change = countries.entry(country).or_default();
                    *(if is_after {
                        &mut change.after
                    } else {
                        &mut change.before
                    }) = holdings;
                }
            }
        }
        for family in Family::ALL {
            let segments = side_by_side(&layer(before, family)?, &layer(after, family)?);
            for segment in segments.iter().filter(|one| one.before != one.after) {
                let Segment { start, end, .. } = *segment;
                for (country, is_gain) in [(segment.before, false), (segment.after, true)] {
                    if country.code().is_some() {
                        let change = countries.entry(country).or_default();
                        let holdings = if is_gain {
                            &mut change.gained
                        } else {
                            &mut change.lost
                        };
                        holdings.add(family, start, end);
                    }
                }
            }
        }
        Ok(Self {
            built: [built(before), built(after)],
            is_exact: true,
            countries,
        })
    }

    /// Compares two summaries, which know how much a country has and not where.
    #[must_use]
    pub fn of_censuses(before: &Census, after: &Census) -> Self {
        let countries = Country::all()
            .map(|country| {
                (
                    country,
                    Change::of_summaries(before.of(country), after.of(country)),
                )
            })
            .filter(|(_, change)| *change != Change::default())
            .collect();
        Self {
            built: [before.built, after.built],
            is_exact: false,
            countries,
        }
    }

    /// How one country's holdings differ.
    #[must_use]
    pub fn of(&self, country: Country) -> Change {
        self.countries.get(&country).copied().unwrap_or_default()
    }

    /// Every country that has or had anything.
    pub fn countries(&self) -> impl Iterator<Item = (Country, Change)> {
        self.countries
            .iter()
            .map(|(country, change)| (*country, *change))
    }

    /// What some countries have together.
    #[must_use]
    pub fn sum(&self, includes: impl Fn(Country) -> bool) -> Change {
        let mut sum = Change::default();
        for (_, change) in self.countries().filter(|(country, _)| includes(*country)) {
            sum += change;
        }
        sum
    }
}

/// The country of every address, without what else an image knows of it.
fn layer(words: &[u32], family: Family) -> Result<Vec<(u128, Country)>, BrokenImage> {
    let mut layer: Vec<(u128, Country)> = ranges(words, family)?
        .into_iter()
        .map(|(start, class)| (start, class.country()))
        .collect();
    layer.dedup_by_key(|(_, country)| *country);
    Ok(layer)
}

fn built(words: &[u32]) -> u64 {
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
    word(header::DATA_BUILT) | word(header::DATA_BUILT + 1) << 32
}
