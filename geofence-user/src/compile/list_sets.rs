//! Sets of lists, as an image holds them: `geofence_common::contact` reads what is made here.
//!
//! Prefixes hold each other or have nothing in common, so an address is on the lists of the longest prefix that holds
//! it and of all around that. Every distinct set of lists is written once, and a class names the set of its addresses.

use std::collections::HashMap;

use geofence_common::action::Direction;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::{LIST_WORDS, LISTS_MAX, RATE_LIMITS, identity, traits};
use geofence_common::image::{LINE_WORDS, Line};

use super::prefix::{Family, Prefix};
use crate::model::list::Action;
use crate::model::listing::Listing;
use crate::model::policy::Policy;

/// A prefix, and what is said of it. Lists have millions, so it is kept small.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    start: u128,
    length: u8,
    /// The position of a list; later, the number of the set of all lists that hold the prefix.
    number: u32,
}

impl Said {
    const fn prefix(self) -> Prefix {
        Prefix {
            start: self.start,
            length: self.length,
        }
    }
}

/// The sets of lists that addresses are on, and which is whose.
pub(super) struct Lists {
    /// What each list is in a set: its identity and traits.
    lists: Vec<[u32; LIST_WORDS as usize]>,
    /// Which lists are in each set, by position. The first is empty.
    sets: Vec<Vec<u32>>,
    /// The flags that addresses on each have in their class.
    flags: Vec<Class>,
    /// Prefixes with the number of their set, sorted, by family.
    prefixes: [Vec<Said>; 2],
}

/// A class of which only what lists make of it is ever looked at.
const UNLISTED: Class = Class::of_country(geofence_common::country::Country::NONE);

impl Lists {
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
    ) -> Vec<Said> {
        let mut said: Vec<Said> = (0..)
            .zip(&policy.lists)
            .flat_map(|(number, list)| {
                let entries = list.entries().iter();
                entries.filter_map(move |entry| {
                    let Prefix { start, length } = Prefix::of(&entry.net, family)?;
                    Some(Said {
                        start,
                        length,
                        number,
                    })
                })
            })
            .collect();
        said.sort_unstable();
        // The prefixes that hold the present one, longest last, each with its set.
        let mut holding: Vec<(Prefix, u32)> = Vec::new();
        // A set and one more list most often make a set that is known.
        let mut grown: HashMap<(u32, u32), u32> = HashMap::new();
        let mut kept = 0;
        for at in 0..said.len() {
            let one = said[at];
            let prefix = one.prefix();
            while holding.pop_if(|(above, _)| !above.holds(prefix)).is_some() {}
            let around = holding.last().map_or(0, |(_, set)| *set);
            let set = *grown
                .entry((around, one.number))
                .or_insert_with(|| self.with(around, one.number, policy, known));
            match holding.last_mut() {
                Some((above, last)) if *above == prefix => {
                    *last = set;
                    said[kept - 1].number = set;
                }
                _ => {
                    holding.push((prefix, set));
                    said[kept] = Said { number: set, ..one };
                    kept += 1;
                }
            }
        }
        said.truncate(kept);
        said
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
        prefixes.map(|said| (said.prefix(), said.number))
    }

    /// A class whose addresses are on a set of lists.
    pub(super) fn mark(&self, class: Class, set: u32) -> Class {
        class.with_lists_of(self.flags[set as usize])
    }

    /// Whether any address is on a list that is about what goes out.
    pub(super) fn are_about_what_leaves(&self) -> bool {
        self.flags
            .iter()
            .any(|flags| flags.is_listed(Direction::Out))
    }

    /// The sets as lines, and where in these each starts; the empty one is nowhere.
    pub(super) fn lines(&self) -> (Vec<Line>, Vec<u32>) {
        let mut words = Vec::new();
        let mut starts = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            starts.push(words.len() as u32);
            if set.is_empty() {
                continue;
            }
            let mut lists: Vec<_> = set.iter().map(|list| self.lists[*list as usize]).collect();
            // Of more than are counted, those that block stay.
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

/// What a list is in a set.
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
