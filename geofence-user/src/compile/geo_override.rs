//! Overrides of the country data, laid over the database before an image is compiled.
//!
//! As with a cross-check, every address has one country afterwards, and the image does not know where it comes from.

use geofence_common::country::Country;

use super::cover::{CountryPrefixes, prefixes};
use super::layer::{Layer, combine, layer, spans};
use super::prefix::{self, Family, Prefix};
use crate::data::geoip::Database;
use crate::model::policy::GeoOverride;
use crate::model::units::UnixSeconds;

/// A database in which the overrides that are in force decide. The override of the longest prefix counts. Each notes
/// what the database says of the addresses that it applies to.
#[must_use]
pub fn apply_overrides(
    overrides: &mut [GeoOverride],
    database: &Database,
    now: UnixSeconds,
) -> Database {
    for one in overrides.iter_mut() {
        one.replaced.clear();
    }
    if !overrides.iter().any(|one| one.is_in_force(now)) {
        return database.clone();
    }
    let mut countries = CountryPrefixes::default();
    for family in Family::ALL {
        let data = layer(prefix::countries(database, family), Country::UNKNOWN);
        let chosen = chosen(overrides, family, now);
        for (start, end, (country, at)) in spans(&combine(&data, &chosen, |one, two| (one, two))) {
            if let Some(one) = at.and_then(|at| overrides.get_mut(at)) {
                let replaced = prefixes(family, start, end).map(|net| (net, country));
                one.replaced.extend(replaced);
            }
        }
        let decided: Layer<Country> = combine(&data, &chosen, |country, at| {
            let chosen = at.and_then(|at| overrides.get(at));
            chosen.map_or(country, |one| one.country)
        });
        countries.add(family, &decided);
    }
    Database::from_prefixes(countries.v4, countries.v6).with_info(database.info().clone())
}

/// The position of the override that decides about each address.
fn chosen(overrides: &[GeoOverride], family: Family, now: UnixSeconds) -> Layer<Option<usize>> {
    let in_force = overrides.iter().enumerate();
    let in_force = in_force.filter(|(_, one)| one.is_in_force(now));
    let mut chosen: Vec<(Prefix, usize)> = in_force
        .filter_map(|(at, one)| Some((Prefix::of(&one.prefix, family)?, at)))
        .collect();
    chosen.sort_unstable();
    layer(
        chosen.into_iter().map(|(prefix, at)| (prefix, Some(at))),
        None,
    )
}

#[cfg(test)]
mod tests;
