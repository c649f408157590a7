//! Tables that a file may have any number of, such as `[[list]]`: each with its keys, read one entry at a time.
//!
//! A table is declared from the same keys as the top level, and documented from them. An entry with a fault changes
//! nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use geofence_common::image::list_set::identity;
use toml::de::{DeTable, DeValue};

use super::configuration::Config;
use super::error::{Fault, Problem, quoted};
use super::key::Key;
use super::key_doc::KeyDoc;
use super::value::{self, Value};
use crate::model::text::nearest;

/// A kind of table, whatever its entries are made of.
pub(super) trait AnyTable: Send + Sync {
    fn name(&self) -> &'static str;

    /// What an entry is, in one line.
    fn meaning(&self) -> &'static str;

    /// What its keys are.
    fn keys(&self) -> Vec<&KeyDoc>;

    /// Reads all entries into the configuration.
    fn read(
        &self,
        config: &mut Config,
        name: Range<usize>,
        value: &toml::Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    );

    /// Writes the documentation of the table and its keys.
    fn describe(&self, out: &mut String);
}

/// A kind of table whose entries are read into a `T`.
pub(super) struct Table<T> {
    pub(super) name: &'static str,
    /// One line.
    pub(super) meaning: &'static str,
    /// What else an operator should know, in Markdown.
    pub(super) details: &'static str,
    /// The first key names the entry; no two entries have the same name.
    pub(super) keys: Vec<Key<T>>,
    /// Adds a whole entry to the configuration, or reports why its keys do not fit together.
    pub(super) finish: fn(&mut Config, T, &Places, &mut Vec<Fault>),
}

/// The names of a table's entries so far: the place of each, and the entry that each kernel identity belongs to.
#[derive(Default)]
struct EntryNames {
    places: BTreeMap<String, Range<usize>>,
    identities: BTreeMap<u32, String>,
}

/// Where the parts of an entry, or the keys of the top level, stand.
#[derive(Default)]
pub(super) struct Places {
    pub(super) entry: Range<usize>,
    pub(super) keys: BTreeMap<&'static str, Range<usize>>,
}

impl Places {
    /// The place of a key; of the whole entry, if the key is left out.
    pub(super) fn of(&self, key: &str) -> Range<usize> {
        self.keys.get(key).unwrap_or(&self.entry).clone()
    }

    /// Reports that both `block` and `allow-only` are set, if so.
    pub(super) fn refuse_both_rules(&self, faults: &mut Vec<Fault>) {
        if let (Some(one), Some(other)) = (self.keys.get("block"), self.keys.get("allow-only")) {
            let (first, second) = if one.start < other.start {
                (one, other)
            } else {
                (other, one)
            };
            let problem = Problem::new(
                "`block` and `allow-only` are both set",
                "the other",
                "keep `block` to block the countries listed, or `allow-only` to block all but those listed",
            );
            let fault = problem.at(second.clone());
            faults.push(fault.and(first.clone(), "one of the two"));
        }
    }
}

impl<T: Default + 'static> AnyTable for Table<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn meaning(&self) -> &'static str {
        self.meaning
    }

    fn keys(&self) -> Vec<&KeyDoc> {
        self.keys.iter().map(|key| &key.doc).collect()
    }

    fn read(
        &self,
        config: &mut Config,
        name: Range<usize>,
        value: &toml::Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    ) {
        let DeValue::Array(entries) = value.get_ref() else {
            faults.push(self.not_entries(value.get_ref()).at(name));
            return;
        };
        let mut names = EntryNames::default();
        for entry in entries.iter() {
            if let DeValue::Table(keys) = entry.get_ref() {
                self.refuse_same_name(keys, &mut names, faults);
                self.read_entry(config, keys, header(entry.span(), &name), faults);
            } else {
                faults.push(self.not_entries(entry.get_ref()).at(entry.span()));
            }
        }
    }

    fn describe(&self, out: &mut String) {
        // Writing to a string cannot fail, here and below.
        _ = writeln!(out, "{} {}\n", self.meaning, self.details);
        out.push_str("```toml\n");
        _ = writeln!(out, "[[{}]]", self.name);
        for key in &self.keys {
            _ = writeln!(out, "{}", key.doc.example);
        }
        out.push_str("```\n");
        for key in &self.keys {
            _ = write!(out, "\n#### {}.{}\n\n", self.name, key.doc.name);
            key.doc.describe(out, key.doc.default);
        }
    }
}

