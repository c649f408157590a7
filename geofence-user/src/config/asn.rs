//! Autonomous systems as a configuration spells them: `AS64500`, or by the name of the organisation, `AS:Example Org`.
//!
//! Which prefixes a system has is in a database, which nothing here reads. A mention therefore keeps its place, for the
//! error message if the database has no such system.

use std::fmt;
use std::ops::Range;

use super::error::{Problem, quoted};
use crate::model::policy::AsRule;

/// The key that names the database of autonomous systems.
pub(super) const DATABASE: &str = "asn-database";

/// An autonomous system, by its number or by the name of its organisation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AsName {
    Number(u32),
    Organisation(String),
}

/// As the configuration spells it.
impl fmt::Display for AsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "AS{number}"),
            Self::Organisation(name) => write!(f, "AS:{name}"),
        }
    }
}

/// An autonomous system that a rule names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsMention {
    pub name: AsName,
    pub rule: AsRule,
    /// File, line and column.
    pub place: String,
    pub(super) span: Range<usize>,
}

impl AsMention {
    pub(super) fn new(name: AsName, rule: AsRule, span: Range<usize>) -> Self {
        let place = String::new();
        Self {
            name,
            rule,
            place,
            span,
        }
    }
}

/// Reads an autonomous system; nothing if the text is meant to be something else.
pub(super) fn read(text: &str) -> Option<Result<AsName, Problem>> {
    let bare = text.trim();
    let rest = bare
        .get(..2)
        .filter(|start| start.eq_ignore_ascii_case("as"))
        .and_then(|_| bare.get(2..))?;
    let refuse = |label: &str, help: String| {
        let title = format!("{} is not an autonomous system", quoted(text));
        Some(Err(Problem::new(title, label, help)))
    };
    let form = "write its number, such as \"AS64500\", or \"AS:\" and the name of the organisation";
    let name = if let Some(name) = rest.strip_prefix(':') {
        let name = name.trim();
        if name.is_empty() {
            return refuse("there is no name", form.to_owned());
        }
        AsName::Organisation(name.to_owned())
    } else {
        let digits = rest.trim_start();
        if !digits.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let number = match digits.split_once('.') {
            // The old spelling of long numbers: two halves of sixteen bits.
            Some((high, low)) => match (high.parse::<u16>(), low.parse::<u16>()) {
                (Ok(high), Ok(low)) => Some(u32::from(high) << 16 | u32::from(low)),
                _ => None,
            },
            None => digits.parse().ok(),
        };
        match number {
            Some(0) => return refuse("no network belongs to AS0", form.to_owned()),
            Some(number) => AsName::Number(number),
            None => return refuse("numbers are 1 to 4294967295", form.to_owned()),
        }
    };
    if name.to_string() == text {
        Some(Ok(name))
    } else {
        let meant = format!("did you mean \"{name}\"?");
        refuse("another spelling is expected", meant)
    }
}

/// Whether the text names an autonomous system.
pub(super) fn is_as(text: &str) -> bool {
    matches!(read(text), Some(Ok(_)))
}

/// What to do about a system if no database is configured.
pub(super) fn no_database(name: &AsName) -> Problem {
    Problem::new(
        "no database says which prefixes an autonomous system has",
        format!("{name} is given, and `{DATABASE}` is not"),
        format!(
            "name an ASN database, such as {DATABASE} = \"/var/lib/geofence/asn.mmdb\" (GeoLite2-ASN, DB-IP ASN Lite), \
             or write prefixes"
        ),
    )
}
