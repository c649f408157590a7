//! Tables that a file may have any number of, such as `[[list]]`: each with its keys, read one entry at a time.
//!
//! A table is declared like the keys at the top, and documented from the same declaration. An entry with a fault
//! changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use geofence_common::image::list_set::identity;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Problem, quoted};
use super::keys::Key;
use super::value::{self, Given};
use super::{Config, docs, exceptions, lists, tenants};
use crate::model::text::nearest;

/// Every table, in the order of the documentation; those that others name come before them.
pub(super) static TABLES: [&(dyn AnyTable + Sync); 4] = [
    &tenants::TENANT,
    &exceptions::EXCEPTION,
    &exceptions::PROTECT,
    &lists::LIST,
];

/// A kind of table, whatever its entries are made of.
pub(super) trait AnyTable {
    fn name(&self) -> &'static str;

    /// Reads all entries into the configuration.
    fn read(
        &self,
        config: &mut Config,
        name: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    );

    /// Writes what there is to say about the table and its keys.
    fn describe(&self, out: &mut String);
}

/// A kind of table whose entries are made into a `T`.
pub(super) struct Table<T: 'static> {
    pub(super) name: &'static str,
    /// One line.
    pub(super) meaning: &'static str,
    /// What else an operator should know, in Markdown.
    pub(super) details: &'static str,
    /// The first key names the entry; no two entries have the same name.
    pub(super) keys: &'static [Key<T>],
    /// Keys that an entry must have.
    pub(super) required: &'static [&'static str],
    /// What an entry is before its keys are read, and how the documentation writes the default of a key.
    pub(super) blank: fn() -> T,
    pub(super) default: fn(&'static str) -> &'static str,
    /// Puts a whole entry where it belongs, or says what its keys do not make together.
    pub(super) finish: fn(&mut Config, T, &Places, &mut Vec<Fault>),
}

/// The names of a table's entries so far: where each stands, and whose each identity is.
#[derive(Default)]
struct Named {
    places: BTreeMap<String, Range<usize>>,
    identities: BTreeMap<u32, String>,
}

/// Where the parts of an entry stand.
pub(super) struct Places {
    pub(super) entry: Range<usize>,
    pub(super) keys: BTreeMap<&'static str, Range<usize>>,
}

impl<T> AnyTable for Table<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(
        &self,
        config: &mut Config,
        name: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    ) {
        let DeValue::Array(entries) = value.get_ref() else {
            faults.push(self.not_entries(value::called(value.get_ref())).at(name));
            return;
        };
        let mut names = Named::default();
        for entry in entries.iter() {
            match entry.get_ref() {
                DeValue::Table(keys) => {
                    self.name_once(keys, &mut names, faults);
                    self.read_entry(config, keys, header(entry.span(), &name), faults);
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    let found = value::called(entry.get_ref());
                    faults.push(self.not_entries(found).at(entry.span()));
                }
            }
        }
    }

    fn describe(&self, out: &mut String) {
        // Writing to a string cannot fail, here and below.
        _ = writeln!(out, "{} {}\n", self.meaning, self.details);
        out.push_str("```toml\n");
        _ = writeln!(out, "[[{}]]", self.name);
        for key in self.keys {
            _ = writeln!(out, "{}", key.example);
        }
        out.push_str("```\n");
        for key in self.keys {
            _ = write!(out, "\n#### {}.{}\n\n", self.name, key.name);
            docs::describe(out, key, (self.default)(key.name));
        }
    }
}

impl<T> Table<T> {
    fn read_entry(
        &self,
        config: &mut Config,
        table: &DeTable<'_>,
        entry: Range<usize>,
        faults: &mut Vec<Fault>,
    ) {
        let before = faults.len();
        let mut read = (self.blank)();
        let mut keys = BTreeMap::new();
        for (name, value) in table {
            let Some(key) = self.keys.iter().find(|key| key.name == name.get_ref()) else {
                faults.push(self.unknown_key(name.get_ref()).at(name.span()));
                continue;
            };
            keys.insert(key.name, name.span());
            if let Some(given) = Given::from_toml(key, name.span(), value, faults) {
                (key.set)(&mut read, &given, faults);
            }
        }
        for name in self.required {
            if !keys.contains_key(name) {
                let example = self.keys.iter().find(|key| key.name == *name);
                faults.push(
                    Problem::new(
                        format!("a `[[{}]]` needs the key `{name}`", self.name),
                        format!("no `{name}` in this table"),
                        format!(
                            "add a line such as: {}",
                            example.map_or("", |key| key.example)
                        ),
                    )
                    .at(entry.clone()),
                );
            }
        }
        if faults.len() == before {
            (self.finish)(config, read, &Places { entry, keys }, faults);
        }
    }

    /// Makes sure that no other entry has the name of this one.
    fn name_once(&self, table: &DeTable<'_>, names: &mut Named, faults: &mut Vec<Fault>) {
        let named = self.keys.first().and_then(|key| table.get(key.name));
        let Some(named) = named else { return };
        let DeValue::String(name) = named.get_ref() else {
            return;
        };
        if let Some(first) = names.places.insert(name.to_string(), named.span()) {
            let problem = Problem::new(
                format!("there are two of the name {}", quoted(name)),
                "given again here",
                "give one of the two another name",
            );
            faults.push(problem.at(named.span()).and(first, "first given here"));
            return;
        }
        // What is counted by name in the kernel is known there by a number of 32 bits.
        if !["list", "tenant"].contains(&self.name) {
            return;
        }
        if let Some(other) = names
            .identities
            .insert(identity(name.as_bytes()), name.to_string())
        {
            let problem = Problem::new(
                format!(
                    "the names {} and {} cannot be told apart in the kernel",
                    quoted(&other),
                    quoted(name)
                ),
                "by chance, both become the same number",
                "give one of the two another name",
            );
            faults.push(problem.at(named.span()));
        }
    }

    fn unknown_key(&self, name: &str) -> Problem {
        let names = || self.keys.iter().map(|key| key.name);
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

    fn not_entries(&self, found: &str) -> Problem {
        Problem::new(
            format!("`{}` is a table of which there may be several", self.name),
            format!("expected [[{}]], found {found}", self.name),
            format!(
                "write [[{}]] on a line of its own, and its keys below",
                self.name
            ),
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
