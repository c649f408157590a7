//! What a configuration and its data amount to. The names of the fields are those of the JSON.

use std::num::NonZeroU32;

use geofence_common::country::Country;
use serde::Serialize;

use crate::compile::{Disagreement, Statistics};
use crate::data::lists::ListReport;
use crate::data::mmdb::SourceInfo;
use crate::model::countries;
use crate::model::policy::{CountryRule, Protection};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;
use crate::prepare::Prepared;

/// What a configuration amounts to.
#[derive(Debug, Serialize)]
pub(super) struct Effective {
    /// Where the policy is from.
    pub(super) policy: String,
    pub(super) mode: &'static str,
    /// `block` or `allow-only`; `countries` has the countries listed there, groups written out.
    pub(super) rule: &'static str,
    pub(super) countries: Vec<&'static str>,
    pub(super) unknown: &'static str,
    pub(super) special_use: &'static str,
    pub(super) mail: &'static str,
    pub(super) mail_ports: &'static [u16],
    /// Whether DNS is open to blocked countries, and why.
    pub(super) mail_dns: String,
    pub(super) replies: &'static str,
    pub(super) mta_sts: bool,
    pub(super) services: Vec<String>,
    pub(super) icmp_echo: &'static str,
    pub(super) management: Vec<String>,
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    #[serde(rename = "systems")]
    pub(super) autonomous_systems: Vec<NamedSystem>,
    /// Packets per second from one source; 0 for no limit.
    #[serde(rename = "pressure")]
    pub(super) rate_limit: u32,
    pub(super) tenants: Vec<String>,
    /// How many exceptions have not expired.
    pub(super) exceptions: usize,
    /// The exceptions that expire within a week.
    #[serde(rename = "lapsing")]
    pub(super) expiring: Vec<String>,
    pub(super) protections: Vec<String>,
    /// The overrides of the country data that are in force.
    pub(super) geo_overrides: Vec<String>,
    pub(super) lists: Vec<serde_json::Value>,
    pub(super) interfaces: Vec<String>,
    pub(super) inner_interfaces: Vec<String>,
    pub(super) xdp_mode: &'static str,
    pub(super) lookup: &'static str,
    pub(super) listen: String,
    pub(super) databases: Vec<Source>,
    #[serde(rename = "second_opinion")]
    pub(super) cross_check: Option<CrossCheck>,
    pub(super) asn_database: Option<Source>,
    /// Where `geofence update` gets databases.
    pub(super) geoip_sources: Vec<String>,
    pub(super) attribution: Option<&'static str>,
    pub(super) image_bytes: usize,
    pub(super) slot_bytes: u64,
    pub(super) blocked: Vec<Blocked>,
    pub(super) warnings: Vec<String>,
}

/// A database.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) database_type: String,
    pub(super) built: UnixSeconds,
    pub(super) age_days: u64,
    pub(super) prefixes_v4: usize,
    pub(super) prefixes_v6: usize,
}

/// The second database of countries, and how it differs from the first.
#[derive(Debug, Serialize)]
pub(super) struct CrossCheck {
    pub(super) databases: Vec<Source>,
    #[serde(rename = "agreement")]
    pub(super) rule: &'static str,
    pub(super) disagreement: Disagreement,
}

/// An autonomous system that a rule names.
#[derive(Debug, Serialize)]
pub(super) struct NamedSystem {
    pub(super) rule: String,
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) prefixes: usize,
}

/// A blocked country and what the data has of it.
#[derive(Debug, Serialize)]
pub(super) struct Blocked {
    pub(super) country: &'static str,
    pub(super) name: String,
    pub(super) prefixes_v4: usize,
    pub(super) prefixes_v6: usize,
    pub(super) addresses_v4: u64,
    /// Networks of /48, the size a site gets; numbers of addresses would be unreadable.
    pub(super) sites_v6: u64,
}

/// A protection in words.
fn protection(protection: &Protection) -> String {
    format!(
        "{}: {} from {} and management only",
        protection.id,
        listed(&texts(&protection.services), "no port"),
        listed(&texts(&protection.from), "no source")
    )
}

