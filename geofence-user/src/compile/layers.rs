//! The class of every address, as steps: sources of truth laid over each other range by range.
//!
//! A layer is a value for every address, written as the addresses where the value changes. Each source is made a
//! layer by itself; layers are then combined two at a time.

use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};

use super::exceptions::Exceptions;
use super::list_sets::Lists;
use super::prefix::{self, Family, LISTS, Prefix};
use crate::data::geoip::Database;
use crate::model::policy::Policy;

/// A value for every address: from each first address to the next, in order, starting with address zero. No two
/// neighbours are equal.
pub(super) type Layer<T> = Vec<(u128, T)>;

/// What the image knows of an address: its class, the name of the group of prefixes by which exceptions call it, and
/// the number of the set of lists it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    pub(super) class: Class,
    pub(super) group: u32,
    pub(super) lists: u32,
}

impl Kind {
    pub(super) fn new(class: Class, group: u32) -> Self {
        Self {
            class: if group == 0 {
                class
            } else {
                class.with_excepted_prefix()
            },
            group,
            lists: 0,
        }
    }

    /// The same, on this set of lists.
    pub(super) fn on(self, set: u32, lists: &Lists) -> Self {
        Self {
            class: lists.mark(self.class, set),
            lists: set,
            ..self
        }
    }
}

/// What is known of every address, without the policy's answer for its country.
pub(super) fn kinds(
    policy: &Policy,
    countries: &Layer<Country>,
    exceptions: &Exceptions,
    lists: &Lists,
    family: Family,
) -> Layer<Kind> {
    // What most often says little comes first: the countries are a layer of half a million steps, and walked once.
    let overlay = overlay(policy, family);
    let groups = layer(exceptions.sources(family).iter().copied(), 0);
    let said = combine(&overlay, &groups, |overlay, group| (overlay, group));
    let sets = layer(lists.prefixes(family), 0);
    let said = combine(&said, &sets, |said, set| (said, set));
    combine(countries, &said, |country, ((overlay, group), set)| {
        Kind::new(overlay.class(country), group).on(set, lists)
    })
}

/// The class of every address, without the policy's answer for its country and what lists of others make of it.
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

/// What is said of an address beside its country: the special-use space it is in, and the policy's lists it is on.
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
    let special_use = prefix::special_use(family)
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

/// A class that is on no list; only its lists are ever looked at.
const NO_LIST: Class = Class::of_country(Country::NONE);

/// Who is on a list.
fn members(policy: &Policy, list: OperatorList, family: Family) -> Layer<Class> {
    let member = NO_LIST.with_list(list);
    let prefixes = prefix::list(policy, list, family);
    layer(prefixes.into_iter().map(|prefix| (prefix, member)), NO_LIST)
}

/// The value of the longest prefix that holds each address. Prefixes come sorted; of equal ones the last counts.
pub(super) fn layer<T: Copy + PartialEq>(
    prefixes: impl Iterator<Item = (Prefix, T)>,
    elsewhere: T,
) -> Layer<T> {
    let mut steps = Vec::with_capacity(prefixes.size_hint().0 + 1);
    steps.push((0, elsewhere));
    // The prefixes that hold the present address, longest last.
    let mut open: Vec<(u128, T)> = Vec::new();
    for (prefix, value) in prefixes {
        close(&mut open, &mut steps, elsewhere, Some(prefix.start));
        step(&mut steps, prefix.start, value);
        open.push((prefix.end(), value));
    }
    close(&mut open, &mut steps, elsewhere, None);
    steps
}

/// Ends the prefixes that end before this address, or all of them.
fn close<T: Copy + PartialEq>(
    open: &mut Vec<(u128, T)>,
    steps: &mut Layer<T>,
    elsewhere: T,
    before: Option<u128>,
) {
    while let Some((end, _)) = open.pop_if(|(end, _)| before.is_none_or(|before| *end < before)) {
        let value = open.last().map_or(elsewhere, |(_, value)| *value);
        if let Some(next) = end.checked_add(1) {
            step(steps, next, value);
        }
    }
}

/// Adds a step, which is none if the value stays the same; of two at one address the later counts.
fn step<T: Copy + PartialEq>(steps: &mut Layer<T>, start: u128, value: T) {
    steps.pop_if(|(last, _)| *last == start);
    if steps.last().is_none_or(|(_, last)| *last != value) {
        steps.push((start, value));
    }
}

/// What becomes of two layers' values at every address.
pub(super) fn combine<A: Copy, B: Copy, C: Copy + PartialEq>(
    a: &[(u128, A)],
    b: &[(u128, B)],
    value: impl Fn(A, B) -> C,
) -> Layer<C> {
    let mut steps = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut present = (None, None);
    while let Some(start) = [
        a.peek().map(|(start, _)| *start),
        b.peek().map(|(start, _)| *start),
    ]
    .into_iter()
    .flatten()
    .min()
    {
        if let Some((_, value)) = a.next_if(|(next, _)| *next == start) {
            present.0 = Some(*value);
        }
        if let Some((_, value)) = b.next_if(|(next, _)| *next == start) {
            present.1 = Some(*value);
        }
        if let (Some(a), Some(b)) = present {
            step(&mut steps, start, value(a, b));
        }
    }
    steps
}
