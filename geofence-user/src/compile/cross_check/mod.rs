//! A second database of countries beside the first: what becomes of an address that they differ about.
//!
//! Decided over prefixes, before an image is compiled, so that what is compiled has one country for every address: the
//! one by which it is blocked or not, which is also the one it is counted under. The first database has the say on all
//! else. Whoever the second does not know, it has no opinion of. Where a tenant blocks other countries than everybody,
//! its packets are judged by the country that was chosen for everybody.

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use ipnet::IpNet;
use serde::Serialize;

use super::extents::Extents;
use super::layers::{Layer, combine, layer};
use super::prefix::{self, Family};
use super::ranges::{prefixes, spans};
use crate::data::geoip::Database;
use crate::model::policy::{CrossCheckRule, Policy};

/// The addresses whose fate the databases differ about, special-use space aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// Those that the first database has in a blocked country and the second has not.
    pub first_alone: Extents,
    /// Those that the second database has in a blocked country and the first has not.
    pub second_alone: Extents,
}

/// The country that an address counts as, of those that the first and the second database say.
#[must_use]
pub fn decide(policy: &Policy, first: Country, second: Country) -> Country {
    match (policy.cross_check, differ(policy, first, second)) {
        (CrossCheckRule::Any, Some(Blocks::SecondAlone))
        | (CrossCheckRule::All, Some(Blocks::FirstAlone)) => second,
        (CrossCheckRule::Any | CrossCheckRule::All, _) => first,
    }
}

/// The database that has an address in a blocked country, while the other has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    FirstAlone,
    SecondAlone,
}

fn differ(policy: &Policy, first: Country, second: Country) -> Option<Blocks> {
    if second == Country::UNKNOWN {
        return None;
    }
    let blocks = |country| policy.blocks(Class::of_country(country));
    match (blocks(first), blocks(second)) {
        (true, false) => Some(Blocks::FirstAlone),
        (false, true) => Some(Blocks::SecondAlone),
        (true, true) | (false, false) => None,
    }
}

/// A database in which every address has the country that it counts as, and how far the two differ.
#[must_use]
pub fn agree(policy: &Policy, first: &Database, second: &Database) -> (Database, Disagreement) {
    let mut disagreement = Disagreement::default();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for family in Family::ALL {
        let [one, two] = [first, second]
            .map(|database| layer(prefix::countries(database, family), Country::UNKNOWN));
        let differs = combine(&one, &two, |one, two| differ(policy, one, two));
        let special_use = prefix::special_use(family).into_iter();
        let special_use = layer(special_use.map(|(prefix, _)| (prefix, true)), false);
        let differs = combine(&differs, &special_use, |differs, is_special| {
            differs.filter(|_| !is_special)
        });
        for (start, end, differs) in spans(&differs) {
            let extents = match differs {
                Some(Blocks::FirstAlone) => &mut disagreement.first_alone,
                Some(Blocks::SecondAlone) => &mut disagreement.second_alone,
                None => continue,
            };
            extents.add(family, start, end);
        }
        let decided: Layer<Country> = combine(&one, &two, |one, two| decide(policy, one, two));
        for (start, end, country) in spans(&decided) {
            if country == Country::UNKNOWN {
                continue;
            }
            for net in prefixes(family, start, end) {
                match net {
                    IpNet::V4(net) => v4.push((net, country)),
                    IpNet::V6(net) => v6.push((net, country)),
                }
            }
        }
    }
    let decided = Database::from_prefixes(v4, v6).with_info(first.info().clone());
    (decided, disagreement)
}

#[cfg(test)]
mod tests;
