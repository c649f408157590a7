//! A text to its TOML table, or to errors that say how to mend the text.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;

use super::error::{ConfigErrors, Fault, Problem, quoted};

/// How many of the parser's complaints are looked at: behind so many, the file is something else.
const SYNTAX_ERRORS_MAX: usize = 1000;

/// Parses the text of a source and hands its table to `read`, with the source's name and text; reports all faults.
pub(super) fn read(
    text: &str,
    name: &str,
    read: impl FnOnce(&DeTable<'_>, (&str, &str), &mut Vec<Fault>),
) -> Result<(), ConfigErrors> {
    // Some editors put a byte order mark before the text, which would shift every column of the first line.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults = Vec::new();
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
    // What the parser recovers from broken text would only cause further errors.
    if broken.is_empty() {
        read(table.get_ref(), (name, text), &mut faults);
    }
    ConfigErrors::of(name, text, faults)
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
