//! What a key is called, what it takes and what it means: all that errors and the documentation need to know of it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::values;
use crate::model::word::Word;

/// The description of a key.
pub(super) struct KeyDoc {
    pub(super) name: &'static str,
    /// An older name of the key, which is accepted with a warning.
    pub(super) former_name: Option<&'static str>,
    pub(super) kind: Kind,
    /// One line.
    pub(super) meaning: &'static str,
    /// What else an operator should know, in sentences.
    pub(super) details: &'static str,
    /// A line that could stand in a file.
    pub(super) example: &'static str,
    /// What is refused besides a value of the wrong type.
    pub(super) refused: &'static str,
    /// How the documentation writes the default, for a key that the shipped file does not set.
    pub(super) default: &'static str,
    pub(super) is_required: bool,
}

/// The type of a key's value.
pub(super) enum Kind {
    /// One of these words, each with its meaning.
    Word(Vec<(&'static str, &'static str)>),
    /// A string of this form.
    Text(&'static str),
    /// A list of strings of this form.
    List(&'static str),
    /// A whole number in this range.
    Number(RangeInclusive<u32>),
    /// True or false.
    Switch,
    /// An inline table of this form.
    Inline(&'static str, Shape),
}

/// What an inline table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Where a secret is kept.
    Secret,
    /// A user, and where the password is kept.
    Login,
    /// Names, and where the secret of each is kept.
    Secrets,
}

impl Kind {
    /// The words of `T`.
    pub(super) fn word<T: Word>() -> Self {
        let words = T::WORDS.iter();
        Self::Word(words.map(|(word, _, meaning)| (*word, *meaning)).collect())
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    /// The type as errors name it.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Word(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                values::either(&words)
            }
            Self::Text(form) => format!("a string: {form}"),
            Self::List(form) => format!("a list of strings: {form}"),
            Self::Number(_) => "an integer".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Inline(form, _) => format!("an inline table: {form}"),
        }
    }

    /// The type as the documentation names it, in Markdown.
    pub(super) fn markdown(&self) -> String {
        match self {
            Self::Word(words) => {
                let words = words.iter().map(|(word, _)| format!("`\"{word}\"`"));
                words.collect::<Vec<_>>().join(", ")
            }
            Self::Text(form) => format!("string: {form}"),
            Self::List(form) => format!("list of {form}"),
            Self::Number(_) => "integer".to_owned(),
            Self::Switch => "boolean".to_owned(),
            Self::Inline(form, _) => format!("inline table: {form}"),
        }
    }
}

impl KeyDoc {
    /// Whether the key has this name now, or had it before.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.former_name == Some(name)
    }

    /// Writes the text of the documentation below the key's heading.
    pub(super) fn describe(&self, out: &mut String, default: &str) {
        out.push_str(self.meaning);
        if !self.details.is_empty() {
            _ = write!(out, " {}", self.details);
        }
        out.push_str("\n\n");
        if let Kind::Word(words) = &self.kind {
            for (word, meaning) in words {
                _ = writeln!(out, "- `\"{word}\"`: {meaning}");
            }
            out.push('\n');
        }
        _ = writeln!(out, "- Type: {}", self.kind.markdown());
        _ = writeln!(out, "- Default: {default}");
        _ = writeln!(out, "- Example: `{}`", self.example);
        _ = writeln!(out, "- Refused: {}", self.refused);
        if let Some(former) = self.former_name {
            _ = writeln!(out, "- Former name: `{former}`, accepted with a warning");
        }
    }
}
