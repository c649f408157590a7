//! Texts to one TOML table, or to errors that say how to mend the texts.
//!
//! Of several texts, a later one appends to arrays of tables and replaces every other key.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigErrors, Fault, Problem, quoted};
use super::sources::{Source, Sources};

/// How many of the parser's complaints are looked at: behind so many, the file is something else.
const SYNTAX_ERRORS_MAX: usize = 1000;

/// Parses the texts, merges their tables and hands the result to `read`; reports all faults. `same` has the name of the
/// key that a name stands for: two names of one key replace each other.
pub(super) fn read(
    sources: &Sources,
    same: impl Fn(&str) -> String,
    read: impl FnOnce(&DeTable<'_>, &Sources, &mut Vec<Fault>),
) -> Result<(), ConfigErrors> {
    let texts: Vec<_> = sources.iter().map(Source::padded).collect();
    let mut faults = Vec::new();
    let mut merged = DeTable::new();
    let mut is_broken = false;
    for text in &texts {
        let (table, broken) = parse(text, &mut faults);
        is_broken |= broken;
        merge(&mut merged, table, &same);
    }
    // What the parser recovers from broken text would only cause further errors.
    if !is_broken {
        read(&merged, sources, &mut faults);
    }
    ConfigErrors::of_sources(sources, faults)
}

/// Parses one text; also returns whether it is broken.
fn parse<'a>(text: &'a str, faults: &mut Vec<Fault>) -> (DeTable<'a>, bool) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken = BTreeSet::new();
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let span = error.span().unwrap_or(0..0);
        if error.message() == "duplicate key" {
            faults.push(duplicate_key(text, span, table.get_ref()));
            continue;
        }
        // One mistake makes the parser stumble several times in a line; the first is the one to mend.
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count();
        if broken.insert(line) {
            faults.push(not_toml(error.message()).at(visible(text, span)));
        }
    }
    (table.into_inner(), !broken.is_empty())
}

/// Merges a later table into an earlier one.
fn merge<'a>(merged: &mut DeTable<'a>, later: DeTable<'a>, same: &impl Fn(&str) -> String) {
    let has_tables = |value: &DeValue<'_>| {
        let entries = value
            .as_array()
            .into_iter()
            .flat_map(|entries| entries.iter());
        entries.into_iter().any(|one| one.get_ref().is_table())
    };
    let mut new = Vec::new();
    for (name, value) in later {
        match merged
            .get_mut(name.get_ref().as_ref())
            .map(toml::Spanned::get_mut)
        {
            Some(DeValue::Array(before))
                if has_tables(value.get_ref())
                    && before.iter().any(|one| one.get_ref().is_table()) =>
            {
                if let DeValue::Array(entries) = value.into_inner() {
                    entries.iter().for_each(|entry| before.push(entry.clone()));
                }
            }
            _ => new.push((name, value)),
        }
    }
    // Two names of one key in the same text are left to the reader, which refuses them.
    let keys: Vec<_> = new.iter().map(|(name, _)| same(name.get_ref())).collect();
    let names: Vec<_> = merged
        .keys()
        .map(|name| name.get_ref().to_string())
        .collect();
    for name in names.iter().filter(|name| keys.contains(&same(name))) {
        merged.remove(name.as_str());
    }
    merged.extend(new);
}

/// The span, or the character behind it where the parser points between two.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let next = text.get(span.end..).and_then(|rest| rest.chars().next());
    match next {
        Some(next) if span.is_empty() && next != '\n' && next != '\r' => {
            span.start..span.end + next.len_utf8()
        }
        _ => span,
    }
}

fn not_toml(message: &str) -> Problem {
    /// What the parser says first, and the way out of it.
    const WAYS_OUT: [(&str, &str); 5] = [
        ("string values must be quoted", "put the value in quotes"),
        (
            "key with no value",
            "write `=` and a value behind the key: mode = \"enforce\"",
        ),
        ("unclosed array", "end the list with `]`"),
        (
            "invalid basic string",
            "end the string with `\"` on its own line",
        ),
        (
            "missing escaped value",
            "write a backslash as `\\\\`, or put the string in single quotes",
        ),
    ];
    let known = WAYS_OUT
        .iter()
        .find(|(start, _)| message.starts_with(start));
    let help = known.map_or(
        "a line is: key = \"word\", key = [\"one\", \"two\"] or key = 1; `#` begins a comment",
        |(_, help)| help,
    );
    Problem::new(format!("this is not TOML: {message}"), "here", help)
}

fn duplicate_key(text: &str, span: Range<usize>, table: &DeTable<'_>) -> Fault {
    let name = text.get(span.clone()).unwrap_or_default();
    let plain = name.trim_matches(['"', '\'']);
    let fault = Problem::new(
        format!("{} is set twice", quoted(plain)),
        "set again here",
        "keep one of the two lines",
    )
    .at(span.clone());
    match table.get_key_value(plain) {
        Some((first, _)) if first.span() != span => fault.and(first.span(), "first set here"),
        _ => fault,
    }
}
