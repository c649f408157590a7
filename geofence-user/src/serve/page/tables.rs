//! The rows of the page's tables.

use geofence_common::action::{Action, Direction};
use geofence_common::country::Country;
use geofence_common::maps::list_counter;
use serde_json::Value;

use super::figures::{Key, Sums, name_of, rate_of};
use super::map::level;
use crate::daemon::facts::{ListCount, Snapshot};
use crate::daemon::{Counted, NewCounts};
use crate::model::countries;
use crate::model::json::{list, word};
use crate::model::quantity::{bytes, rate};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

/// How many rows of countries and reasons are shown at once.
const ROWS_MAX: usize = 100;

/// Packets of a country under a reason.
pub(super) struct PacketRow {
    pub(super) key: String,
    pub(super) code: &'static str,
    pub(super) name: String,
    pub(super) action: &'static str,
    pub(super) reason: &'static str,
    pub(super) meaning: &'static str,
    pub(super) packets: String,
    pub(super) bytes: String,
    pub(super) rate: String,
}

/// The rows with most packets, of one country or all, and how many more there are.
pub(super) fn packets(
    total: &Counted,
    counts: Option<&NewCounts>,
    chosen: Option<Country>,
) -> (Vec<PacketRow>, usize) {
    let is_shown = |(country, ..): &Key| chosen.is_none_or(|chosen| *country == chosen);
    let mut rows: Vec<_> = total.iter().filter(|(key, _)| is_shown(key)).collect();
    rows.sort_by_key(|(_, counter)| std::cmp::Reverse(counter.packets));
    let more = rows.len().saturating_sub(ROWS_MAX);
    let rows = rows.into_iter().take(ROWS_MAX).map(|(key, counter)| {
        let (country, action, reason) = *key;
        PacketRow {
            key: name_of(key),
            code: country.name(),
            name: countries::name(country),
            action: action.name(),
            reason: reason.name(),
            meaning: reason.meaning(),
            packets: grouped(counter.packets),
            bytes: bytes(counter.bytes),
            rate: rate(rate_of(counts, key)),
        }
    });
    (rows.collect(), more)
}

/// A country in the short list beside the map.
pub(super) struct CountryRow {
    pub(super) code: &'static str,
    pub(super) name: String,
    pub(super) is_blocked: bool,
    pub(super) level: usize,
    pub(super) packets: String,
    pub(super) share: String,
}

/// The countries with most packets of the kind that the map shows.
pub(super) fn top(
    sums: &[(Country, Sums)],
    is_passed: bool,
    is_blocked: impl Fn(Country) -> bool,
) -> Vec<CountryRow> {
    const TOP: usize = 10;
    let of = |sums: &Sums| shown(sums, is_passed);
    let all: u64 = sums.iter().map(|(_, sums)| of(sums)).sum();
    let mut rows: Vec<_> = sums.iter().filter(|(_, sums)| of(sums) > 0).collect();
    rows.sort_by_key(|(_, sums)| std::cmp::Reverse(of(sums)));
    let rows = rows
        .into_iter()
        .take(TOP)
        .map(|(country, sums)| CountryRow {
            code: country.name(),
            name: countries::name(*country),
            is_blocked: is_blocked(*country),
            level: level(of(sums)),
            packets: grouped(of(sums)),
            share: share(of(sums), all),
        });
    rows.collect()
}

/// A part in percent.
fn share(part: u64, all: u64) -> String {
    let percent = 100.0 * part as f64 / all.max(1) as f64;
    if percent < 0.5 {
        "< 1 %".to_owned()
    } else {
        format!("{percent:.0} %")
    }
}

/// The packets that the map is about.
pub(super) fn shown(sums: &Sums, is_passed: bool) -> u64 {
    if is_passed {
        sums.passed.packets
    } else {
        sums.blocked.packets
    }
}

pub(super) struct InterfaceRow {
    pub(super) name: String,
    pub(super) is_protected: bool,
    pub(super) state: String,
    pub(super) mode: String,
    pub(super) driver: String,
    pub(super) blocked: String,
    pub(super) passed: String,
}

pub(super) fn interfaces(snapshot: &Snapshot, status: &Value) -> Vec<InterfaceRow> {
    let rows = snapshot.interfaces.iter().map(|one| {
        let sums = Sums::of(&one.counters);
        let known = list(&status["interfaces"]).find(|known| known["interface"] == one.name);
        let state = known.map_or_else(String::new, |known| {
            let detail = known["detail"].as_str();
            let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
            format!("{}{detail}", word(&known["standing"]))
        });
        InterfaceRow {
            name: one.name.clone(),
            is_protected: one.is_protected,
            state: if one.is_protected {
                "protected".to_owned()
            } else {
                format!("NOT PROTECTED ({state})")
            },
            mode: one.mode.to_owned(),
            driver: one.driver.clone(),
            blocked: grouped(sums.blocked.packets),
            passed: grouped(sums.passed.packets),
        }
    });
    rows.collect()
}

pub(super) struct ListRow {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) state: String,
    pub(super) is_current: bool,
    pub(super) entries: String,
    pub(super) since: String,
    pub(super) matches: String,
}

pub(super) fn lists(snapshot: &Snapshot, status: &Value) -> Vec<ListRow> {
    let rows = list(&status["lists"]).map(|one| {
        let name = word(&one["name"]);
        let since = one["since"].as_u64();
        ListRow {
            what: format!("{}, {}", word(&one["action"]), word(&one["direction"])),
            state: word(&one["standing"]),
            is_current: one["standing"] == "current",
            entries: grouped(one["entries"].as_u64().unwrap_or_default()),
            since: since.map_or_else(|| "never".to_owned(), |at| UnixSeconds(at).to_string()),
            matches: grouped(snapshot.lists.get(&name).map_or(0, matches)),
            name,
        }
    });
    rows.collect()
}

/// The packets that matched a list, whatever became of each.
fn matches(count: &ListCount) -> u64 {
    let ways = Direction::ALL.into_iter();
    let places = ways.flat_map(|way| [Action::Pass, Action::Drop].map(|to| list_counter(way, to)));
    let places: Vec<usize> = places.collect();
    let tenants = count.tenants.values();
    tenants
        .flat_map(|one| places.iter().map(|place| one.packets[*place]))
        .sum()
}

pub(super) struct TenantRow {
    pub(super) name: String,
    pub(super) blocked: String,
    pub(super) passed: String,
}

pub(super) fn tenants(snapshot: &Snapshot) -> Vec<TenantRow> {
    let mut rows: Vec<_> = snapshot.tenants.tenants.iter().collect();
    rows.sort_by_key(|(_, counters)| {
        std::cmp::Reverse(counters.values().map(|one| one.packets).sum::<u64>())
    });
    let rows = rows.into_iter().take(ROWS_MAX).map(|(name, counters)| {
        let mut sums = Sums::default();
        for ((_, reason), counter) in counters {
            sums.add(*reason, *counter);
        }
        TenantRow {
            name: name.clone(),
            blocked: grouped(sums.blocked.packets),
            passed: grouped(sums.passed.packets),
        }
    });
    rows.collect()
}

pub(super) struct ExceptionRow {
    pub(super) id: String,
    pub(super) until: String,
    pub(super) owner: String,
}

/// The exceptions that expire soon.
pub(super) fn exceptions(status: &Value) -> Vec<ExceptionRow> {
    let expiring = list(&status["exceptions"]["lapsing"]);
    let rows = expiring.take(ROWS_MAX).map(|one| ExceptionRow {
        id: word(&one["id"]),
        until: word(&one["until"]),
        owner: word(&one["owner"]),
    });
    rows.collect()
}
