//! The part of `docs/configuration.md` that says what each key does, written from the table that reads them.

use std::fmt::Write as _;

use toml::de::DeTable;

use super::DEFAULT;
use super::keys::{KEYS, Key, Kind};
use super::tables::TABLES;
use crate::model::countries::GROUPS;

/// The reference of the keys, as Markdown.
#[must_use]
pub fn docs() -> String {
    let defaults = DeTable::parse(DEFAULT)
        .map(toml::Spanned::into_inner)
        .unwrap_or_default();
    let mut out = String::from("| key | type | default | meaning |\n|---|---|---|---|\n");
    // Writing to a string cannot fail, here and below.
    for key in &KEYS {
        let name = key.name;
        let default = default(&defaults, key);
        _ = writeln!(
            out,
            "| [`{name}`](#{name}) | {} | {default} | {} |",
            kind(key),
            key.meaning
        );
    }
    for key in &KEYS {
        _ = write!(out, "\n### {}\n\n", key.name);
        describe(&mut out, key, &default(&defaults, key));
    }
    for table in TABLES {
        _ = write!(out, "\n### [[{}]]\n\n", table.name());
        table.describe(&mut out);
    }
    out.push_str("\n### Groups of countries\n\n");
    for group in &GROUPS {
        let codes: Vec<_> = group
            .members()
            .filter_map(geofence_common::country::Country::code)
            .collect();
        _ = writeln!(
            out,
            "- `\"{}\"`: {}: {}",
            group.name,
            group.meaning,
            codes.join(" ")
        );
    }
    out
}

/// What there is to say about a key, below its heading.
pub(super) fn describe<T>(out: &mut String, key: &Key<T>, default: &str) {
    out.push_str(key.meaning);
    if !key.details.is_empty() {
        _ = write!(out, " {}", key.details);
    }
    out.push_str("\n\n");
    if let Kind::Word(words) = key.kind {
        for (word, meaning) in words() {
            _ = writeln!(out, "- `\"{word}\"`: {meaning}");
        }
        out.push('\n');
    }
    _ = writeln!(out, "- Type: {}", kind(key));
    _ = writeln!(out, "- Default: {default}");
    _ = writeln!(out, "- Example: `{}`", key.example);
    _ = writeln!(out, "- Refused: {}", key.refused);
}

fn kind<T>(key: &Key<T>) -> String {
    match &key.kind {
        Kind::Word(words) => {
            let words: Vec<_> = words()
                .iter()
                .map(|(word, _)| format!("`\"{word}\"`"))
                .collect();
            words.join(", ")
        }
        Kind::Text(form) => format!("string: {form}"),
        Kind::List(form) => format!("list of {form}"),
        Kind::Number => "integer".to_owned(),
        Kind::Switch => "boolean".to_owned(),
    }
}

/// The value in the shipped file, spelled as it is there.
fn default(defaults: &DeTable<'_>, key: &Key) -> String {
    match defaults
        .get(key.name)
        .and_then(|value| DEFAULT.get(value.span()))
    {
        Some(text) => format!(
            "`{}`",
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        ),
        None => "not set".to_owned(),
    }
}
