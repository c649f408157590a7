//! The class table of an image: one record for each distinct answer about an address.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{
    CLASS_WORDS, LINE_WORDS, Line, class_leaf, class_position, class_record,
};

use super::class_key::ClassKey;
use super::exceptions::Exceptions;
use super::layer::Layer;
use super::list_sets::ListSets;
use crate::model::policy::Policy;

/// The distinct class keys, each with a number. There may be as many as exceptions, so the steps of a layer carry
/// numbers, and no key is looked up twice.
pub(super) struct ClassNumbers {
    numbers: HashMap<ClassKey, u32, FixedState>,
    /// By number, whether a list or an exception made the key.
    named: Vec<bool>,
}

impl ClassNumbers {
    pub(super) fn new() -> Self {
        // The class of an address in no prefix is always there, as the last resort of a lookup.
        let unknown = ClassKey::new(Class::of_country(Country::UNKNOWN), 0);
        Self {
            numbers: std::iter::once((unknown, 0)).collect(),
            named: vec![false],
        }
    }

    pub(super) fn is_named(&self, number: u32) -> bool {
        self.named[number as usize]
    }

    /// The layer with numbers in place of keys.
    pub(super) fn number(&mut self, layer: Layer<ClassKey>) -> Layer<u32> {
        let numbered = layer.into_iter().map(|(start, key)| {
            let next = self.numbers.len() as u32;
            let number = self.numbers.entry(key).or_insert_with(|| {
                self.named.push(key.class.has_lists());
                next
            });
            (start, *number)
        });
        numbered.collect()
    }
}

/// The class table: the distinct class keys in order. Those that lists and exceptions made come last, so that the
/// numbers of the others are small.
pub(super) struct ClassTable {
    keys: Vec<ClassKey>,
    /// The class number of each key, by the number that `ClassNumbers` gave it.
    numbers: Vec<u32>,
}

impl ClassTable {
    pub(super) fn new(keys: ClassNumbers) -> Self {
        let ClassNumbers { numbers, named } = keys;
        let mut keys: Vec<(ClassKey, u32)> = numbers.into_iter().collect();
        keys.sort_unstable_by_key(|(key, number)| (named[*number as usize], *key));
        let mut numbers = vec![0; keys.len()];
        for (class, (_, number)) in (0..).zip(&keys) {
            numbers[*number as usize] = class;
        }
        Self {
            keys: keys.into_iter().map(|(key, _)| key).collect(),
            numbers,
        }
    }

    /// The number of classes.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The leaf of a numbered key.
    pub(super) fn leaf(&self, number: u32) -> u32 {
        class_leaf(self.numbers[number as usize])
    }

    /// The position of its class record in the image.
    pub(super) fn position(&self, number: u32) -> u32 {
        class_position(self.leaf(number))
    }

    pub(super) fn line_count(&self) -> usize {
        (self.keys.len() * CLASS_WORDS).div_ceil(LINE_WORDS)
    }

    /// The table as lines. Only here do the blocked countries and the exceptions for countries enter, so that a change
    /// of a country changes these lines only.
    pub(super) fn lines(
        &self,
        policy: &Policy,
        exceptions: &Exceptions,
        sets: &ListSetTable,
    ) -> Vec<Line> {
        let mut lines = vec![[0; LINE_WORDS]; self.line_count()];
        let (records, _) = lines.as_flattened_mut().as_chunks_mut::<CLASS_WORDS>();
        for (record, key) in records.iter_mut().zip(&self.keys) {
            *record = class_record(policy, exceptions, sets, *key);
        }
        lines
    }
}

/// The list sets as lines.
pub(super) struct ListSetTable {
    /// The position of the first.
    pub(super) at: u32,
    pub(super) lines: Vec<Line>,
    starts: Vec<u32>,
}

impl ListSetTable {
    pub(super) fn new(lists: &ListSets, at: u32) -> Self {
        let (lines, starts) = lists.lines();
        Self { at, lines, starts }
    }

    /// The position of a set; zero for the empty one, which is not stored.
    fn position(&self, set: u32) -> u32 {
        match set {
            0 => 0,
            set => self.at + self.starts[set as usize],
        }
    }
}

/// The class record of a key.
pub(super) fn class_record(
    policy: &Policy,
    exceptions: &Exceptions,
    sets: &ListSetTable,
    key: ClassKey,
) -> [u32; CLASS_WORDS] {
    let class = key
        .class
        .with_blocked(policy.blocks(key.class))
        .with_excepted_country(exceptions.countries.contains(&key.class.country()));
    let mut record = [0; CLASS_WORDS];
    record[class_record::CLASS as usize] = class.to_word();
    record[class_record::GROUP as usize] = key.group;
    record[class_record::LISTS as usize] = sets.position(key.lists);
    record
}
