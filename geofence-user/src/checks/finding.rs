//! A finding: how serious it is, what was found, and what to type.

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For information.
    Note,
    /// The filter works, and works better after a change.
    Change,
    /// The filter does not work.
    Trouble,
}

/// Something that follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub text: String,
    /// What to type or to write into the configuration.
    pub line: Option<String>,
}

impl Finding {
    pub fn note(text: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            text: text.into(),
            line: None,
        }
    }

    pub fn change(text: impl Into<String>, line: impl Into<String>) -> Self {
        Self {
            level: Level::Change,
            text: text.into(),
            line: Some(line.into()),
        }
    }

    pub fn trouble(text: impl Into<String>, line: impl Into<String>) -> Self {
        Self {
            level: Level::Trouble,
            ..Self::change(text, line)
        }
    }
}
