//! List sets: for each address, which lists it is on. `geofence_common::image::list_set` reads them.
//!
//! Two prefixes contain one another or are disjoint, so an address is on the lists of the longest prefix that contains
//! it and of all prefixes around that one. Each distinct set is written once; class records refer to it.

use std::collections::HashMap;

use geofence_common::action::Direction;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::{LIST_WORDS, LISTS_MAX, RATE_LIMITS, identity, traits};
use geofence_common::image::{LINE_WORDS, Line};

use super::prefix::{Family, Prefix};
use crate::model::list::Action;
use crate::model::listing::Listing;
use crate::model::policy::Policy;

/// A listed prefix. Lists have millions, so it is kept small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ListedPrefix {
    start: u128,
    length: u8,
    /// First the position of a list, then the number of the set of all lists that contain the prefix.
    number: u32,
}

impl ListedPrefix {
    const fn prefix(self) -> Prefix {
        Prefix {
            start: self.start,
            length: self.length,
        }
    }
}

/// The distinct sets of lists, and the prefixes of each.
pub(super) struct ListSets {
    /// Each list as it is written in a set: its identity and traits.
    lists: Vec<[u32; LIST_WORDS as usize]>,
    /// The lists in each set, by position. The first set is empty.
    sets: Vec<Vec<u32>>,
    /// The flags of each set for a class.
    flags: Vec<Class>,
    /// Prefixes with the number of their set, sorted, by family.
    prefixes: [Vec<ListedPrefix>; 2],
}

/// A class on no list. Only the list flags of such a class are used.
const UNLISTED: Class = Class::of_country(geofence_common::country::Country::NONE);

impl ListSets {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut this = Self {
            lists: (0..).zip(&policy.lists).map(words).collect(),
            sets: vec![Vec::new()],
            flags: vec![UNLISTED],
            prefixes: [Vec::new(), Vec::new()],
        };
        let mut known = HashMap::from([(Vec::new(), 0)]);
        this.prefixes = Family::ALL.map(|family| this.number(policy, family, &mut known));
        this
    }

    /// Numbers the sets of one family's prefixes.
    fn number(
        &mut self,
        policy: &Policy,
        family: Family,
        known: &mut HashMap<Vec<u32>, u32>,
    ) -> Vec<ListedPrefix> {
        let mut listed: Vec<ListedPrefix> = (0..)
            .zip(&policy.lists)
            .flat_map(|(number, list)| {
                let entries = list.entries().iter();
                entries.filter_map(move |entry| {
                    let Prefix { start, length } = Prefix::of(&entry.net, family)?;
                    Some(ListedPrefix {
                        start,
                        length,
                        number,
                    })
                })
            })
            .collect();
        listed.sort_unstable();
        // The prefixes that contain the current one, longest last, each with its set.
        let mut holding: Vec<(Prefix, u32)> = Vec::new();
        // Adding a list to a set usually gives a set that is already known.
        let mut grown: HashMap<(u32, u32), u32> = HashMap::new();
        let mut kept = 0;
        for at in 0..listed.len() {
            let one = listed[at];
            let prefix = one.prefix();
            while holding
                .pop_if(|(above, _)| !above.contains(prefix))
                .is_some()
            {}
            let around = holding.last().map_or(0, |(_, set)| *set);
            let set = *grown
                .entry((around, one.number))
                .or_insert_with(|| self.with(around, one.number, policy, known));
            match holding.last_mut() {
                Some((above, last)) if *above == prefix => {
                    *last = set;
                    listed[kept - 1].number = set;
                }
                _ => {
                    holding.push((prefix, set));
                    listed[kept] = ListedPrefix { number: set, ..one };
                    kept += 1;
                }
            }
        }
        listed.truncate(kept);
        listed
    }

    /// The number of a set with one more list in it.
    fn with(
        &mut self,
        set: u32,
        list: u32,
        policy: &Policy,
        known: &mut HashMap<Vec<u32>, u32>,
    ) -> u32 {
        let mut lists = self.sets[set as usize].clone();
        match lists.binary_search(&list) {
            Ok(_) => return set,
            Err(at) => lists.insert(at, list),
        }
        let next = self.sets.len() as u32;
        let number = *known.entry(lists.clone()).or_insert(next);
        if number == next {
            let flags = self.flags[set as usize];
            self.flags.push(policy.lists[list as usize].mark(flags));
            self.sets.push(lists);
        }
        number
    }

    /// The prefixes on lists with the number of their set, sorted.
    pub(super) fn prefixes(&self, family: Family) -> impl Iterator<Item = (Prefix, u32)> {
        let prefixes = self.prefixes[family as usize].iter();
        prefixes.map(|listed| (listed.prefix(), listed.number))
    }

    /// The class with the flags of a set.
    pub(super) fn apply(&self, class: Class, set: u32) -> Class {
        class.with_lists_of(self.flags[set as usize])
    }

    /// Whether any address is on a list.
    pub(super) fn has_any(&self) -> bool {
        let is_listed = |flags: &Class, direction| flags.is_listed(direction);
        self.flags
            .iter()
            .any(|flags| is_listed(flags, Direction::In) || is_listed(flags, Direction::Out))
    }

    /// Whether any address is on a list for outbound packets.
    pub(super) fn has_outbound(&self) -> bool {
        self.flags
            .iter()
            .any(|flags| flags.is_listed(Direction::Out))
    }

    /// The sets as lines, and the start of each in words; the empty one is not stored.
    pub(super) fn lines(&self) -> (Vec<Line>, Vec<u32>) {
        let mut words = Vec::new();
        let mut starts = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            starts.push(words.len() as u32);
            if set.is_empty() {
                continue;
            }
            let mut lists: Vec<_> = set.iter().map(|list| self.lists[*list as usize]).collect();
            // If there are more than can be counted, lists that block are kept first.
            lists.sort_by_key(|[identity, traits]| (traits & traits::BLOCK == 0, *identity));
            lists.truncate(LISTS_MAX as usize);
            lists.sort_unstable();
            words.push(lists.len() as u32);
            words.extend(lists.into_iter().flatten());
        }
        words.resize(words.len().next_multiple_of(LINE_WORDS), 0);
        (words.as_chunks().0.to_vec(), starts)
    }
}

/// A list as it is written in a set.
fn words((number, list): (u32, &Listing)) -> [u32; LIST_WORDS as usize] {
    let mut traits = (number % RATE_LIMITS) << traits::RATE_LIMIT;
    if list.direction.is(Direction::In) {
        traits |= traits::IN;
    }
    if list.direction.is(Direction::Out) {
        traits |= traits::OUT;
    }
    if list.action == Action::Block {
        traits |= traits::BLOCK;
    }
    [identity(list.name.as_bytes()), traits]
}
