//! `geofence check`: reads a configuration and its databases as `run` would, and says what they amount to.
//!
//! It compiles the image and throws it away, so what it accepts `run` accepts, as far as no kernel is concerned.

use std::fmt::{Display, Write as _};
use std::io::Write;
use std::num::NonZeroU32;

use clap::Args;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use geofence_common::action::Mode;
use geofence_common::country::Country;
use serde::Serialize;

use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::checks::sanity::FirstData;
use crate::compile::{Disagreement, Extents, Statistics};
use crate::config::XdpMode;
use crate::data::lists::ListReport;
use crate::data::mmdb::SourceInfo;
use crate::model::countries;
use crate::model::policy::{
    Action, CountryRule, CrossCheckRule, Lookup, Mail, Protection, Replies,
};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;
use crate::model::word::Word;
use crate::prepare::{Prepared, now, prepare};

/// Check a configuration and its databases, and print the policy they amount to
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    instance: InstanceArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn check(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut config = arguments.policy.config()?;
    arguments.instance.apply(&mut config)?;
    let prepared = prepare(config)?;
    let mut effective = Effective::of(&prepared);
    let first = FirstData::of(&prepared)?;
    let refusals = first
        .refusals
        .iter()
        .map(|refusal| format!("`geofence run` takes this data with --force only: {refusal}"));
    effective.warnings.extend(refusals.chain(first.warnings));
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&effective)?)?;
    } else {
        out.write_all(effective.text().as_bytes())?;
    }
    Ok(Outcome::Yes)
}

/// What a configuration amounts to. The names of the fields are those of the JSON.
#[derive(Debug, Serialize)]
struct Effective {
    mode: &'static str,
    /// `block` or `allow-only`, and the countries listed there, groups written out.
    rule: &'static str,
    countries: Vec<&'static str>,
    unknown: &'static str,
    special_use: &'static str,
    mail: &'static str,
    mail_ports: &'static [u16],
    replies: &'static str,
    mta_sts: bool,
    services: Vec<String>,
    icmp_echo: &'static str,
    management: Vec<String>,
    allow: Vec<String>,
    deny: Vec<String>,
    /// Autonomous systems that rules name.
    systems: Vec<Named>,
    /// Packets a second of one source; 0 for any number.
    pressure: u32,
    tenants: Vec<String>,
    /// Exceptions that have not lapsed, and those that do within a week.
    exceptions: usize,
    lapsing: Vec<String>,
    protections: Vec<String>,
    lists: Vec<serde_json::Value>,
    interfaces: Vec<String>,
    xdp_mode: &'static str,
    lookup: &'static str,
    listen: String,
    databases: Vec<Source>,
    cross_check_databases: Option<SecondOpinion>,
    asn_database: Option<Source>,
    attribution: Option<&'static str>,
    image_bytes: usize,
    slot_bytes: u64,
    blocked: Vec<Blocked>,
    warnings: Vec<String>,
}

/// A database.
#[derive(Debug, Serialize)]
struct Source {
    name: String,
    #[serde(rename = "type")]
    database_type: String,
    /// Seconds since 1970.
    built: u64,
    age_days: u64,
    prefixes_v4: usize,
    prefixes_v6: usize,
}

/// Another database of countries.
#[derive(Debug, Serialize)]
struct SecondOpinion {
    databases: Vec<Source>,
    agreement: &'static str,
    disagreement: Disagreement,
}

/// How much of both families, in words.
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

/// An autonomous system that a rule names.
#[derive(Debug, Serialize)]
struct Named {
    rule: String,
    number: u32,
    name: String,
    prefixes: usize,
}

/// A blocked country and what the data knows of it.
#[derive(Debug, Serialize)]
struct Blocked {
    country: &'static str,
    name: String,
    prefixes_v4: usize,
    prefixes_v6: usize,
    addresses_v4: u64,
    /// Networks of the size a site is given; addresses would be numbers nobody can read.
    sites_v6: u64,
}

