//! The policy in words.

use std::fmt::{Display, Write as _};

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use geofence_common::action::Mode;

use super::effective::{Blocked, Effective, NamedSystem, Source, listed};
use crate::compile::{Disagreement, Extents};
use crate::config::XdpMode;
use crate::model::countries;
use crate::model::policy::{Action, CrossCheckRule, Lookup, Mail, Replies};
use crate::model::text::{days_ago, grouped};
use crate::model::word::Word;

impl Effective {
    /// A line for each setting, and a table of the blocked countries.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: &dyn Display| {
            // Writing to a string cannot fail, here and below.
            _ = writeln!(out, "{name:<12} {value}");
        };
        line("policy:", &self.policy);
        line("countries", &self.rule_in_words());
        line("mode", &described::<Mode>(self.mode));
        line("mail", &described::<Mail>(self.mail));
        line("mail-dns", &self.mail_dns);
        line("replies", &self.replies_in_words());
        line(
            "services",
            &listed(&self.services, "no other port is open to blocked countries"),
        );
        line(
            "icmp-echo",
            &action(self.icmp_echo, "echo requests from blocked countries"),
        );
        line(
            "unknown",
            &action(self.unknown, "addresses that no database knows"),
        );
        line(
            "special-use",
            &action(self.special_use, "private and other special-use addresses"),
        );
        line("management", &listed(&self.management, "none"));
        line("allow", &listed(&self.allow, "none"));
        line("deny", &listed(&self.deny, "none"));
        for system in &self.autonomous_systems {
            let prefixes = grouped(system.prefixes as u64);
            let NamedSystem {
                rule, number, name, ..
            } = system;
            line(
                "system",
                &format!("{rule} AS{number} ({name}): {prefixes} prefixes"),
            );
        }
        if self.rate_limit != 0 {
            let limit = format!(
                "{} packets per second from one source of a blocked country to exempted services",
                self.rate_limit
            );
            line("rate-limit", &limit);
        }
        if !self.tenants.is_empty() {
            line("tenants", &listed(&self.tenants, "none"));
        }
        if self.exceptions != 0 {
            let expiring = listed(&self.expiring, "none");
            line(
                "exceptions",
                &format!("{}, expiring within a week: {expiring}", self.exceptions),
            );
        }
        for protection in &self.protections {
            line("protect", protection);
        }
        for geo_override in &self.geo_overrides {
            line("geo-override", geo_override);
        }
        for list in &self.lists {
            let word = |key: &str| list[key].as_str().unwrap_or_default().to_owned();
            line(
                "list",
                &format!(
                    "{}: {} {}, {} entries, {}, {}",
                    word("name"),
                    word("action"),
                    word("direction"),
                    grouped(list["entries"].as_u64().unwrap_or_default()),
                    word("standing"),
                    word("source")
                ),
            );
        }
        line(
            "interfaces",
            &listed(&self.interfaces, "none; `geofence run` needs --interface"),
        );
        if !self.inner_interfaces.is_empty() {
            line("inner-interfaces", &self.inner_interfaces.join(", "));
        }
        line("xdp-mode", &described::<XdpMode>(self.xdp_mode));
        line("lookup", &described::<Lookup>(self.lookup));
        line("listen", &self.listen);
        for source in &self.databases {
            line("database", &source.in_words());
        }
        if let Some(attribution) = self.attribution {
            line("", &attribution);
        }
        if let Some(second) = &self.cross_check {
            for source in &second.databases {
                line("second", &source.in_words());
            }
            line("cross-check", &described::<CrossCheckRule>(second.rule));
            let Disagreement {
                first_alone,
                second_alone,
            } = second.disagreement;
            for (whose, extents) in [("first", first_alone), ("second", second_alone)] {
                line(
                    "",
                    &format!("blocked by the {whose} alone: {}", extent(&extents)),
                );
            }
        }
        if let Some(source) = &self.asn_database {
            line("asn-database", &source.in_words());
        }
        for source in &self.geoip_sources {
            line("geoip-source", source);
        }
        line("image", &self.image_in_words());
        if !self.blocked.is_empty() {
            _ = writeln!(out, "\n{}", self.table().trim_fmt());
        }
        for warning in &self.warnings {
            _ = writeln!(out, "\nwarning: {warning}");
        }
        out
    }

    fn rule_in_words(&self) -> String {
        let names: Vec<_> = self
            .countries
            .iter()
            .map(|code| countries::named(code))
            .collect();
        match (self.rule, names.as_slice()) {
            ("block", []) => "no country is blocked".to_owned(),
            ("block", names) => format!("blocked: {}", names.join(", ")),
            (_, names) => format!("all blocked except: {}", names.join(", ")),
        }
    }

    fn replies_in_words(&self) -> String {
        let words = described::<Replies>(self.replies);
        if self.mta_sts && self.replies == Replies::Mail.word() {
            format!("{words}, and to HTTPS for MTA-STS")
        } else {
            words
        }
    }

    fn image_in_words(&self) -> String {
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        format!(
            "{:.1} MiB, with room for {:.1} MiB",
            mib(self.image_bytes as f64),
            mib(self.slot_bytes as f64)
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        let columns = [
            "blocked",
            "",
            "IPv4 prefixes",
            "IPv4 addresses",
            "IPv6 prefixes",
            "IPv6 /48 sites",
        ];
        table.set_header(columns);
        let row = |code: &str, name: &str, numbers: [u128; 4]| {
            [
                [code.to_owned(), name.to_owned()].as_slice(),
                &numbers.map(grouped),
            ]
            .concat()
        };
        let mut sums = [0; 4];
        for country in &self.blocked {
            let numbers = country.numbers();
            sums = std::array::from_fn(|at| sums[at] + numbers[at]);
            table.add_row(row(country.country, &country.name, numbers));
        }
        if self.blocked.len() > 1 {
            table.add_row(row("", "together", sums));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

impl Source {
    fn in_words(&self) -> String {
        format!(
            "{} ({}), built {}, {}: {} IPv4 and {} IPv6 prefixes",
            self.name,
            self.database_type,
            self.built.date(),
            days_ago(self.age_days),
            grouped(self.prefixes_v4 as u64),
            grouped(self.prefixes_v6 as u64),
        )
    }
}

impl Blocked {
    fn numbers(&self) -> [u128; 4] {
        [
            self.prefixes_v4 as u128,
            u128::from(self.addresses_v4),
            self.prefixes_v6 as u128,
            u128::from(self.sites_v6),
        ]
    }
}

/// How much of both address families.
fn extent(extents: &Extents) -> String {
    let Extents { v4, v6 } = extents;
    format!(
        "{} IPv4 addresses ({} prefixes), {} IPv6 /48 sites ({} prefixes)",
        grouped(v4.addresses),
        grouped(v4.prefixes),
        grouped(v6.addresses >> 80),
        grouped(v6.prefixes)
    )
}

/// A word with its meaning.
fn described<T: Word>(word: &str) -> String {
    match T::WORDS.iter().find(|(listed, _, _)| *listed == word) {
        Some((_, _, meaning)) => format!("{word}: {meaning}"),
        None => word.to_owned(),
    }
}

/// What happens to these packets.
fn action(word: &str, who: &str) -> String {
    let passes = word == Action::Pass.word();
    format!(
        "{word}: {who} {}",
        if passes { "pass" } else { "are dropped" }
    )
}
