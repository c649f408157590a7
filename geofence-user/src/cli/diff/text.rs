//! The differences as text.

use std::fmt::{Display, Write as _};

use comfy_table::Table;

use super::table::{align_numbers, table, tenants, treatments};
use crate::checks::diff::{Diff, EntryChange, ServiceChange, Setting, TenantChange, VerdictChange};
use crate::model::countries;
use crate::model::policy::{CountryRule, Policy, Service};
use crate::model::text::grouped;

/// Everything that differs between two policies. With `all`, also the data of countries that are not listed.
pub(super) fn text(diff: &Diff, policy: &Policy, all: bool) -> String {
    let mut out = Lines::default();
    if !diff.is_empty() {
        out.differences(diff);
    } else if diff.not_compared.is_empty() {
        out.0 = "nothing changes\n".to_owned();
    } else {
        out.0 = "nothing that can be compared changes\n".to_owned();
    }
    for missing in &diff.not_compared {
        out.add("NOT COMPARED", missing);
    }
    let mut out = out.0;
    if !diff.verdicts.is_empty() {
        // Writing to a string cannot fail, here and below.
        _ = writeln!(
            out,
            "\nAddresses that would be treated differently, by their country today:\n{}",
            verdicts(&diff.verdicts).trim_fmt()
        );
    }
    for tenant in &diff.tenants {
        let names = names(tenant);
        if tenant.is_empty() {
            if !diff.verdicts.is_empty() || !diff.services.is_empty() {
                _ = writeln!(out, "\nNone of this changes for {names}.");
            }
            continue;
        }
        _ = writeln!(out, "\nFor {names}:");
        let mut lines = Lines::default();
        lines.decisions(
            [&tenant.blocked, &tenant.unblocked],
            &tenant.services,
            &tenant.settings,
        );
        out.push_str(&lines.0);
        if !tenant.verdicts.is_empty() {
            _ = writeln!(out, "{}", verdicts(&tenant.verdicts).trim_fmt());
        }
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
            "\nwarning: the sanity check will reject this data without --force: {refusal}"
        );
    }
    out
}

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: &(impl Display + ?Sized)) {
        _ = writeln!(self.0, "{name:<12} {value}");
    }

    /// What the policies decide differently for everyone, and the keys and entries behind that.
    fn differences(&mut self, diff: &Diff) {
        // A change that a line about decisions shows is not repeated as a change of its key.
        let are_countries_shown = !diff.blocked.is_empty() || !diff.unblocked.is_empty();
        let is_shown = |key: &str| match key {
            "block" | "allow-only" => are_countries_shown,
            "services" => !diff.services.opened.is_empty() || !diff.services.closed.is_empty(),
            key => diff.lists.iter().any(|change| change.list == key),
        };
        let settings = diff.settings.iter().filter(|one| !is_shown(&one.key));
        let settings: Vec<_> = settings.cloned().collect();
        self.decisions([&diff.blocked, &diff.unblocked], &diff.services, &settings);
        for change in &diff.lists {
            for (sign, prefixes) in [('+', &change.added), ('-', &change.removed)] {
                if !prefixes.is_empty() {
                    self.add(change.list, &abridged(sign, prefixes));
                }
            }
        }
        for entry in &diff.entries {
            self.entry(entry);
        }
    }

    /// What changes for some destinations.
    fn decisions(
        &mut self,
        [blocked, unblocked]: [&[&'static str]; 2],
        services: &ServiceChange,
        settings: &[Setting],
    ) {
        for (verb, codes) in [("now blocked", blocked), ("no longer blocked", unblocked)] {
            if !codes.is_empty() {
                self.add("countries", &format!("{verb}: {}", named(codes)));
            }
        }
        for (name, what, services) in [
            ("services", "opened", &services.opened),
            ("services", "closed", &services.closed),
            ("protected", "only named sources reach", &services.protected),
            ("protected", "no longer", &services.released),
        ] {
            if !services.is_empty() {
                let services: Vec<_> = services.iter().map(Service::to_string).collect();
                self.add(name, &format!("{what}: {}", services.join(", ")));
            }
        }
        for setting in settings {
            self.add(&setting.key, &change(setting));
        }
    }

    /// A tenant, an exception, a protection or a list.
    fn entry(&mut self, entry: &EntryChange) {
        let EntryChange {
            table,
            name,
            change: verb,
            keys,
        } = entry;
        let keys: Vec<_> = match *verb {
            "removed" => Vec::new(),
            "added" => {
                let given = keys.iter().filter(|one| !is_left_out(&one.after));
                given
                    .map(|one| format!("{}: {}", one.key, abridged_text(&one.after)))
                    .collect()
            }
            _ => keys
                .iter()
                .map(|one| format!("{}: {}", one.key, change(one)))
                .collect(),
        };
        let separator = if keys.is_empty() { "" } else { "; " };
        self.add(
            table,
            &format!("{verb}: {name}{separator}{}", keys.join("; ")),
        );
    }
}

/// Whether a value stands for a key that is left out.
fn is_left_out(value: &str) -> bool {
    ["as for everyone", "none", "never", "it is removed", "0"].contains(&value)
}

/// A change of a key.
fn change(setting: &Setting) -> String {
    let Setting {
        before,
        after,
        added,
        removed,
        ..
    } = setting;
    if added.is_empty() && removed.is_empty() {
        let [before, after] = [before, after].map(|value| abridged_text(value));
        return format!("{before} -> {after}");
    }
    let signs = [('+', added), ('-', removed)].into_iter();
    let parts = signs.filter(|(_, entries)| !entries.is_empty());
    let parts: Vec<_> = parts
        .map(|(sign, entries)| abridged(sign, entries))
        .collect();
    parts.join(" ")
}

/// A text, or its start if it is long.
fn abridged_text(text: &str) -> String {
    const SHOWN_MAX: usize = 400;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!(
            "{} ... ({} characters)",
            &text[..end],
            grouped(text.len() as u64)
        ),
        None => text.to_owned(),
    }
}

/// The tenants of a change.
fn names(change: &TenantChange) -> String {
    let word = match change.tenants.len() {
        1 => "the tenant",
        _ => "the tenants",
    };
    format!("{word} {}", tenants(&change.tenants))
}

fn named(codes: &[&'static str]) -> String {
    let name = |code: &&str| countries::named(code);
    codes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The first few entries of a list that may have a hundred thousand.
fn abridged(sign: char, prefixes: &[impl Display]) -> String {
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

fn verdicts(changes: &[VerdictChange]) -> Table {
    let mut table = table(&[
        "country",
        "",
        "change",
        "IPv4 prefixes",
        "IPv4 addresses",
        "IPv6 prefixes",
        "IPv6 /48 sites",
    ]);
    for change in changes {
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
