//! The prefixes of an image for the kernel's LPM tries, with the class of each.
//!
//! Made from the policy and the data, not from the image's trie: because the two are independent, comparing their
//! answers is a test of both. Of the image, only the class table and the start of the list sets are read.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};
use geofence_common::image::{CLASS_WORDS, header};

use super::class_key::ClassKey;
use super::class_table::{ListSetTable, class_record};
use super::exceptions::Exceptions;
use super::image::Image;
use super::list_sets::ListSets;
use super::prefix::{self, Family, LISTS, Prefix};
use super::target::Target;
use crate::data::geoip::Database;
use crate::model::policy::Policy;

/// An IPv4 prefix: address, length, and where in the image its class stands.
pub type ClassifiedV4 = ([u8; 4], u8, u32);
/// An IPv6 prefix: address, length, and where in the image its class stands.
pub type ClassifiedV6 = ([u8; 16], u8, u32);

/// The contents of the kernel's LPM tries, for the `lpm-trie` lookup.
#[derive(Clone, Debug)]
pub struct LpmPrefixes {
    pub v4: Vec<ClassifiedV4>,
    pub v6: Vec<ClassifiedV6>,
}

/// The image was not compiled from this policy and this data: it lacks a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image was compiled from another policy or database")]
pub struct ForeignImage;

impl Image {
    /// Every IPv4 prefix at which the class may change, 0.0.0.0/0 included, in order of address, then length.
    pub fn prefixes_v4(
        &self,
        policy: &Policy,
        database: &Database,
    ) -> Result<Vec<ClassifiedV4>, ForeignImage> {
        self.prefixes_of(policy, database, Family::V4, |prefix, class| {
            let address = Ipv4Addr::from_bits((prefix.start >> 96) as u32);
            (address.octets(), prefix.length, class)
        })
    }

    /// Every IPv6 prefix at which the class may change, ::/0 included, in order of address, then length.
    pub fn prefixes_v6(
        &self,
        policy: &Policy,
        database: &Database,
    ) -> Result<Vec<ClassifiedV6>, ForeignImage> {
        self.prefixes_of(policy, database, Family::V6, |prefix, class| {
            let address = Ipv6Addr::from_bits(prefix.start);
            (address.octets(), prefix.length, class)
        })
    }

    fn prefixes_of<T>(
        &self,
        policy: &Policy,
        database: &Database,
        family: Family,
        classified: impl Fn(Prefix, u32) -> T,
    ) -> Result<Vec<T>, ForeignImage> {
        let (table, records) = self.class_table();
        let positions: HashMap<_, u32> =
            records.iter().zip((table..).step_by(CLASS_WORDS)).collect();
        // Exceptions that have expired since were compiled, so the groups are those of the time of compilation.
        let then = Target {
            compiled: self.compiled(),
            ..Target::default()
        };
        let exceptions = Exceptions::new(policy, &then).map_err(|_| ForeignImage)?;
        let lists = ListSets::new(policy);
        let sets = ListSetTable::new(&lists, self.words()[header::LISTS]);
        let position = |key: ClassKey| {
            let record = class_record(policy, &exceptions, &sets, key);
            positions.get(&record).copied()
        };
        let mut last: Option<(ClassKey, u32)> = None;
        let mut all = Vec::new();
        let mut shadows = Shadows::default();
        nested(
            policy,
            database,
            &exceptions,
            &lists,
            family,
            |prefix, key| {
                shadows.pass(prefix);
                let known = last.filter(|(known, _)| *known == key).map(|(_, at)| at);
                match known.or_else(|| position(key)) {
                    Some(at) => {
                        last = Some((key, at));
                        all.push(classified(prefix, at));
                    }
                    None => shadows.expect(prefix),
                }
            },
        );
        if shadows.are_complete() {
            Ok(all)
        } else {
            Err(ForeignImage)
        }
    }
}

/// Prefixes whose class the image lacks. If longer prefixes cover all of their addresses, they can be left out;
/// otherwise the image is of another policy.
#[derive(Default)]
struct Shadows {
    /// Those that may contain prefixes still to come, each with the last of its addresses that longer ones cover.
    open: Vec<(Prefix, Option<u128>)>,
    failed: bool,
}

impl Shadows {
    fn expect(&mut self, prefix: Prefix) {
        self.open.push((prefix, None));
    }

    /// Records the next prefix in order.
    fn pass(&mut self, prefix: Prefix) {
        self.close_unless(|open| open.contains(prefix));
        for (open, last) in &mut self.open {
            let next = last.map_or(Some(open.start), |last| last.checked_add(1));
            self.failed |= next.is_some_and(|next| prefix.start > next);
            *last = (*last).max(Some(prefix.end()));
        }
    }

