//! Autonomous systems as a configuration names them: `AS64500`, or by the name of the organisation, `AS:Example Org`.
//!
//! Which prefixes they have is in a database, which nothing here reads. So what is said of a system is kept with its
//! place, for the error of whoever finds that there is no such system.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use ipnet::IpNet;

use super::error::{self, Fault, Problem, quoted};
use super::value::Given;
use super::{Config, addresses};
use crate::model::policy::SystemRule;

/// The key that names the database of autonomous systems.
pub(super) const DATABASE: &str = "asn-database";

/// An autonomous system, by its number or by what its organisation is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    Number(u32),
    Name(String),
}

/// As the configuration spells it.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "AS{number}"),
            Self::Name(name) => write!(f, "AS:{name}"),
        }
    }
}

/// An autonomous system that a rule names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    pub named: Named,
    pub rule: SystemRule,
    /// File, line and column.
    pub place: String,
    span: Range<usize>,
}

impl Mention {
    pub(super) fn new(named: Named, rule: SystemRule, span: Range<usize>) -> Self {
        Self {
            named,
            rule,
            place: String::new(),
            span,
        }
    }
}

/// Reads an autonomous system; nothing if the text is meant to be something else.
pub(super) fn system(text: &str) -> Option<Result<Named, Problem>> {
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
    let named = if let Some(name) = rest.strip_prefix(':') {
        let name = name.trim();
        if name.is_empty() {
            return refuse("there is no name", form.to_owned());
        }
        Named::Name(name.to_owned())
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
            Some(number) => Named::Number(number),
            None => return refuse("numbers are 1 to 4294967295", form.to_owned()),
        }
    };
    if named.to_string() == text {
        Some(Ok(named))
    } else {
        let meant = format!("did you mean \"{named}\"?");
        refuse("another spelling is expected", meant)
    }
}

/// Whether the text names an autonomous system.
pub(super) fn is_system(text: &str) -> bool {
    matches!(system(text), Some(Ok(_)))
}

/// Who is on a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Prefix(IpNet),
    System(Named),
}

fn member(text: &str) -> Result<Member, Problem> {
    match system(text) {
        Some(system) => system.map(Member::System),
        None => addresses::prefix(text).map(Member::Prefix),
    }
}

/// Reads a list of prefixes and autonomous systems: answers with the former, and keeps the latter.
pub(super) fn members(
    config: &mut Config,
    given: &Given<'_>,
    rule: &SystemRule,
    faults: &mut Vec<Fault>,
) -> Option<Vec<IpNet>> {
    let members = given.many(faults, member)?;
    let Given::List(list, _) = given else {
        return None;
    };
    config.systems.retain(|mention| mention.rule != *rule);
    let mut prefixes = Vec::new();
    for (member, spelled) in members.into_iter().zip(list) {
        match member {
            Member::Prefix(net) => prefixes.push(net),
            Member::System(named) => {
                let mention = Mention::new(named, rule.clone(), spelled.span.clone());
                config.systems.push(mention);
            }
        }
    }
    Some(prefixes)
}

/// Writes down where in a text systems are named that have no place yet.
pub(super) fn locate(config: &mut Config, (name, text): (&str, &str)) {
    let new = config.systems.iter_mut();
    for mention in new.filter(|mention| mention.place.is_empty()) {
        let (line, column) = error::position(text, mention.span.start);
        mention.place = format!("{name}:{line}:{column}");
    }
}

/// What to do about a system where no database says what it is.
pub(super) fn no_database(named: &Named) -> Problem {
    Problem::new(
        "no database says which prefixes an autonomous system has",
        format!("{named} is given, and `{DATABASE}` is not"),
        format!(
            "name an ASN database, such as {DATABASE} = \"/var/lib/geofence/asn.mmdb\" (GeoLite2-ASN, DB-IP ASN Lite), \
             or write prefixes"
        ),
    )
}

/// Writes down where systems are named, and refuses them where no database says what they are.
pub(super) fn settle(
    config: &mut Config,
    source: (&str, &str),
    places: &BTreeMap<&'static str, Range<usize>>,
    faults: &mut Vec<Fault>,
) {
    config.systems.sort_by_key(|mention| mention.span.start);
    locate(config, source);
    for mention in &config.systems {
        // What is wrong with the key itself has been said.
        let is_given = places.contains_key(DATABASE) && !faults.is_empty();
        if config.asn_database.is_none() && !is_given {
            faults.push(no_database(&mention.named).at(mention.span.clone()));
        }
    }
}
