//! Values as they were given, each with its place, whether a file or the command line gave them.
//!
//! This is where a TOML value's type is held against what a key takes; the readers of `values` see text only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::error::{Fault, Problem, quoted};
use super::keys::{Key, Kind};

/// A text and its place.
#[derive(Debug)]
pub(super) struct Spelled<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Range<usize>,
}

/// A value of one of the types that keys take.
#[derive(Debug)]
pub(super) enum Given<'a> {
    Text(Spelled<'a>),
    Number(i64, Range<usize>),
    Switch(bool),
    List(Vec<Spelled<'a>>, Range<usize>),
}

impl<'a> Given<'a> {
    /// Takes a TOML value for a key, or says how it differs from what the key takes.
    pub(super) fn from_toml<T>(
        key: &Key<T>,
        name: Range<usize>,
        value: &'a Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let span = value.span();
        match (value.get_ref(), &key.kind) {
            (DeValue::String(text), Kind::Word(_) | Kind::Text(_)) => Some(Self::Text(Spelled {
                text: Cow::Borrowed(text),
                span,
            })),
            (DeValue::Boolean(on), Kind::Switch) => Some(Self::Switch(*on)),
            (DeValue::Integer(number), Kind::Number) => {
                // What is too large for the type is too large for the key as well, and refused there.
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Some(Self::Number(number.unwrap_or(i64::MAX), span))
            }
            (DeValue::Array(items), Kind::List(_)) => {
                let mut list = Vec::new();
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::String(text) => list.push(Spelled {
                            text: Cow::Borrowed(text),
                            span: item.span(),
                        }),
                        DeValue::Integer(_)
                        | DeValue::Float(_)
                        | DeValue::Boolean(_)
                        | DeValue::Datetime(_)
                        | DeValue::Array(_)
                        | DeValue::Table(_) => faults.push(wrong_entry(key, item)),
                    }
                }
                Some(Self::List(list, span))
            }
            (
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_),
                _,
            ) => {
                faults.push(wrong_type(key, name, value));
                None
            }
        }
    }

    /// The texts of a comma-separated option.
    pub(super) fn from_commas(text: &'a str) -> Self {
        let mut start = 0;
        let mut list = Vec::new();
        for part in text.split(',') {
            list.push(Spelled {
                text: Cow::Borrowed(part),
                span: start..start + part.len(),
            });
            start += part.len() + 1;
        }
        Self::List(list, 0..text.len())
    }

    /// The only text of an option.
    pub(super) fn from_option(text: &'a str) -> Self {
        Self::Text(Spelled {
            text: Cow::Borrowed(text),
            span: 0..text.len(),
        })
    }

    /// Reads the one text there is.
    pub(super) fn one<T>(
        &self,
        faults: &mut Vec<Fault>,
        read: fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let Self::Text(spelled) = self else {
            return None;
        };
        match read(&spelled.text) {
            Ok(value) => Some(value),
            Err(problem) => {
                faults.push(problem.at(spelled.span.clone()));
                None
            }
        }
    }

    /// Reads every text of a list, in which none may mean the same as another.
    pub(super) fn many<T: Ord + Clone>(
        &self,
        faults: &mut Vec<Fault>,
        read: fn(&str) -> Result<T, Problem>,
    ) -> Option<Vec<T>> {
        let Self::List(list, _) = self else {
            return None;
        };
        let before = faults.len();
        let mut places = BTreeMap::new();
        let mut values = Vec::new();
        for spelled in list {
            match read(&spelled.text) {
                Err(problem) => faults.push(problem.at(spelled.span.clone())),
                Ok(value) => {
                    if let Some(first) = places.insert(value.clone(), spelled.span.clone()) {
                        faults.push(
                            twice(&spelled.text)
                                .at(spelled.span.clone())
                                .and(first, "first given here"),
                        );
                    }
                    values.push(value);
                }
            }
        }
        (faults.len() == before).then_some(values)
    }
}

fn twice(text: &str) -> Problem {
    Problem::new(
        format!("{} is given twice", quoted(text)),
        "given again here",
        "remove one of the two",
    )
}

/// A type as people call it.
pub(super) fn called(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wrong_entry<T>(key: &Key<T>, item: &Spanned<DeValue<'_>>) -> Fault {
    Problem::new(
        format!("`{}` is a list of strings", key.name),
        format!("expected a string, found {}", called(item.get_ref())),
        format!("for example: {}", key.example),
    )
    .at(item.span())
}

fn wrong_type<T>(key: &Key<T>, name: Range<usize>, value: &Spanned<DeValue<'_>>) -> Fault {
    let expected = key.kind.called();
    let help = match (value.get_ref(), &key.kind) {
        (DeValue::String(text), Kind::List(_)) => {
            let entries: Vec<_> = text
                .split([',', ' '])
                .filter(|part| !part.is_empty())
                .collect();
            format!("write {} = {entries:?}", key.name)
        }
        (DeValue::String(text), Kind::Number) if text.parse::<u32>().is_ok() => {
            format!("write {} = {text}", key.name)
        }
        (
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_),
            _,
        ) => format!("for example: {}", key.example),
    };
    let found = called(value.get_ref());
    // A table has no place of its own when dotted keys make it.
    let span = match value.get_ref() {
        DeValue::Table(_) => name,
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => value.span(),
    };
    Problem::new(
        format!("`{}` takes {expected}", key.name),
        format!("expected {expected}, found {found}"),
        help,
    )
    .at(span)
}
