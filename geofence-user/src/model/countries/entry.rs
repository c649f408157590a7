//! An entry of a country list: a country or a group.

use std::collections::BTreeSet;
use std::fmt;

use geofence_common::country::Country;

use super::group::{GROUPS, Group};
use super::guess::{Guess, guess};
use super::name::from_code;

/// One entry of a country list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    Country(Country),
    Group(&'static Group),
}

impl Entry {
    /// Reads a code or the name of a group.
    ///
    /// # Errors
    /// Says what was probably meant when the text is neither.
    pub fn parse(text: &str) -> Result<Self, Guess> {
        if let Some(country) = from_code(text) {
            return Ok(Self::Country(country));
        }
        match GROUPS.iter().find(|group| group.is_spelled(text)) {
            Some(group) => Ok(Self::Group(group)),
            None => Err(guess(text)),
        }
    }

    /// The countries of all these entries together.
    pub fn expand(entries: &[Self]) -> BTreeSet<Country> {
        let mut all = BTreeSet::new();
        for entry in entries {
            match entry {
                Self::Country(country) => _ = all.insert(*country),
                Self::Group(group) => all.extend(group.members()),
            }
        }
        all
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Country(country) => country.name(),
            Self::Group(group) => group.name,
        })
    }
}
