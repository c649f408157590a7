//! What is wrong with a list, and what to do about it.

use crate::model::listing::Place;

/// A problem with a part of a list, or with all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub help: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(super) fn at(self, place: Place) -> Fault {
        Fault {
            place,
            problem: self,
        }
    }
}

/// A problem at one place of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub problem: Problem,
}

/// A text from a list as messages show it: in backquotes, control characters escaped, cut to fit a line.
pub(super) fn quoted(word: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = word.chars().take(SHOWN_MAX).collect();
    if shown.len() < word.len() {
        shown.push('…');
    }
    if shown.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("`{}`", shown.escape_debug())
    }
}
