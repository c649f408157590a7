//! The differences as text.

use std::fmt::{Display, Write as _};

use comfy_table::Table;

use super::table::{align_numbers, table, treatments};
use crate::checks::diff::Diff;
use crate::model::countries;
use crate::model::policy::{CountryRule, Policy, Service};
use crate::model::text::grouped;

/// Everything that differs from the policy named `against`. With `all`, also the data of countries that are not listed.
pub(super) fn text(diff: &Diff, policy: &Policy, against: &str, all: bool) -> String {
    let mut out = String::new();
    if diff.is_empty() {
        return format!("nothing changes compared with {against}\n");
    }
    let mut line = |name: &str, value: &dyn Display| {
        // Writing to a string cannot fail, here and below.
        _ = writeln!(out, "{name:<12} {value}");
    };
    line("against", &against);
    for (verb, codes) in [
        ("now blocked", &diff.blocked),
        ("no longer blocked", &diff.unblocked),
    ] {
        if !codes.is_empty() {
            line("countries", &format!("{verb}: {}", named(codes)));
        }
    }
    for (verb, services) in [
        ("opened", &diff.services.opened),
        ("closed", &diff.services.closed),
    ] {
        if !services.is_empty() {
            let services: Vec<_> = services.iter().map(Service::to_string).collect();
            line("services", &format!("{verb}: {}", services.join(", ")));
        }
    }
    for setting in &diff.settings {
        line(
            setting.key,
            &format!("{} -> {}", setting.before, setting.after),
        );
    }
    for change in &diff.lists {
        for (sign, prefixes) in [('+', &change.added), ('-', &change.removed)] {
            if !prefixes.is_empty() {
                line(change.list, &abridged(sign, prefixes));
            }
        }
    }
    if !diff.verdicts.is_empty() {
        _ = writeln!(
            out,
            "\nAddresses that would be treated differently, by their country today:\n{}",
            verdicts(diff).trim_fmt()
        );
    }
    if !diff.data.is_empty() {
        let (CountryRule::Block(listed) | CountryRule::AllowOnly(listed)) = &policy.settings.rule;
        let shows = |code: &str| all || listed.iter().any(|country| country.name() == code);
        _ = writeln!(
            out,
            "\nWhat countries gained and lost in the GeoIP data, in the fewest prefixes that cover the addresses:\n{}",
            diff.data.table(shows).trim_fmt()
        );
    }
    for refusal in diff.data.refusals() {
        _ = writeln!(
            out,
            "\nwarning: the sanity check will refuse this data without --force: {refusal}"
        );
    }
    out
}

fn named(codes: &[&'static str]) -> String {
    let name = |code: &&str| countries::named(code);
    codes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The first few prefixes of a list that may have a hundred thousand.
fn abridged(sign: char, prefixes: &[ipnet::IpNet]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut text: Vec<_> = prefixes
        .iter()
        .take(SHOWN_MAX)
        .map(|prefix| format!("{sign}{prefix}"))
        .collect();
    if prefixes.len() > SHOWN_MAX {
        text.push(format!(
            "and {} more",
            grouped((prefixes.len() - SHOWN_MAX) as u64)
        ));
    }
    text.join(" ")
}

fn verdicts(diff: &Diff) -> Table {
    let mut table = table(&[
        "country",
        "",
        "change",
        "IPv4 prefixes",
        "IPv4 addresses",
        "IPv6 prefixes",
        "IPv6 /48 sites",
    ]);
    for change in &diff.verdicts {
        let mut cells = vec![
            change.country.to_owned(),
            countries::name_of(change.country),
            treatments(change.before, change.after, change.whole),
        ];
        cells.extend(change.counts.all().map(grouped));
        table.add_row(cells);
    }
    align_numbers(&mut table, 3);
    table
}