impl Effective {
    /// The effect of a configuration whose data has been read.
    pub(super) fn of(prepared: &Prepared, source: String) -> Self {
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
            policy: source,
            mode: policy.settings.mode.word(),
            rule,
            countries: listed.iter().map(|country| country.name()).collect(),
            unknown: policy.settings.unknown.word(),
            special_use: policy.settings.special_use.word(),
            mail: policy.settings.mail.word(),
            mail_ports: policy.settings.mail.ports(),
            mail_dns: policy.mail_dns_in_words(),
            replies: policy.replies.word(),
            mta_sts: policy.mta_sts,
            services: texts(&policy.settings.services),
            icmp_echo: policy.settings.icmp_echo.word(),
            management: texts(&policy.management),
            allow: texts(&policy.allow),
            deny: texts(&policy.deny),
            autonomous_systems: policy
                .autonomous_systems
                .iter()
                .map(|system| NamedSystem {
                    rule: system.rule.to_string(),
                    number: system.number,
                    name: system.name.clone(),
                    prefixes: system.prefixes.len(),
                })
                .collect(),
            rate_limit: policy.rate_limit.map_or(0, NonZeroU32::get),
            tenants: policy.tenants.iter().map(|one| one.name.clone()).collect(),
            exceptions: policy.live_exceptions(UnixSeconds::now()).count(),
            expiring: policy
                .expiring_exceptions(UnixSeconds::now())
                .map(|one| one.id.clone())
                .collect(),
            protections: policy.protections.iter().map(protection).collect(),
            geo_overrides: policy
                .overrides_in_force(UnixSeconds::now())
                .map(|one| format!("{} is {} ({})", one.prefix, one.country.name(), one.reason))
                .collect(),
            lists: prepared
                .lists
                .reports
                .iter()
                .map(ListReport::to_json)
                .collect(),
            interfaces: config.interfaces.clone(),
            inner_interfaces: config.inner_interfaces.clone(),
            xdp_mode: config.xdp_mode.word(),
            lookup: policy.lookup.word(),
            listen: config.listen.to_string(),
            databases: sources.collect(),
            cross_check: prepared
                .others
                .cross_check
                .as_ref()
                .map(|second| CrossCheck {
                    databases: second.info.sources.iter().map(Source::of).collect(),
                    rule: policy.cross_check.word(),
                    disagreement: second.disagreement,
                }),
            asn_database: prepared.others.autonomous_systems.as_ref().map(|systems| {
                let [prefixes_v4, prefixes_v6] = systems.networks();
                Source {
                    prefixes_v4,
                    prefixes_v6,
                    ..Source::of(systems.info())
                }
            }),
            geoip_sources: config
                .geoip_sources
                .iter()
                .map(|one| format!("{} from {}", one.file.display(), one.origin))
                .collect(),
            attribution: info.attribution,
            image_bytes: prepared.image.size(),
            slot_bytes: u64::from(prepared.options(false).image_lines) * line_bytes,
            blocked: blocked(prepared),
            warnings: [config.warnings(), prepared.data_warnings()].concat(),
        }
    }
}

impl Source {
    fn of(info: &SourceInfo) -> Self {
        Self {
            name: info.name.clone(),
            database_type: info.database_type.clone(),
            built: info.built,
            age_days: UnixSeconds::now().days_since(info.built),
            prefixes_v4: info.prefixes_v4,
            prefixes_v6: info.prefixes_v6,
        }
    }
}

/// The blocked countries by name, with what the data has of each.
fn blocked(prepared: &Prepared) -> Vec<Blocked> {
    let policy = &prepared.config.policy;
    let statistics = Statistics::new(policy, &prepared.database);
    let mut blocked: Vec<_> = Country::all()
        .filter(|country| policy.settings.rule.blocks(*country))
        .map(|country| {
            let found = statistics.of(country);
            Blocked {
                country: country.name(),
                name: countries::name(country),
                prefixes_v4: found.prefixes_v4,
                prefixes_v6: found.prefixes_v6,
                addresses_v4: found.addresses_v4,
                // Prefixes longer than /48 add up.
                sites_v6: u64::try_from(found.addresses_v6 >> 80).unwrap_or(u64::MAX),
            }
        })
        .collect();
    blocked.sort_by(|one, two| one.name.cmp(&two.name));
    blocked
}

/// The entries on one line, or what to say if there are none.
pub(super) fn listed(entries: &[String], none: &str) -> String {
    if entries.is_empty() {
        none.to_owned()
    } else {
        entries.join(", ")
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
