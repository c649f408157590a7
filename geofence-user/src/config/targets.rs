//! What tenants, exceptions and protections have in common: names, sources, destinations, traffic, moments.

use std::ops::Range;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::asn::{self, AsName};
use super::error::{Fault, Problem, quoted};
use super::value::Spanned;
use super::{addresses, values};
use crate::model::countries::Entry;
use crate::model::policy::{Destination, Origin, Tenant, Traffic};
use crate::model::text::nearest;
use crate::model::units::UnixSeconds;

/// The longest name; a label of metrics and a column of tables.
const NAME_BYTES_MAX: usize = 64;
/// What stands for every destination.
pub(super) const ANY: &str = "any";

/// Reads the name of a tenant, an exception or a protection.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    let label = if text.is_empty() || text.len() > NAME_BYTES_MAX {
        format!("a name has 1 to {NAME_BYTES_MAX} bytes")
    } else if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        "a name has letters, digits, `.`, `_` and `-`".to_owned()
    } else if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        "a name begins with a letter or a digit".to_owned()
    } else if text == ANY || addresses::prefix(text).is_ok() {
        "this is reserved: it is \"any\", an address or a prefix".to_owned()
    } else {
        return Ok(text.to_owned());
    };
    Err(Problem::new(
        format!("{} is not a valid name", quoted(text)),
        label,
        "write a name such as \"customer-17\"",
    ))
}

/// Reads whose and why: some words, on one line.
pub(super) fn words(text: &str) -> Result<String, Problem> {
    if !text.trim().is_empty() && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        "this text is empty, or has line breaks",
        "expected some words, on one line",
        "write who answers for it, or why it exists: \"ticket 4711, branch in Almaty\"",
    ))
}

/// Reads a source: a prefix, an address, a country, a group of countries, or an autonomous system, of which it answers
/// with the place as well.
pub(super) fn origins(
    list: &[Spanned<'_>],
    faults: &mut Vec<Fault>,
) -> (Vec<Origin>, Vec<(AsName, Range<usize>)>) {
    let (mut origins, mut systems) = (Vec::new(), Vec::new());
    for Spanned { text, span } in list {
        match asn::read(text) {
            Some(Ok(name)) => {
                systems.push((name, span.clone()));
                continue;
            }
            Some(Err(problem)) => {
                faults.push(problem.at(span.clone()));
                continue;
            }
            None => {}
        }
        let is_address = text.contains(['.', ':', '/']);
        let read = if is_address {
            addresses::prefix(text).map(|net| vec![Origin::Prefix(net)])
        } else {
            values::country(text).map(|entry| {
                let countries = Entry::expand(&[entry]).into_iter();
                countries.map(Origin::Country).collect()
            })
        };
        match read {
            Ok(read) => origins.extend(read),
            Err(problem) => faults.push(problem.at(span.clone())),
        }
    }
    origins.sort_unstable();
    origins.dedup();
    (origins, systems)
}

/// Reads destinations: tenants, prefixes if they are accepted, or every destination.
pub(super) fn destinations(
    tenants: &[Tenant],
    list: &[Spanned<'_>],
    takes_prefixes: bool,
    faults: &mut Vec<Fault>,
) -> Vec<Destination> {
    let mut destinations = Vec::new();
    for Spanned { text, span } in list {
        if text.as_ref() == ANY {
            destinations.push(Destination::Anywhere);
        } else if let Some(tenant) = tenants.iter().find(|tenant| tenant.name == text.as_ref()) {
            destinations.push(Destination::Tenant(tenant.number));
        } else if text.contains([':', '/']) || addresses::prefix(text).is_ok() {
            match addresses::prefix(text) {
                Err(problem) => faults.push(problem.at(span.clone())),
                Ok(net) if takes_prefixes => destinations.push(Destination::Prefix(net)),
                Ok(_) => faults.push(
                    Problem::new(
                        "a protection is for tenants, or for every destination",
                        "a prefix",
                        "make the prefix a tenant with [[tenant]], and name that; or write \"any\"",
                    )
                    .at(span.clone()),
                ),
            }
        } else {
            faults.push(unknown_tenant(tenants, text).at(span.clone()));
        }
    }
    destinations.sort_unstable();
    destinations.dedup();
    destinations
}

/// Whether a text could be a tenant's name, but no tenant has it.
pub(super) fn is_missing_tenant(tenants: &[Tenant], text: &str) -> bool {
    name(text).is_ok() && tenants.iter().all(|tenant| tenant.name != text)
}

fn unknown_tenant(tenants: &[Tenant], text: &str) -> Problem {
    let names = || tenants.iter().map(|tenant| tenant.name.as_str());
    let help = match nearest(text, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if tenants.is_empty() => {
            "there are no tenants: write one in a [[tenant]], or write a prefix here, or \"any\""
                .to_owned()
        }
        None => {
            let names: Vec<_> = names().take(20).collect();
            format!("the tenants are {}", names.join(", "))
        }
    };
    Problem::new(
        format!("there is no tenant {}", quoted(text)),
        "neither a tenant nor a prefix",
        help,
    )
}

/// IP protocols that exceptions know by name.
const PROTOCOLS: [(&str, u8); 6] = [
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("esp", 50),
    ("gre", 47),
    ("sctp", 132),
];

/// The name of an IP protocol, or its number where it has none here.
pub(super) fn protocol(number: u8) -> String {
    let known = PROTOCOLS.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// Reads what a packet is: a protocol, or one with a port or a range of ports.
pub(super) fn traffic(text: &str) -> Result<Traffic, Problem> {
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == text) {
        return Ok(Traffic::Protocol(*number));
    }
    if text.contains(['/', ':']) || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return values::service(text).map(Traffic::Service);
    }
    let names = || PROTOCOLS.iter().map(|(name, _)| *name);
    Err(Problem::new(
        format!("{} is not a protocol or service", quoted(text)),
        "neither a protocol nor a protocol with a port",
        match nearest(text, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "write \"tcp/443\" or \"udp/9000-9010\", or one of {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        },
    ))
}

/// Reads when something expires: at the end of a day, or at a time with its zone.
pub(super) fn expiry(text: &str) -> Result<UnixSeconds, Problem> {
    let day = || {
        let day: Date = text.parse().ok()?;
        let next = day.checked_add(1.day()).ok()?;
        Some(next.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
    };
    let moment = match text.contains(['T', 't', ' ']) {
        true => text.parse::<Timestamp>().ok(),
        false => day(),
    };
    moment
        .and_then(|moment| u64::try_from(moment.as_second()).ok())
        .map(UnixSeconds)
        .ok_or_else(|| {
            Problem::new(
                format!("{} is neither a day nor a time", quoted(text)),
                "expected a day, or a time with its zone",
                "write \"2027-03-31\" for the end of that day (UTC), or \"2027-03-31T18:00:00+02:00\"",
            )
        })
}
