//! The class of every address: sources laid over each other as layers.

use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};

use super::class_key::ClassKey;
use super::exceptions::Exceptions;
use super::layer::{Layer, combine, layer};
use super::list_sets::ListSets;
use super::prefix::{self, Family, LISTS};
use crate::data::geoip::Database;
use crate::model::policy::Policy;

/// The class key of every address.
pub(super) fn class_keys(
    policy: &Policy,
    countries: &Layer<Country>,
    exceptions: &Exceptions,
    lists: &ListSets,
    family: Family,
) -> Layer<ClassKey> {
    // The small layers are combined first: the layer of countries has half a million steps and is walked once.
    let overlay = overlay(policy, family);
    let groups = layer(exceptions.sources(family).iter().copied(), 0);
    let small = combine(&overlay, &groups, |overlay, group| (overlay, group));
    let sets = layer(lists.prefixes(family), 0);
    let small = combine(&small, &sets, |small, set| (small, set));
    combine(countries, &small, |country, ((overlay, group), set)| {
        ClassKey::new(overlay.class(country), group).with_lists(set, lists)
    })
}

/// The class of every address, without third-party lists and before the policy decides about its country.
pub(super) fn classes(policy: &Policy, database: &Database, family: Family) -> Layer<Class> {
    let countries = countries(database, family);
    combine(&countries, &overlay(policy, family), |country, overlay| {
        overlay.class(country)
    })
}

/// The country of every address by the data alone.
pub(super) fn countries(database: &Database, family: Family) -> Layer<Country> {
    layer(prefix::countries(database, family), Country::UNKNOWN)
}

/// What applies to an address besides its country: its special-use block, and the policy's lists it is on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Overlay {
    special_use: Option<Class>,
    lists: Class,
}

impl Overlay {
    fn class(self, country: Country) -> Class {
        self.special_use
            .unwrap_or(Class::of_country(country))
            .with_lists_of(self.lists)
    }
}

fn overlay(policy: &Policy, family: Family) -> Layer<Overlay> {
    let special_use = prefix::special_use(policy, family)
        .into_iter()
        .map(|(prefix, class)| (prefix, Some(class)));
    let special_use = layer(special_use, None);
    let lists = LISTS
        .into_iter()
        .map(|list| members(policy, list, family))
        .fold(vec![(0, NO_LIST)], |all, one| {
            combine(&all, &one, |all, one| all.with_lists_of(one))
        });
    combine(&special_use, &lists, |special_use, lists| Overlay {
        special_use,
        lists,
    })
}

/// A class on no list. Only the lists of such a class are used.
const NO_LIST: Class = Class::of_country(Country::NONE);

/// The addresses on a list.
fn members(policy: &Policy, list: OperatorList, family: Family) -> Layer<Class> {
    let member = NO_LIST.with_list(list);
    let prefixes = prefix::list(policy, list, family);
    layer(prefixes.into_iter().map(|prefix| (prefix, member)), NO_LIST)
}
