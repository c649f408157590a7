//! What the template shows: every figure and name as text.

use askama::Template;
use geofence_common::action::Mode;
use geofence_common::country::Country;
use serde_json::Value;

use super::explain_box::Explain;
use super::figures::{Sums, by_country, total};
use super::map::{LEVELS, MAP, level};
use super::query::Query;
use super::tables::{
    self, CountryRow, ExceptionRow, InterfaceRow, ListRow, PacketRow, TenantRow, shown,
};
use crate::daemon::NewCounts;
use crate::daemon::facts::Snapshot;
use crate::model::attention::{self, Item};
use crate::model::countries;
use crate::model::json::{database, list, word};
use crate::model::quantity::{bits, rate};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

/// Everything on the page.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    instance: String,
    version: &'static str,
    /// The filter in a word, and the class of its colour.
    state: &'static str,
    state_class: &'static str,
    policy: String,
    /// "dropped", or what monitor mode says instead.
    dropped: &'static str,
    attention: Vec<Item>,
    details: Vec<String>,
    figures: Vec<Figure>,
    map: Map,
    top: Vec<CountryRow>,
    choices: Vec<Choice>,
    chosen: Option<Chosen>,
    packets: Vec<PacketRow>,
    more: usize,
    interfaces: Vec<InterfaceRow>,
    lists: Vec<ListRow>,
    tenants: Vec<TenantRow>,
    exceptions_live: String,
    exceptions: Vec<ExceptionRow>,
    facts: Vec<(&'static str, String)>,
    explain: Explain,
    /// Whether the licence of the data asks for an attribution.
    is_attributed: bool,
    mark: String,
    now: String,
}

/// A figure at the top; the script keeps it current by its name.
struct Figure {
    id: &'static str,
    label: String,
    value: String,
    unit: String,
    class: &'static str,
}

