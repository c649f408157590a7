//! The part of `docs/configuration.md` that describes each key, written from the declarations that read them.

use std::fmt::Write as _;

use geofence_common::country::Country;
use toml::de::DeTable;

use super::key_doc::KeyDoc;
use super::parse::DEFAULT;
use super::schema::{KEYS, TABLES};
use crate::model::countries::GROUPS;

/// The reference of the keys, as Markdown.
#[must_use]
pub fn docs() -> String {
    let defaults = DeTable::parse(DEFAULT)
        .map(toml::Spanned::into_inner)
        .unwrap_or_default();
    let mut out = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    // Writing to a string cannot fail, here and below.
    let keys = || KEYS.iter().map(|key| &key.doc);
    for key in keys() {
        let (name, kind) = (key.name, key.kind.markdown());
        let (default, meaning) = (default(&defaults, key), key.meaning);
        _ = writeln!(
            out,
            "| [`{name}`](#{name}) | {kind} | {default} | {meaning} |"
        );
    }
    for key in keys() {
        _ = write!(out, "\n### {}\n\n", key.name);
        key.describe(&mut out, &default(&defaults, key));
    }
    for table in TABLES.iter() {
        _ = write!(out, "\n### [[{}]]\n\n", table.name());
        table.describe(&mut out);
    }
    out.push_str("\n### Groups of countries\n\n");
    for group in &GROUPS {
        let codes: Vec<_> = group.members().filter_map(Country::code).collect();
        let (name, meaning, codes) = (group.name, group.meaning, codes.join(" "));
        _ = writeln!(out, "- `\"{name}\"`: {meaning}: {codes}");
    }
    out
}

/// A key with a line that could stand in a file, for tests that change every key.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The table it belongs to; none for a key of the top level.
    pub table: Option<&'static str>,
    pub key: &'static str,
    pub line: &'static str,
}

/// The examples of all keys, in the order of the documentation.
#[must_use]
pub fn examples() -> Vec<Example> {
    let example = |table: Option<&'static str>, key: &KeyDoc| Example {
        table,
        key: key.name,
        line: key.example,
    };
    let global = KEYS.iter().map(|key| example(None, &key.doc));
    let tables = TABLES.iter().flat_map(|table| {
        let keys = table.keys().into_iter();
        keys.map(|key| example(Some(table.name()), key))
    });
    global.chain(tables).collect()
}

/// The value in the shipped file, spelled as it is there.
fn default(defaults: &DeTable<'_>, key: &KeyDoc) -> String {
    let value = defaults.get(key.name);
    match value.and_then(|value| DEFAULT.get(value.span())) {
        Some(text) => {
            let words: Vec<_> = text.split_whitespace().collect();
            format!("`{}`", words.join(" "))
        }
        None => "not set".to_owned(),
    }
}
