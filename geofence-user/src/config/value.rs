//! Values as a file or the command line gives them, each with its place.
//!
//! This is where the type of a TOML value is compared with what a key takes; the readers of `values` see text only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeValue;

use super::error::{Fault, Problem, quoted};
use super::key_doc::{KeyDoc, Kind};

/// A text and its place.
#[derive(Clone, Debug)]
pub(super) struct Spanned<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Range<usize>,
}

/// A value of one of the types that keys take.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(Spanned<'a>),
    Number(i64, Range<usize>),
    Switch(bool),
    List(Vec<Spanned<'a>>, Range<usize>),
    Inline(Inline),
}

/// A value of or in an inline table. It may be a secret that does not belong there, so it has no place by which an
/// error could show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inline {
    Text(String),
    Table(Vec<(String, Self)>),
    Other,
}

impl Inline {
    fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Table(table) => {
                let members = table.iter();
                let members = members.map(|(name, value)| {
                    let name = name.get_ref().to_string();
                    (name, Self::from_toml(value.get_ref()))
                });
                Self::Table(members.collect())
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => Self::Other,
        }
    }
}

impl<'a> Value<'a> {
    /// Takes a TOML value for a key, or reports how it differs from what the key takes.
    pub(super) fn from_toml(
        key: &KeyDoc,
        name: Range<usize>,
        value: &'a toml::Spanned<DeValue<'_>>,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let span = value.span();
        match (value.get_ref(), &key.kind) {
            (DeValue::String(text), Kind::Word(_) | Kind::Text(_)) => {
                let text = Cow::Borrowed(text.as_ref());
                Some(Self::Text(Spanned { text, span }))
            }
            (value, Kind::Inline(..)) => Some(Self::Inline(Inline::from_toml(value))),
            (DeValue::Boolean(on), Kind::Switch) => Some(Self::Switch(*on)),
            (DeValue::Integer(number), Kind::Number(_)) => {
                // What is too large for the type is too large for the key as well, and refused there.
                let number = i64::from_str_radix(number.as_str(), number.radix());
                Some(Self::Number(number.unwrap_or(i64::MAX), span))
            }
            (DeValue::Array(items), Kind::List(_)) => {
                let mut list = Vec::new();
                for item in items.iter() {
                    if let DeValue::String(text) = item.get_ref() {
                        let (text, span) = (Cow::Borrowed(text.as_ref()), item.span());
                        list.push(Spanned { text, span });
                    } else {
                        faults.push(wrong_entry(key, item));
                    }
                }
                Some(Self::List(list, span))
            }
            _ => {
                faults.push(wrong_type(key, name, value));
                None
            }
        }
    }

    /// The texts of a comma-separated option.
    pub(super) fn from_commas(text: &'a str) -> Self {
        Self::List(joined(text.split(',')), 0..text.len())
    }

    /// The only text of an option.
    pub(super) fn from_option(text: &'a str) -> Self {
        Self::Text(Spanned {
            text: Cow::Borrowed(text),
            span: 0..text.len(),
        })
    }

    /// Reads the text.
    pub(super) fn one<T>(
        &self,
        faults: &mut Vec<Fault>,
        read: fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let Self::Text(spanned) = self else {
            return None;
        };
        let read = read(&spanned.text);
        read.map_err(|problem| faults.push(problem.at(spanned.span.clone())))
            .ok()
    }

    /// Reads every text of a list, in which no two may mean the same.
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
        for Spanned { text, span } in list {
            match read(text) {
                Err(problem) => faults.push(problem.at(span.clone())),
                Ok(value) => {
                    if let Some(first) = places.insert(value.clone(), span.clone()) {
                        let problem = Problem::new(
                            format!("{} is given twice", quoted(text)),
                            "given again here",
                            "remove one of the two",
                        );
                        faults.push(problem.at(span.clone()).and(first, "first given here"));
                    }
                    values.push(value);
                }
            }
        }
        (faults.len() == before).then_some(values)
    }

    /// The texts of a list, to be read later.
    pub(super) fn texts(&self) -> Vec<Spanned<'static>> {
        let Self::List(list, _) = self else {
            return Vec::new();
        };
        let texts = list.iter().map(|one| Spanned {
            text: Cow::Owned(one.text.to_string()),
            span: one.span.clone(),
        });
        texts.collect()
    }
}

/// Texts with their places in the text that joins them by one character.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Spanned<'a>> {
    let mut start = 0;
    let spanned = texts.map(|text| {
        let span = start..start + text.len();
        start = span.end + 1;
        let text = Cow::Borrowed(text);
        Spanned { text, span }
    });
    spanned.collect()
}

/// The type of a TOML value as errors name it.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
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

fn wrong_entry(key: &KeyDoc, item: &toml::Spanned<DeValue<'_>>) -> Fault {
    Problem::new(
        format!("`{}` is a list of strings", key.name),
        format!("expected a string, found {}", type_name(item.get_ref())),
        format!("for example: {}", key.example),
    )
    .at(item.span())
}

fn wrong_type(key: &KeyDoc, name: Range<usize>, value: &toml::Spanned<DeValue<'_>>) -> Fault {
    let expected = key.kind.expected();
    let help = match (value.get_ref(), &key.kind) {
        (DeValue::String(text), Kind::List(_)) => {
            let entries = text.split([',', ' ']).filter(|part| !part.is_empty());
            format!("write {} = {:?}", key.name, entries.collect::<Vec<_>>())
        }
        (DeValue::String(text), Kind::Number(_)) if text.parse::<u32>().is_ok() => {
            format!("write {} = {text}", key.name)
        }
        _ => format!("for example: {}", key.example),
    };
    let found = type_name(value.get_ref());
    // A table has no place of its own when dotted keys make it.
    let span = if value.get_ref().is_table() {
        name
    } else {
        value.span()
    };
    Problem::new(
        format!("`{}` takes {expected}", key.name),
        format!("expected {expected}, found {found}"),
        help,
    )
    .at(span)
}
