//! What was asked for and is not in place, although the filter runs: plain types for the log, status and metrics.
//!
//! A start protects what it can. Each part that is missing is one shortfall until it is in place. Interfaces have a
//! state of their own, because they also come and go while the filter runs.

use serde_json::{Value, json};

use super::text::printable;
use super::units::UnixSeconds;

/// The kinds of parts that a start goes without. A closed set: metrics use the names as labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A list is empty, because its text cannot be used and none is stored.
    List,
    /// The embedded GeoIP data stands in for the databases of the configuration.
    Database,
    /// The last update of a database failed, and the file before it stays in use.
    DatabaseUpdate,
    /// Only the first database decides.
    CrossCheck,
    /// Rules that name autonomous systems lack addresses.
    AsDatabase,
    /// The metrics address.
    Metrics,
    /// The control socket.
    Control,
    /// The socket of the fleet agent.
    Fleet,
    /// Events of list matches.
    Events,
    /// Samples of drops, or captures.
    Samples,
    /// The SSH session helper.
    SessionHelper,
    /// What the next boot falls back on.
    State,
}

impl Part {
    pub const ALL: [Self; 12] = [
        Self::List,
        Self::Database,
        Self::DatabaseUpdate,
        Self::CrossCheck,
        Self::AsDatabase,
        Self::Metrics,
        Self::Control,
        Self::Fleet,
        Self::Events,
        Self::Samples,
        Self::SessionHelper,
        Self::State,
    ];

    /// The spelling in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Database => "database",
            Self::DatabaseUpdate => "database_update",
            Self::CrossCheck => "cross_check",
            Self::AsDatabase => "as_database",
            Self::Metrics => "metrics",
            Self::Control => "control",
            Self::Fleet => "fleet",
            Self::Events => "events",
            Self::Samples => "samples",
            Self::SessionHelper => "session_helper",
            Self::State => "state",
        }
    }
}

/// One part that is not in place, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub part: Part,
    /// Which one of its kind; empty where there is only one.
    pub name: String,
    /// What is missing and why, in sentences.
    pub text: String,
    pub since: UnixSeconds,
}

impl Shortfall {
    pub fn now(part: Part, name: impl Into<String>, text: impl ToString) -> Self {
        Self {
            part,
            name: name.into(),
            // Names and paths in it come from files.
            text: printable(text.to_string().trim_end()),
            since: UnixSeconds::now(),
        }
    }

    /// Whether this is about the same part as another, whatever the reasons.
    #[must_use]
    pub fn is_of(&self, part: Part, name: &str) -> bool {
        self.part == part && self.name == name
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "part": self.part.name(),
            "name": self.name,
            "text": self.text,
            "since": self.since,
        })
    }
}

/// What a policy may go without. Everything else that cannot be had is an error.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance<'a> {
    Nothing,
    /// Any list, and nothing else.
    Lists,
    /// What the active policy goes without already.
    Known(&'a [Shortfall]),
    Everything,
}

impl Tolerance<'_> {
    #[must_use]
    pub fn allows(self, part: Part, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Lists => part == Part::List,
            Self::Known(known) => known.iter().any(|one| one.is_of(part, name)),
            Self::Everything => true,
        }
    }
}
