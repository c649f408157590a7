//! The cross-check: a second country database beside the first, and the addresses they disagree about.
//!
//! The decision is made over prefixes before an image is compiled, so every address has one country: the one it is
//! blocked by, or not, which is also the one it is counted under. The first database decides everything else, and all
//! addresses that the second does not have. The country is chosen by the general settings, for tenants with other
//! blocked countries too.

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use serde::Serialize;

use super::cover::CountryPrefixes;
use super::extents::Extents;
use super::layer::{Layer, combine, layer, spans};
use super::prefix::{self, Family};
use crate::data::geoip::Database;
use crate::model::policy::{CrossCheckRule, Policy};

/// The addresses that only one of the databases blocks, outside special-use space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Those that only the first database has in a blocked country.
    pub first_alone: Extents,
    /// Those that only the second database has in a blocked country.
    pub second_alone: Extents,
}

/// The country of an address that has these countries in the first and the second database.
#[must_use]
pub fn decide(policy: &Policy, first: Country, second: Country) -> Country {
    match (policy.cross_check, blocked_by(policy, first, second)) {
        (CrossCheckRule::Any, Some(BlockedBy::Second))
        | (CrossCheckRule::All, Some(BlockedBy::First)) => second,
        (CrossCheckRule::Any | CrossCheckRule::All, _) => first,
    }
}

/// The only database that has an address in a blocked country.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockedBy {
    First,
    Second,
}

fn blocked_by(policy: &Policy, first: Country, second: Country) -> Option<BlockedBy> {
    if second == Country::UNKNOWN {
        return None;
    }
    let blocks = |country| policy.blocks(Class::of_country(country));
    match (blocks(first), blocks(second)) {
        (true, false) => Some(BlockedBy::First),
        (false, true) => Some(BlockedBy::Second),
        (true, true) | (false, false) => None,
    }
}

/// A database with the country of every address after the cross-check, and how far the two disagree.
#[must_use]
pub fn cross_check(
    policy: &Policy,
    first: &Database,
    second: &Database,
) -> (Database, Disagreement) {
    let mut disagreement = Disagreement::default();
    let mut countries = CountryPrefixes::default();
    for family in Family::ALL {
        let [one, two] = [first, second]
            .map(|database| layer(prefix::countries(database, family), Country::UNKNOWN));
        let differs = combine(&one, &two, |one, two| blocked_by(policy, one, two));
        let special_use = prefix::special_use(policy, family).into_iter();
        let special_use = layer(special_use.map(|(prefix, _)| (prefix, true)), false);
        let differs = combine(&differs, &special_use, |differs, is_special| {
            differs.filter(|_| !is_special)
        });
        for (start, end, differs) in spans(&differs) {
            let extents = match differs {
                Some(BlockedBy::First) => &mut disagreement.first_alone,
                Some(BlockedBy::Second) => &mut disagreement.second_alone,
                None => continue,
            };
            extents.add(family, start, end);
        }
        let decided: Layer<Country> = combine(&one, &two, |one, two| decide(policy, one, two));
        countries.add(family, &decided);
    }
    let decided =
        Database::from_prefixes(countries.v4, countries.v6).with_info(first.info().clone());
    (decided, disagreement)
}

#[cfg(test)]
mod tests;
