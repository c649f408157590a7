//! What commands, metrics and the page show about a list.

use serde_json::{Value, json};

use super::store::Rejection;
use crate::model::list::{Action, Direction};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// Which text of a list is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// The one its source gives, or gave when it was last fetched.
    Current,
    /// The last good one, because the one its source gives is rejected.
    LastGood,
    /// None: the list has a URL and was never fetched.
    Absent,
    /// None: the text cannot be used, and there is no earlier one.
    Unusable,
}

impl ListState {
    /// The spelling in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::LastGood => "last good",
            Self::Absent => "never fetched",
            Self::Unusable => "unusable",
        }
    }
}

/// The facts about a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListReport {
    pub name: String,
    pub source: String,
    pub action: Action,
    pub direction: Direction,
    pub state: ListState,
    /// The entries that have not expired.
    pub entries: usize,
    pub expired: usize,
    /// Items of the text that are not entries.
    pub skipped: usize,
    /// When its source last gave or confirmed the text.
    pub since: Option<UnixSeconds>,
    pub rejection: Option<Rejection>,
}

impl ListReport {
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "source": self.source,
            "action": self.action.word(),
            "direction": self.direction.word(),
            "standing": self.state.name(),
            "entries": self.entries,
            "lapsed": self.expired,
            "passed_over": self.skipped,
            "since": self.since,
            "refused": self.rejection,
        })
    }
}
