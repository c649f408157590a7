//! What every format shares: entries are added, faults collected, and their places in the text worked out.
//!
//! A format walks the text and calls `add`, `fault` and `skip`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde_json::value::RawValue;

use super::address::{self, Span};
use super::problem::{Fault, Problem, quoted};
use crate::model::listing::{Entry, Place};
use crate::model::units::UnixSeconds;

/// More entries than this are a mistake: no list has so many.
const ENTRIES_MAX: usize = 16 << 20;

/// With this many faults, the text is not a list of the format.
const FAULTS_MAX: usize = 100;

/// The state of reading one text.
pub(super) struct Parser<'a> {
    text: &'a str,
    now: UnixSeconds,
    pub(super) entries: Vec<Entry>,
    pub(super) faults: Vec<Fault>,
    pub(super) skipped: BTreeMap<&'static str, usize>,
    /// Whether the text says that it is whole, so that nothing in it means an empty list.
    pub(super) is_whole: bool,
    entries_max: usize,
    /// How many entries there may be, once there are more.
    pub(super) too_many: Option<usize>,
    /// The line that `counted` is in. Places are asked for nearly in order, so lines are counted on from the last one.
    line: u32,
    line_start: usize,
    counted: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, now: UnixSeconds, entries_max: Option<usize>) -> Self {
        Self {
            text,
            now,
            entries: Vec::new(),
            faults: Vec::new(),
            skipped: BTreeMap::new(),
            is_whole: false,
            entries_max: entries_max.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX),
            too_many: None,
            line: 1,
            line_start: 0,
            counted: 0,
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn now(&self) -> u64 {
        self.now.0
    }

    /// Whether there are so many faults or entries that reading on gains nothing.
    pub(super) fn is_over(&self) -> bool {
        self.faults.len() >= FAULTS_MAX || self.too_many.is_some()
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// How many entries there are so far.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The place of a part of the text.
    pub(super) fn place(&mut self, part: &str) -> Place {
        self.place_at(self.offset(part))
    }

    fn offset(&self, part: &str) -> usize {
        let offset = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        offset
            .filter(|offset| *offset <= self.text.len())
            .unwrap_or(0)
    }

    pub(super) fn place_at(&mut self, offset: usize) -> Place {
        if offset < self.counted {
            (self.line, self.line_start, self.counted) = (1, 0, 0);
        }
        let between = self.text.as_bytes().get(self.counted..offset);
        for (at, byte) in between.unwrap_or_default().iter().enumerate() {
            if *byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.counted + at + 1;
            }
        }
        self.counted = offset;
        Place {
            line: self.line,
            column: u32::try_from(offset - self.line_start + 1).unwrap_or(u32::MAX),
        }
    }

    /// Records a fault in a part of the text.
    pub(super) fn fault(&mut self, part: &str, what: impl Into<String>, help: impl Into<String>) {
        let place = self.place(part);
        self.fault_at(place, what, help);
    }

    pub(super) fn fault_at(
        &mut self,
        place: Place,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.push(Problem::new(what, help).at(place));
    }

    /// Counts an item that is not an entry for this list.
    pub(super) fn skip(&mut self, what: &'static str) {
        *self.skipped.entry(what).or_default() += 1;
    }

    /// Adds the addresses that a word of the text stands for.
    pub(super) fn add(&mut self, word: &str, expires: Option<u64>) {
        let place = self.place(word);
        self.add_at(place, word, expires);
    }

    /// Adds the addresses that a word from this place stands for.
    pub(super) fn add_at(&mut self, place: Place, word: &str, expires: Option<u64>) {
        // A time beyond the range of the field counts as never.
        let expires = expires
            .map(|time| time.max(1))
            .and_then(|time| u32::try_from(time).ok())
            .and_then(NonZeroU32::new);
        let entry = |net| Entry {
            net,
            place,
            expires,
        };
        match address::parse(word) {
            Ok(Span::One(net)) => self.entries.push(entry(net)),
            Ok(Span::Range(nets)) => self.entries.extend(nets.map(entry)),
            Err(problem) => self.faults.push(problem.at(place)),
        }
        if self.entries.len() > self.entries_max {
            // Without the memory of what is not used.
            self.entries = Vec::new();
            self.too_many = Some(self.entries_max);
        }
    }

    /// A JSON document of this shape; or a fault.
    pub(super) fn json<T: serde::Deserialize<'a>>(&mut self, expected: &str) -> Option<T> {
        let read = serde_json::from_str(self.text);
        read.inspect_err(|error| {
            let number = |number| u32::try_from(number).unwrap_or(u32::MAX).max(1);
            let (line, column) = (number(error.line()), number(error.column()));
            self.json_fault(Place { line, column }, error, expected);
        })
        .ok()
    }

    /// One item of a JSON document; or a fault at its place.
    pub(super) fn item<T: serde::Deserialize<'a>>(
        &mut self,
        item: &'a RawValue,
        expected: &str,
    ) -> Option<T> {
        let read = serde_json::from_str(item.get());
        read.inspect_err(|error| {
            let place = self.place(item.get());
            self.json_fault(place, error, expected);
        })
        .ok()
    }

    fn json_fault(&mut self, place: Place, error: &serde_json::Error, expected: &str) {
        let said = error.to_string();
        // The parser counts lines from the start of what it was given, which may be one item.
        let said = said.split(" at line ").next().unwrap_or_default();
        let (what, help) = if error.is_eof() {
            ("the text ends in the middle".to_owned(), "fetch it again")
        } else if error.is_syntax() {
            (
                format!("this is not JSON: {said}"),
                "fetch it again, or name the format it has",
            )
        } else {
            (
                format!("this is not {expected}: {}", quoted(said).replace('`', "")),
                "name the format the list has",
            )
        };
        self.fault_at(place, what, help);
    }

    /// The address in a JSON string, added at the place of that string.
    pub(super) fn add_item(&mut self, value: &'a RawValue, expires: Option<u64>) {
        if let Some(word) = self.item::<String>(value, "an address in quotes") {
            let place = self.place(value.get());
            self.add_at(place, &word, expires);
        }
    }
}

/// Whether a JSON text is a list.
pub(super) fn is_json_list(json: &str) -> bool {
    json.trim_start().starts_with('[')
}
