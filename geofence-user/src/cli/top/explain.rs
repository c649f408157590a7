//! The selected row in sentences.

use geofence_common::country::Country;

use super::app::App;
use super::rows::{Rate, stopped};
use super::sample::{View, reason};
use crate::model::countries;
use crate::model::quantity::{bits, rate};
use crate::model::text::grouped;

/// How many parts of a row are named.
const PARTS_MAX: usize = 12;

/// What the selected row is, and what it consists of.
pub(super) fn lines(app: &App, name: &str) -> Vec<String> {
    let key = (app.view, name.to_owned());
    let mut lines = Vec::new();
    lines.push(match app.view {
        View::Countries => about_country(app, name),
        View::Reasons => reason(name).map_or_else(String::new, |reason| {
            format!("{}: {}", reason.action().name(), reason.meaning())
        }),
        View::Interfaces => app.sample.interfaces.get(name).cloned().unwrap_or_default(),
        View::Tenants => "A network with settings of its own.".to_owned(),
        View::Lists => {
            "Packets from and to addresses on the list. A list that alerts drops none.".to_owned()
        }
    });
    let row = app.rates.rows.get(&key).copied().unwrap_or_default();
    let count = app.sample.rows.get(&key).copied().unwrap_or_default();
    let stopped = stopped(&app.sample);
    lines.push(format!(
        "Now: {} packets/s {stopped}, {} passed, {}",
        rate(row.blocked),
        rate(row.passed),
        bits(row.bits)
    ));
    lines.push(format!(
        "Since the filter was attached: {} {stopped}, {} passed",
        grouped(count.blocked),
        grouped(count.passed)
    ));
    lines.extend(parts(app, name));
    lines
}

fn about_country(app: &App, code: &str) -> String {
    let country = code.as_bytes().try_into().ok().and_then(Country::from_code);
    match country {
        Some(country) => {
            let is_blocked = app.sample.blocked.iter().any(|one| one == code);
            let state = if is_blocked { "blocked" } else { "not blocked" };
            format!("{}: {state} by the policy.", countries::name(country))
        }
        None => match code {
            "special" => "Special-use space (RFC 6890), which belongs to no country.".to_owned(),
            "unknown" => "No database knows the country of these sources.".to_owned(),
            _ => "Packets whose source was not read, such as ARP.".to_owned(),
        },
    }
}

/// The reasons of a country, or the countries of a reason.
fn parts(app: &App, name: &str) -> Vec<String> {
    let pairs = app
        .rates
        .pairs
        .iter()
        .filter_map(|((country, reason), rate)| match app.view {
            View::Countries if country == name => Some((reason, *rate)),
            View::Reasons if reason == name => Some((country, *rate)),
            View::Countries | View::Reasons | View::Interfaces | View::Tenants | View::Lists => {
                None
            }
        });
    let mut pairs: Vec<(&String, Rate)> = pairs.collect();
    pairs.sort_by(|(_, one), (_, other)| other.packets().total_cmp(&one.packets()));
    let pairs = pairs.into_iter().take(PARTS_MAX);
    pairs
        .map(|(part, one)| format!("  {part:<26} {:>12}/s", rate(one.packets())))
        .collect()
}
