//! A key that can be read, made by a builder: first its type and the field it sets, then the texts that describe it.

use std::ops::RangeInclusive;

use super::error::{Fault, Problem};
use super::key_doc::{KeyDoc, Kind, Shape};
use super::value::{Inline, Spanned, Value};
use super::values;
use crate::model::word::Word;

/// Reads a value into a configuration or an entry of a table; a refused value changes nothing.
type Set<T> = dyn Fn(&mut T, &Value<'_>, &mut Vec<Fault>) + Send + Sync;
/// Reads one spelling.
type Read<V> = fn(&str) -> Result<V, Problem>;
/// Where a value goes.
type Field<T, F> = fn(&mut T) -> &mut F;

/// A key of a `T`.
pub(super) struct Key<T> {
    pub(super) doc: KeyDoc,
    pub(super) set: Box<Set<T>>,
}

impl<T: 'static> Key<T> {
    /// A key whose value needs more than a reader and a field.
    pub(super) fn new(
        name: &'static str,
        kind: Kind,
        set: impl Fn(&mut T, &Value<'_>, &mut Vec<Fault>) + Send + Sync + 'static,
    ) -> Self {
        let doc = KeyDoc {
            name,
            former_name: None,
            kind,
            meaning: "",
            details: "",
            example: "",
            refused: "",
            default: "",
            is_required: false,
        };
        let set = Box::new(set);
        Self { doc, set }
    }

    /// A string of this form.
    pub(super) fn text<V: 'static, F: From<V> + 'static>(
        name: &'static str,
        form: &'static str,
        read: Read<V>,
        field: Field<T, F>,
    ) -> Self {
        Self::one(name, Kind::Text(form), read, field)
    }

    /// One of the words of `V`.
    pub(super) fn word<V: Word, F: From<V> + 'static>(
        name: &'static str,
        field: Field<T, F>,
    ) -> Self {
        Self::one(name, Kind::word::<V>(), values::word::<V>, field)
            .refused("Other words, with the nearest.")
    }

    fn one<V: 'static, F: From<V> + 'static>(
        name: &'static str,
        kind: Kind,
        read: Read<V>,
        field: Field<T, F>,
    ) -> Self {
        Self::new(name, kind, move |target, value, faults| {
            if let Some(read) = value.one(faults, read) {
                *field(target) = read.into();
            }
        })
    }

    /// A list of strings of this form, none of them twice.
    pub(super) fn list<V: Ord + Clone + 'static, F: From<Vec<V>> + 'static>(
        name: &'static str,
        form: &'static str,
        read: Read<V>,
        field: Field<T, F>,
    ) -> Self {
        Self::new(name, Kind::List(form), move |target, value, faults| {
            if let Some(read) = value.many(faults, read) {
                *field(target) = read.into();
            }
        })
    }

    /// A list of strings that are read once the whole table is known.
    pub(super) fn spanned_list(
        name: &'static str,
        form: &'static str,
        field: Field<T, Vec<Spanned<'static>>>,
    ) -> Self {
        Self::new(name, Kind::List(form), move |target, value, _| {
            *field(target) = value.texts();
        })
    }

    /// A whole number in this range.
    pub(super) fn number(
        name: &'static str,
        range: RangeInclusive<u32>,
        (what, help): (&'static str, &'static str),
        set: fn(&mut T, u32),
    ) -> Self {
        let kind = Kind::Number(range.clone());
        Self::new(name, kind, move |target, value, faults| {
            let Value::Number(number, span) = value else {
                return;
            };
            match u32::try_from(*number) {
                Ok(number) if range.contains(&number) => set(target, number),
                _ => {
                    let title = format!("this is not a valid {what}");
                    let label = format!("expected {} to {}", range.start(), range.end());
                    faults.push(Problem::new(title, label, help).at(span.clone()));
                }
            }
        })
    }

    /// An inline table that is read once the whole table is known.
    pub(super) fn inline(
        name: &'static str,
        form: &'static str,
        shape: Shape,
        field: Field<T, Option<Inline>>,
    ) -> Self {
        Self::new(name, Kind::Inline(form, shape), move |target, value, _| {
            if let Value::Inline(inline) = value {
                *field(target) = Some(inline.clone());
            }
        })
    }

    /// True or false.
    pub(super) fn switch(name: &'static str, field: Field<T, bool>) -> Self {
        Self::new(name, Kind::Switch, move |target, value, _| {
            if let Value::Switch(on) = value {
                *field(target) = *on;
            }
        })
    }

    pub(super) fn meaning(mut self, text: &'static str) -> Self {
        self.doc.meaning = text;
        self
    }

    pub(super) fn details(mut self, text: &'static str) -> Self {
        self.doc.details = text;
        self
    }

    pub(super) fn example(mut self, text: &'static str) -> Self {
        self.doc.example = text;
        self
    }

    pub(super) fn refused(mut self, text: &'static str) -> Self {
        self.doc.refused = text;
        self
    }

    pub(super) fn default(mut self, text: &'static str) -> Self {
        self.doc.default = text;
        self
    }

    pub(super) fn formerly(mut self, name: &'static str) -> Self {
        self.doc.former_name = Some(name);
        self
    }

    pub(super) fn required(mut self) -> Self {
        self.doc.is_required = true;
        self.default("none; must be given")
    }
}