    fn close_unless(&mut self, stays: impl Fn(Prefix) -> bool) {
        while let Some((closed, last)) = self.open.pop_if(|(open, _)| !stays(*open)) {
            self.failed |= last != Some(closed.end());
        }
    }

    fn are_complete(mut self) -> bool {
        self.close_unless(|_| false);
        !self.failed
    }
}

/// What one source says about a prefix.
#[derive(Clone, Copy)]
enum Statement {
    /// Nothing: the prefix of all addresses, which is always present.
    Default,
    Country(Country),
    SpecialUse(Class),
    OnList(OperatorList),
    Excepted(u32),
    OnSet(u32),
}

/// What applies inside a prefix: the statements about it and about all that contain it.
#[derive(Clone, Copy)]
struct Known {
    country: Country,
    special_use: Option<Class>,
    lists: Class,
    group: u32,
    set: u32,
}

impl Known {
    const NOTHING: Self = Self {
        country: Country::UNKNOWN,
        special_use: None,
        lists: Class::of_country(Country::NONE),
        group: 0,
        set: 0,
    };

    fn with(self, statement: Statement) -> Self {
        match statement {
            Statement::Default => self,
            Statement::Country(country) => Self { country, ..self },
            Statement::SpecialUse(class) => Self {
                special_use: Some(class),
                ..self
            },
            Statement::OnList(list) => Self {
                lists: self.lists.with_list(list),
                ..self
            },
            Statement::Excepted(group) => Self { group, ..self },
            Statement::OnSet(set) => Self { set, ..self },
        }
    }

    fn class_key(self, lists: &ListSets) -> ClassKey {
        let class = self
            .special_use
            .unwrap_or(Class::of_country(self.country))
            .with_lists_of(self.lists);
        ClassKey::new(class, self.group).with_lists(self.set, lists)
    }
}

/// Calls `each` with every prefix and its class key. A prefix of the data inside special-use space is left out, because
/// it changes nothing there.
fn nested(
    policy: &Policy,
    database: &Database,
    exceptions: &Exceptions,
    lists: &ListSets,
    family: Family,
    mut each: impl FnMut(Prefix, ClassKey),
) {
    let mut data = prefix::countries(database, family)
        .map(|(prefix, country)| (prefix, Statement::Country(country)))
        .peekable();
    let mut overlay = overlay(policy, exceptions, lists, family)
        .into_iter()
        .peekable();
    // The prefixes that contain the current one, longest last.
    let mut holding: Vec<(Prefix, Known)> = Vec::new();
    while let Some(prefix) = [
        data.peek().map(|(prefix, _)| *prefix),
        overlay.peek().map(|(prefix, _)| *prefix),
    ]
    .into_iter()
    .flatten()
    .min()
    {
        while holding
            .pop_if(|(above, _)| !above.contains(prefix))
            .is_some()
        {}
        let inherited = holding.last().map_or(Known::NOTHING, |(_, known)| *known);
        let mut known = inherited;
        let mut matters = inherited.special_use.is_none();
        while let Some((_, statement)) = data.next_if(|(next, _)| *next == prefix) {
            known = known.with(statement);
        }
        while let Some((_, statement)) = overlay.next_if(|(next, _)| *next == prefix) {
            known = known.with(statement);
            matters = true;
        }
        if matters {
            each(prefix, known.class_key(lists));
        }
        holding.push((prefix, known));
    }
}

/// The statements of all sources but the database, sorted by prefix.
fn overlay(
    policy: &Policy,
    exceptions: &Exceptions,
    list_sets: &ListSets,
    family: Family,
) -> Vec<(Prefix, Statement)> {
    let special_use = prefix::special_use(policy, family)
        .into_iter()
        .map(|(prefix, class)| (prefix, Statement::SpecialUse(class)));
    let lists = LISTS.into_iter().flat_map(|list| {
        prefix::list(policy, list, family)
            .into_iter()
            .map(move |prefix| (prefix, Statement::OnList(list)))
    });
    let excepted = exceptions
        .sources(family)
        .iter()
        .map(|(prefix, group)| (*prefix, Statement::Excepted(*group)));
    let sets = list_sets.prefixes(family);
    let sets = sets.map(|(prefix, set)| (prefix, Statement::OnSet(set)));
    let mut all: Vec<_> = [(Prefix::ALL, Statement::Default)]
        .into_iter()
        .chain(special_use)
        .chain(lists)
        .chain(excepted)
        .chain(sets)
        .collect();
    all.sort_by_key(|(prefix, _)| *prefix);
    all
}
