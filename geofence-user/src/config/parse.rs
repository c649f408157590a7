//! Text to a checked configuration, or to every error in the text at once.

use std::sync::LazyLock;

use toml::de::DeTable;

use super::configuration::Config;
use super::error::{ConfigErrors, Fault, Problem, quoted};
use super::schema::{KEYS, TABLES};
use super::sources::Sources;
use super::table::Places;
use super::value::Value;
use super::{asn_mentions, toml_text};
use crate::model::text::nearest;

/// The default configuration as it is shipped.
pub const DEFAULT: &str = include_str!("../../../deploy/geofence.toml");

/// The name errors would give to the shipped file.
pub(super) const DEFAULT_NAME: &str = "deploy/geofence.toml";

impl Default for Config {
    fn default() -> Self {
        // The shipped file sets every key, so nothing of the blank remains; a test holds it to that.
        static SHIPPED: LazyLock<Config> = LazyLock::new(|| {
            let shipped = Config::blank().read(&Sources::one(DEFAULT_NAME, DEFAULT));
            shipped.unwrap_or_else(|_| Config::blank())
        });
        SHIPPED.clone()
    }
}

impl Config {
    /// Reads a configuration; keys that are left out keep their defaults.
    ///
    /// # Errors
    /// All that is wrong with the text, each with its place under the name of the file.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        Self::default().read(&Sources::one(file_name, text))
    }

    pub(super) fn read(mut self, sources: &Sources) -> Result<Self, ConfigErrors> {
        toml_text::read(sources, same, |table, sources, faults| {
            self.set(table, sources, faults);
        })?;
        Ok(self)
    }

    fn set(&mut self, table: &DeTable<'_>, sources: &Sources, faults: &mut Vec<Fault>) {
        let mut places = Places::default();
        // In the order of the schema, because entries of one table name entries of another.
        for one in TABLES.iter() {
            if let Some((name, value)) = table.get_key_value(one.name()) {
                one.read(self, name.span(), value, faults);
            }
        }
        for (name, value) in table {
            let (name, span) = (name.get_ref().as_ref(), name.span());
            if TABLES.iter().any(|table| table.name() == name) {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.doc.is_called(name)) else {
                let is_table = value.get_ref().is_table();
                faults.push(unknown_key(name, is_table).at(span));
                continue;
            };
            let current = key.doc.name;
            if let Some(other) = places.keys.insert(current, span.clone()) {
                let problem = Problem::new(
                    format!("`{current}` is set twice, once by its former name"),
                    "set again here",
                    format!("keep `{current}`"),
                );
                let (first, second) = if other.start < span.start {
                    (other, span)
                } else {
                    (span, other)
                };
                faults.push(problem.at(second).and(first, "first set here"));
                continue;
            }
            if name != current {
                self.former_names.push(format!(
                    "{}: the key `{name}` is now called `{current}`; rename it",
                    sources.place(span.start)
                ));
            }
            if let Some(value) = Value::from_toml(&key.doc, span, value, faults) {
                (key.set)(self, &value, faults);
            }
        }
        places.refuse_both_rules(faults);
        asn_mentions::check(self, sources, &places, faults);
    }
}

/// The key that a name stands for in a merge: its present name. `block` and `allow-only` are one rule.
pub(super) fn same(name: &str) -> String {
    let key = KEYS.iter().find(|key| key.doc.is_called(name));
    match key.map_or(name, |key| key.doc.name) {
        "allow-only" => "block".to_owned(),
        name => name.to_owned(),
    }
}

fn unknown_key(name: &str, is_table: bool) -> Problem {
    let names = || KEYS.iter().map(|key| key.doc.name);
    let tables = || TABLES.iter().map(|table| table.name());
    let help = match nearest(name, names().chain(tables())) {
        Some(near) if tables().any(|table| table == near) => format!("did you mean `[[{near}]]`?"),
        Some(near) => format!("did you mean `{near}`?"),
        None if is_table => {
            let tables: Vec<_> = tables().map(|table| format!("[[{table}]]")).collect();
            format!(
                "the only tables are {}: every other key stands at the top, without a header",
                tables.join(", ")
            )
        }
        None => format!("the keys are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Problem::new(
        format!("there is no key {}", quoted(name)),
        "unknown key",
        help,
    )
}