struct Map {
    view_box: &'static str,
    shapes: Vec<Shape>,
    is_passed: bool,
    /// The letter of the colours' classes.
    colour: &'static str,
    levels: [(u64, &'static str); 5],
}

struct Shape {
    code: &'static str,
    path: &'static str,
    class: String,
    title: String,
}

/// A country in the menu.
struct Choice {
    code: &'static str,
    name: String,
    is_chosen: bool,
}

/// The country whose packets are shown.
struct Chosen {
    code: &'static str,
    name: String,
    is_blocked: bool,
    blocked: String,
    passed: String,
}

impl Page {
    pub(super) fn new(
        snapshot: &Snapshot,
        status: &Value,
        counts: Option<&NewCounts>,
        query: &Query,
    ) -> Self {
        let total = total(&snapshot.interfaces);
        let sums = by_country(&total);
        let rule = &snapshot.settings.rule;
        let is_blocked = |country: Country| country.code().is_some() && rule.blocks(country);
        let chosen = country_of(&query.country);
        let is_passed = query.map == "passed";
        let is_monitor = snapshot.facts.mode == Mode::Monitor;
        let dropped = if is_monitor {
            "would be dropped"
        } else {
            "dropped"
        };
        let (packets, more) = tables::packets(&total, counts, chosen);
        let all: Vec<_> = sums
            .iter()
            .map(|(country, sums)| (*country, *sums))
            .collect();
        let (state, state_class) = state_of(snapshot, is_monitor);
        let shapes = MAP.shapes.iter().map(|&(country, path)| {
            let sums = sums.get(&country).copied().unwrap_or_default();
            let is_chosen = chosen == Some(country);
            Shape {
                code: country.name(),
                path,
                class: classes(&sums, is_passed, is_blocked(country), is_chosen),
                title: title(country, &sums, dropped, is_blocked(country)),
            }
        });
        Self {
            instance: word(&status["instance"]),
            version: env!("CARGO_PKG_VERSION"),
            state,
            state_class,
            policy: status["policy"].as_str().map_or_else(
                || "The last good image filters; its policy may be another than that of the configuration.".to_owned(),
                sentence_case,
            ),
            dropped,
            attention: attention::items(status),
            details: details(snapshot, status),
            figures: figures(&all, counts, dropped),
            map: Map {
                view_box: MAP.view_box,
                shapes: shapes.collect(),
                is_passed,
                colour: if is_passed { "p" } else { "d" },
                levels: LEVELS,
            },
            top: tables::top(&all, is_passed, is_blocked),
            choices: choices(chosen),
            chosen: chosen.map(|country| {
                let sums = sums.get(&country).copied().unwrap_or_default();
                Chosen {
                    code: country.name(),
                    name: countries::name(country),
                    is_blocked: is_blocked(country),
                    blocked: grouped(sums.blocked.packets),
                    passed: grouped(sums.passed.packets),
                }
            }),
            packets,
            more,
            interfaces: tables::interfaces(snapshot, status),
            lists: tables::lists(snapshot, status),
            tenants: tables::tenants(snapshot),
            exceptions_live: grouped(snapshot.tenants.exceptions as u64),
            exceptions: tables::exceptions(status),
            facts: facts(status),
            explain: Explain::default(),
            is_attributed: snapshot.facts.attribution.is_some(),
            mark: String::new(),
            now: UnixSeconds::now().to_string(),
        }
    }

    /// With the box that explains a packet.
    pub(super) fn with(self, explain: Explain) -> Self {
        Self { explain, ..self }
    }

    /// With the text by which the script sees that the state has changed.
    pub(super) fn marked(self, mark: String) -> Self {
        Self { mark, ..self }
    }
}

/// The country of a parameter: a code, or one of the names of packets without a country.
fn country_of(name: &str) -> Option<Country> {
    match name {
        "none" => Some(Country::NONE),
        "special" => Some(Country::SPECIAL),
        "unknown" => Some(Country::UNKNOWN),
        code => Country::from_code(code.as_bytes().try_into().ok()?),
    }
}

fn state_of(snapshot: &Snapshot, is_monitor: bool) -> (&'static str, &'static str) {
    if !snapshot.interfaces.iter().all(|one| one.is_protected) {
        ("Not protected", "bad")
    } else if is_monitor {
        ("Monitoring", "warn")
    } else {
        ("Enforcing", "good")
    }
}

fn classes(sums: &Sums, is_passed: bool, is_blocked: bool, is_chosen: bool) -> String {
    let letter = if is_passed { 'p' } else { 'd' };
    let level = match level(shown(sums, is_passed)) {
        0 => "zero".to_owned(),
        level => format!("{letter}{level}"),
    };
    let blocked = if is_blocked { " blocked" } else { "" };
    let chosen = if is_chosen { " chosen" } else { "" };
    format!("{level}{blocked}{chosen}")
}

fn title(country: Country, sums: &Sums, dropped: &str, is_blocked: bool) -> String {
    format!(
        "{}{}: {} {dropped}, {} passed",
        countries::name(country),
        if is_blocked { " (blocked)" } else { "" },
        grouped(sums.blocked.packets),
        grouped(sums.passed.packets)
    )
}

/// What the items that need attention are about, in sentences.
fn details(snapshot: &Snapshot, status: &Value) -> Vec<String> {
    let failure = snapshot.reloads.last_failure.iter();
    let failure = failure.map(|last| last.failure.text.clone());
    let shortfalls = snapshot.shortfalls.iter().map(|one| one.text.clone());
    let noted = list(&status["exceptions"]["noted"])
        .map(|one| format!("exception {}: {}", word(&one["id"]), word(&one["note"])));
    failure.chain(shortfalls).chain(noted).collect()
}

fn figures(all: &[(Country, Sums)], counts: Option<&NewCounts>, dropped: &str) -> Vec<Figure> {
    let mut sums = Sums::default();
    for (_, one) in all {
        sums.blocked += one.blocked;
        sums.passed += one.passed;
    }
    let now = counts
        .map(|counts| Sums::of(&counts.counted))
        .unwrap_or_default();
    let of = |packets: u64| counts.map_or(0.0, |counts| counts.per_second(packets));
    let unit = |bytes: u64| format!("packets/s, {}", bits(of(8 * bytes)));
    vec![
        Figure {
            id: "blocked-rate",
            label: format!("{dropped} now"),
            value: rate(of(now.blocked.packets)),
            unit: unit(now.blocked.bytes),
            class: "drop",
        },
        Figure {
            id: "passed-rate",
            label: "passed now".to_owned(),
            value: rate(of(now.passed.packets)),
            unit: unit(now.passed.bytes),
            class: "pass",
        },
        Figure {
            id: "blocked",
            label: format!("{dropped} in all"),
            value: grouped(sums.blocked.packets),
            unit: "packets since the filter was attached".to_owned(),
            class: "drop",
        },
        Figure {
            id: "passed",
            label: "passed in all".to_owned(),
            value: grouped(sums.passed.packets),
            unit: "packets since the filter was attached".to_owned(),
            class: "pass",
        },
    ]
}

fn choices(chosen: Option<Country>) -> Vec<Choice> {
    let mut choices: Vec<_> = Country::all()
        .map(|country| Choice {
            code: country.name(),
            name: countries::name(country),
            is_chosen: chosen == Some(country),
        })
        .collect();
    choices.sort_by(|one, other| one.name.cmp(&other.name));
    choices
}

/// The facts about policy and data, each with its name.
fn facts(status: &Value) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(file) = status["configuration"].as_str() {
        facts.push(("Configuration", file.to_owned()));
    }
    for one in list(&status["databases"]) {
        facts.push(("GeoIP data", database(one)));
    }
    let reloads = &status["reloads"];
    let mut said = format!(
        "{} succeeded, {} failed",
        word(&reloads["succeeded"]),
        word(&reloads["failed"])
    );
    if let Some(last) = reloads["last_success"].as_u64() {
        said += &format!(
            "; the requested policy became active at {}",
            UnixSeconds(last)
        );
    }
    facts.push(("Reloads", said));
    if let Some(open) = status["mail_dns"].as_str() {
        facts.push(("DNS for mail", open.to_owned()));
    }
    facts.push((
        "Policy image",
        format!("number {}", word(&status["generation"])),
    ));
    facts
}

/// The sentence with a capital at its start and a full stop.
fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
