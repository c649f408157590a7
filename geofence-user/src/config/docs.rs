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
