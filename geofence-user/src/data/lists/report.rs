//! What commands, metrics and the page show about a list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::store::{Rejection, SourceStatus};
use crate::model::list::{Action, Direction};
use crate::model::shortfall::{Part, Shortfall};
use crate::model::text::grouped;
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
    /// How many items of the text are not entries, by the reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// When its source last gave or confirmed the text.
    pub since: Option<UnixSeconds>,
    pub rejection: Option<Rejection>,
    /// Whether `geofence update` fetches it, from a URL.
    pub is_fetched: bool,
    /// When the list was read.
    pub read: UnixSeconds,
}

impl ListReport {
    /// What is missing of the list, if its present text is not in use.
    #[must_use]
    pub fn shortfall(&self) -> Option<Shortfall> {
        let name = &self.name;
        let why = self.rejection.as_ref().map_or("", |one| one.why.as_str());
        let text = match self.state {
            ListState::Current => return None,
            ListState::LastGood if self.is_fetched => format!(
                "the last update of the list {name} failed, and its last good text is used instead:\n{why}"
            ),
            ListState::LastGood => format!(
                "the list {name} is rejected, and its last good text is used instead:\n{why}"
            ),
            ListState::Absent => {
                let tried = if why.is_empty() {
                    ""
                } else {
                    ". The last try failed: "
                };
                format!(
                    "the list {name} was never fetched; it is empty until `geofence update {name}` fetches \
                     it{tried}{why}"
                )
            }
            ListState::Unusable => format!(
                "THE LIST {name} IS EMPTY until its text can be used; geofence keeps trying. {why}"
            ),
        };
        Some(Shortfall {
            since: self.rejection.as_ref().map_or(self.read, |one| one.when),
            ..Shortfall::now(Part::List, name, text)
        })
    }

    /// The same list with what was found out about its source since, if it is fetched by another process.
    #[must_use]
    pub fn with_status(mut self, status: SourceStatus) -> Self {
        if self.state == ListState::Current && status.refused.is_some() {
            self.state = ListState::LastGood;
        } else if self.state == ListState::LastGood && status.refused.is_none() {
            self.state = ListState::Current;
        }
        self.since = status.confirmed.or(self.since);
        self.rejection = status.refused;
        self
    }

    /// What of the text is not an entry, and why; nothing if all of it is.
    #[must_use]
    pub fn passed_over(&self) -> Option<String> {
        let counts = self.skipped.iter();
        let counts: Vec<_> = counts
            .map(|(what, count)| format!("{} {what}", grouped(*count as u64)))
            .collect();
        (!counts.is_empty()).then(|| format!("{}: passed over {}", self.name, counts.join(", ")))
    }

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
            "passed_over": self.skipped.values().sum::<usize>(),
            "passed_over_by": self.skipped,
            "since": self.since,
            "refused": self.rejection,
        })
    }
}