/// A protection in words.
fn protection(protection: &Protection) -> String {
    format!(
        "{}: {} from {} and management only",
        protection.id,
        listed(&texts(&protection.services), "nothing"),
        listed(&texts(&protection.from), "nobody")
    )
}

impl Effective {
    fn of(prepared: &Prepared) -> Self {
        let config = &prepared.config;
        let policy = &config.policy;
        let (rule, listed) = match &policy.settings.rule {
            CountryRule::Block(countries) => ("block", countries),
            CountryRule::AllowOnly(countries) => ("allow-only", countries),
        };
        let info = prepared.database.info();
        let sources = info.sources.iter().map(Source::of);
        let line_bytes = size_of::<geofence_common::image::Line>() as u64;
        Self {
            mode: policy.settings.mode.word(),
            rule,
            countries: listed.iter().map(|country| country.name()).collect(),
            unknown: policy.settings.unknown.word(),
            special_use: policy.settings.special_use.word(),
            mail: policy.settings.mail.word(),
            mail_ports: policy.settings.mail.ports(),
            replies: policy.replies.word(),
            mta_sts: policy.mta_sts,
            services: texts(&policy.settings.services),
            icmp_echo: policy.settings.icmp_echo.word(),
            management: texts(&policy.management),
            allow: texts(&policy.allow),
            deny: texts(&policy.deny),
            systems: policy
                .autonomous_systems
                .iter()
                .map(|system| Named {
                    rule: system.rule.to_string(),
                    number: system.number,
                    name: system.name.clone(),
                    prefixes: system.prefixes.len(),
                })
                .collect(),
            pressure: policy.rate_limit.map_or(0, NonZeroU32::get),
            tenants: policy.tenants.iter().map(|one| one.name.clone()).collect(),
            exceptions: policy.live_exceptions(UnixSeconds::now()).count(),
            lapsing: policy
                .expiring_exceptions(UnixSeconds::now())
                .map(|one| one.id.clone())
                .collect(),
            protections: policy.protections.iter().map(protection).collect(),
            lists: prepared
                .lists
                .reports
                .iter()
                .map(ListReport::to_json)
                .collect(),
            interfaces: config.interfaces.clone(),
            xdp_mode: config.xdp_mode.word(),
            lookup: policy.lookup.word(),
            listen: config.listen.to_string(),
            databases: sources.collect(),
            cross_check_databases: prepared.others.second.as_ref().map(|second| SecondOpinion {
                databases: second.info.sources.iter().map(Source::of).collect(),
                agreement: policy.cross_check.word(),
                disagreement: second.disagreement,
            }),
            asn_database: prepared.others.systems.as_ref().map(|systems| {
                let [prefixes_v4, prefixes_v6] = systems.networks();
                Source {
                    prefixes_v4,
                    prefixes_v6,
                    ..Source::of(systems.info())
                }
            }),
            attribution: info.attribution,
            image_bytes: prepared.image.size(),
            slot_bytes: u64::from(prepared.options(false).image_lines) * line_bytes,
            blocked: blocked(prepared),
            warnings: [config.warnings(), prepared.data_warnings()].concat(),
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: &dyn Display| {
            // Writing to a string cannot fail, here and below.
            _ = writeln!(out, "{name:<12} {value}");
        };
        line("countries", &self.rule_in_words());
        line("mode", &described::<Mode>(self.mode));
        line("mail", &described::<Mail>(self.mail));
        line("replies", &self.replies_in_words());
        line(
            "services",
            &listed(&self.services, "no other port is open to blocked countries"),
        );
        line(
            "icmp-echo",
            &fate(self.icmp_echo, "echo requests from blocked countries"),
        );
        line(
            "unknown",
            &fate(self.unknown, "addresses that no database knows"),
        );
        line(
            "special-use",
            &fate(self.special_use, "private and other special-use addresses"),
        );
        line("management", &listed(&self.management, "none"));
        line("allow", &listed(&self.allow, "none"));
        line("deny", &listed(&self.deny, "none"));
        for system in &self.systems {
            let prefixes = grouped(system.prefixes as u64);
            let Named {
                rule, number, name, ..
            } = system;
            line(
                "system",
                &format!("{rule} AS{number} ({name}): {prefixes} prefixes"),
            );
        }
        if self.pressure != 0 {
            let bound = format!(
                "{} packets a second from one source of a blocked country to exempted services",
                self.pressure
            );
            line("pressure", &bound);
        }
        if !self.tenants.is_empty() {
            line("tenants", &listed(&self.tenants, "none"));
        }
        if self.exceptions != 0 {
            let lapsing = listed(&self.lapsing, "none");
            line(
                "exceptions",
                &format!("{}, lapsing within a week: {lapsing}", self.exceptions),
            );
        }
        for protection in &self.protections {
            line("protect", protection);
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
        line("xdp-mode", &described::<XdpMode>(self.xdp_mode));
        line("lookup", &described::<Lookup>(self.lookup));
        line("listen", &self.listen);
        for source in &self.databases {
            line("database", &source.in_words());
        }
        if let Some(attribution) = self.attribution {
            line("", &attribution);
        }
        if let Some(second) = &self.cross_check_databases {
            for source in &second.databases {
                line("second", &source.in_words());
            }
            line("agreement", &described::<CrossCheckRule>(second.agreement));
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
            (_, names) => format!("all blocked but: {}", names.join(", ")),
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
    fn of(info: &SourceInfo) -> Self {
        Self {
            name: info.name.clone(),
            database_type: info.database_type.clone(),
            built: info.built,
            age_days: now().saturating_sub(info.built) / 86_400,
            prefixes_v4: info.prefixes_v4,
            prefixes_v6: info.prefixes_v6,
        }
    }

    fn in_words(&self) -> String {
        format!(
            "{} ({}), built {}, {} days ago: {} IPv4 and {} IPv6 prefixes",
            self.name,
            self.database_type,
            UnixSeconds(self.built).date(),
            self.age_days,
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

/// The blocked countries by name, with what the data has of each.
fn blocked(prepared: &Prepared) -> Vec<Blocked> {
    let policy = &prepared.config.policy;
    let statistics = Statistics::new(policy, &prepared.database);
    let is_blocked = |country: &Country| match &policy.settings.rule {
        CountryRule::Block(countries) => countries.contains(country),
        CountryRule::AllowOnly(countries) => !countries.contains(country),
    };
    let mut blocked: Vec<_> = Country::all()
        .filter(is_blocked)
        .map(|country| {
            let found = statistics.of(country);
            Blocked {
                country: country.name(),
                name: countries::name(country),
                prefixes_v4: found.prefixes_v4,
                prefixes_v6: found.prefixes_v6,
                addresses_v4: found.addresses_v4,
                // Whatever is smaller than a site counts together with its like.
                sites_v6: u64::try_from(found.addresses_v6 >> 80).unwrap_or(u64::MAX),
            }
        })
        .collect();
    blocked.sort_by(|one, two| one.name.cmp(&two.name));
    blocked
}

/// A word with its meaning.
fn described<T: Word>(word: &str) -> String {
    match T::WORDS.iter().find(|(listed, _, _)| *listed == word) {
        Some((_, _, meaning)) => format!("{word}: {meaning}"),
        None => word.to_owned(),
    }
}

fn fate(word: &str, who: &str) -> String {
    let passes = word == Action::Pass.word();
    format!(
        "{word}: {who} {}",
        if passes { "pass" } else { "are dropped" }
    )
}

fn listed(entries: &[String], none: &str) -> String {
    if entries.is_empty() {
        none.to_owned()
    } else {
        entries.join(", ")
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
