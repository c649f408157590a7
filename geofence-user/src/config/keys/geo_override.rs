//! The keys of `[[geo-override]]`.

use geofence_common::country::Country;

use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem, quoted};
use crate::config::key::Key;
use crate::config::key_doc::Kind;
use crate::config::table::{Places, Table};
use crate::config::{addresses, targets, values};
use crate::model::countries::Entry;
use crate::model::policy::GeoOverride;

/// The word for no country that is known.
const UNKNOWN: &str = "unknown";

type K = Key<GeoOverride>;

pub(in crate::config) fn table() -> Table<GeoOverride> {
    Table {
        name: "geo-override",
        meaning: "A correction of the GeoIP data: this prefix is really in that country.",
        details: "There may be any number, each in a `[[geo-override]]` of its own at the end of the file. It replaces \
                  the country of its addresses in the data, before anything else looks at it: blocked countries, \
                  tenants, exceptions that name countries, counters. Of two that overlap, the longer prefix decides. \
                  [GeoIP data](geoip.md) says when to use one.",
        keys: vec![
            K::text("prefix", "a prefix or an address", addresses::prefix, |one| &mut one.prefix)
                .required()
                .meaning("The addresses.")
                .details(
                    "`geofence check` warns of a prefix shorter than /8, or than /16 of IPv6, of overrides that \
                     overlap, and of special-use space, which never has a country.",
                )
                .example(r#"prefix = "203.0.113.0/24""#)
                .refused("Anything but a prefix or an address; bits set behind its length; a prefix given twice."),
            K::text("country", "a country code, or \"unknown\"", country, |one| &mut one.country)
                .required()
                .meaning("The country they are in; `\"unknown\"` if it is not known.")
                .details("Addresses of an unknown country follow the key `unknown`.")
                .example(r#"country = "DE""#)
                .refused("A group, and anything but an upper-case code, with the nearest."),
            K::text("reason", "some words", targets::words, |one| &mut one.reason)
                .required()
                .meaning("How it is known.")
                .example(r#"reason = "moved to Frankfurt, ticket 4711""#)
                .refused("An empty text, and line breaks."),
            K::new("until", Kind::Text("a day, or a time with its zone"), |one, value, faults| {
                one.until = value.one(faults, targets::expiry);
            })
            .default("none: it stays until it is removed")
            .meaning("When the override expires.")
            .details(
                "A day means its end, UTC. The daemon then compiles the data without it; while no daemon runs, it \
                 stays in force.",
            )
            .example(r#"until = "2027-03-31""#)
            .refused("What is neither, and a time without a zone."),
        ],
        finish,
    }
}

/// Reads one country.
fn country(text: &str) -> Result<Country, Problem> {
    if text == UNKNOWN {
        return Ok(Country::UNKNOWN);
    }
    match values::country(text) {
        Ok(Entry::Country(country)) => Ok(country),
        Ok(Entry::Group(_)) => Err(Problem::new(
            format!("{} is a group of countries", quoted(text)),
            "addresses are in one country",
            "write the code of one country, such as \"DE\", or \"unknown\"",
        )),
        Err(problem) => Err(problem),
    }
}

fn finish(config: &mut Config, read: GeoOverride, places: &Places, faults: &mut Vec<Fault>) {
    let prefix = read.prefix;
    let overrides = &mut config.policy.geo_overrides;
    if overrides.iter().any(|one| one.prefix == prefix) {
        let problem = Problem::new(
            format!("there are two overrides of {prefix}"),
            "given again here",
            "remove one of the two",
        );
        faults.push(problem.at(places.of("prefix")));
        return;
    }
    overrides.push(read);
}