impl<T: Default + 'static> Table<T> {
    fn read_entry(
        &self,
        config: &mut Config,
        table: &DeTable<'_>,
        entry: Range<usize>,
        faults: &mut Vec<Fault>,
    ) {
        let before = faults.len();
        let mut read = T::default();
        let mut keys = BTreeMap::new();
        for (name, value) in table {
            let Some(key) = self.keys.iter().find(|key| key.doc.name == name.get_ref()) else {
                faults.push(self.unknown_key(name.get_ref()).at(name.span()));
                continue;
            };
            keys.insert(key.doc.name, name.span());
            if let Some(value) = Value::from_toml(&key.doc, name.span(), value, faults) {
                (key.set)(&mut read, &value, faults);
            }
        }
        let docs = self.keys.iter().map(|key| &key.doc);
        for key in docs.filter(|key| key.is_required && !keys.contains_key(key.name)) {
            let problem = Problem::new(
                format!("a `[[{}]]` needs the key `{}`", self.name, key.name),
                format!("no `{}` in this table", key.name),
                format!("add a line such as: {}", key.example),
            );
            faults.push(problem.at(entry.clone()));
        }
        if faults.len() == before {
            (self.finish)(config, read, &Places { entry, keys }, faults);
        }
    }

    /// Reports an entry with the name of another.
    fn refuse_same_name(
        &self,
        table: &DeTable<'_>,
        names: &mut EntryNames,
        faults: &mut Vec<Fault>,
    ) {
        let named = self.keys.first().and_then(|key| table.get(key.doc.name));
        let Some(named) = named else { return };
        let DeValue::String(name) = named.get_ref() else {
            return;
        };
        if let Some(first) = names.places.insert(name.to_string(), named.span()) {
            let problem = Problem::new(
                format!("the name {} is used twice", quoted(name)),
                "given again here",
                "give one of the two another name",
            );
            faults.push(problem.at(named.span()).and(first, "first given here"));
            return;
        }
        // The kernel knows lists and tenants by a hash of 32 bits of their name.
        if !["list", "tenant"].contains(&self.name) {
            return;
        }
        let identity = identity(name.as_bytes());
        if let Some(other) = names.identities.insert(identity, name.to_string()) {
            let problem = Problem::new(
                format!(
                    "the kernel cannot tell the names {} and {} apart",
                    quoted(&other),
                    quoted(name)
                ),
                "both names have the same hash",
                "give one of the two another name",
            );
            faults.push(problem.at(named.span()));
        }
    }

    fn unknown_key(&self, name: &str) -> Problem {
        let names = || self.keys.iter().map(|key| key.doc.name);
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "the keys of `[[{}]]` are {}; keys for everything stand above the first table",
                self.name,
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        Problem::new(
            format!("there is no key {} in `[[{}]]`", quoted(name), self.name),
            "unknown key",
            help,
        )
    }

    fn not_entries(&self, found: &DeValue<'_>) -> Problem {
        let name = self.name;
        Problem::new(
            format!("`{name}` is a table of which there may be several"),
            format!("expected [[{name}]], found {}", value::type_name(found)),
            format!("write [[{name}]] on a line of its own, and its keys below"),
        )
    }
}

/// The place of an entry's heading, or of the word that all entries share where the parser has no place for one.
fn header(entry: Range<usize>, name: &Range<usize>) -> Range<usize> {
    if entry.is_empty() {
        name.clone()
    } else {
        entry
    }
}
