//! A configuration key by key, in the words of its file: what `geofence diff` compares besides decisions, and what a
//! running daemon says of the configuration that it filters by.
//!
//! A key that is missing here is one whose change `geofence diff` does not see, so the tests change every key.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use geofence_common::country::Country;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ExceptionSpec};
use crate::data::lists::ListReport;
use crate::model::geoip_source::{GeoipOrigin, GeoipSource};
use crate::model::list::{Definition, Source};
use crate::model::policy::{
    AsRule, CountryRule, Destination, GeoOverride, Overrides, Policy, Settings,
};
use crate::model::secret::{Access, Login, SecretSource};
use crate::model::server_url::hide_secrets;
use crate::model::units::UnixSeconds;
use crate::model::word::Word;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    One(String),
    /// Entries, of which a change may name those that came and went.
    Many(Vec<String>),
}

impl Value {
    /// The value on one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(entries) if entries.is_empty() => "none".to_owned(),
            Self::Many(entries) => entries.join(", "),
        }
    }
}

/// A key and its value.
pub type KeyValue = (String, Value);

/// An entry of a table such as `[[tenant]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub table: String,
    pub name: String,
    /// Of a tenant, the number that verdicts and counters give it.
    pub number: Option<u32>,
    pub keys: Vec<KeyValue>,
}

impl Entry {
    /// What no other entry has as well.
    pub(super) fn named(&self) -> (&str, &str) {
        (&self.table, &self.name)
    }
}

/// A configuration, key by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    pub keys: Vec<KeyValue>,
    pub entries: Vec<Entry>,
}

impl Described {
    /// Describes a configuration and the lists that were read for it.
    #[must_use]
    pub fn of(config: &Config, lists: &[ListReport]) -> Self {
        let policy = &config.policy;
        let tenants = policy.tenants.iter().map(|tenant| Entry {
            table: "tenant".into(),
            name: tenant.name.clone(),
            number: Some(tenant.number),
            keys: [
                vec![many("prefixes", sorted(&tenant.prefixes))],
                overrides(&tenant.own),
            ]
            .concat(),
        });
        let exceptions = policy.exceptions.iter();
        let exceptions = exceptions.map(|one| {
            exception(
                ExceptionSpec::of(one, policy, &config.as_mentions),
                one.until,
            )
        });
        let protections = policy.protections.iter().map(|one| Entry {
            table: "protect".into(),
            name: one.id.clone(),
            number: None,
            keys: vec![
                many("services", sorted(&one.services)),
                many("from", sorted(&one.from)),
                many("to", destinations(&one.to, policy)),
            ],
        });
        let overrides = policy.geo_overrides.iter().map(geo_override);
        let sources = config.geoip_sources.iter().map(geoip_source);
        let lists = config.lists.iter().map(|list| {
            let report = lists.iter().find(|report| report.name == list.name);
            self::list(list, report)
        });
        Self {
            keys: [settings(&policy.settings), others(config)].concat(),
            entries: tenants
                .chain(exceptions)
                .chain(protections)
                .chain(overrides)
                .chain(lists)
                .chain(sources)
                .collect(),
        }
    }

    /// Whether a country is blocked by `block` or `allow-only`, lists and tenants apart.
    pub(super) fn blocks(&self, country: Country) -> Option<bool> {
        let named = |key: &str| match self.keys.iter().find(|(name, _)| name == key) {
            Some((_, Value::Many(codes))) => Some(codes.iter().any(|code| *code == country.name())),
            _ => None,
        };
        named("block").or_else(|| named("allow-only").map(|is_allowed| !is_allowed))
    }

    /// The name of the tenant with this number.
    pub(super) fn tenant(&self, number: u32) -> Option<&str> {
        let mut tenants = self.entries.iter().filter(|one| one.table == "tenant");
        let tenant = tenants.find(|one| one.number == Some(number))?;
        Some(&tenant.name)
    }
}

fn one(key: &str, value: impl Display) -> KeyValue {
    (key.to_owned(), Value::One(value.to_string()))
}

fn many(key: &str, values: Vec<String>) -> KeyValue {
    (key.to_owned(), Value::Many(values))
}

fn sorted<T: Display + Ord>(values: &[T]) -> Vec<String> {
    let mut values: Vec<&T> = values.iter().collect();
    values.sort_unstable();
    values.into_iter().map(ToString::to_string).collect()
}

/// `block` and `allow-only`, of which one is set.
fn rule(rule: Option<&CountryRule>, otherwise: &str) -> Vec<KeyValue> {
    let codes = |countries: &std::collections::BTreeSet<Country>| {
        let names = countries.iter().map(|country| country.name().to_owned());
        names.collect()
    };
    match rule {
        Some(CountryRule::Block(blocked)) => {
            vec![many("block", codes(blocked)), one("allow-only", otherwise)]
        }
        Some(CountryRule::AllowOnly(allowed)) => {
            vec![one("block", otherwise), many("allow-only", codes(allowed))]
        }
        None => vec![one("block", otherwise), one("allow-only", otherwise)],
    }
}

fn settings(settings: &Settings) -> Vec<KeyValue> {
    let Settings {
        rule: countries,
        unknown,
        special_use,
        mode,
        mail,
        services,
        icmp_echo,
    } = settings;
    let mut keys = rule(Some(countries), "not set");
    keys.extend([
        one("mode", mode.word()),
        one("unknown", unknown.word()),
        one("special-use", special_use.word()),
        one("mail", mail.word()),
        many("services", sorted(services)),
        one("icmp-echo", icmp_echo.word()),
    ]);
    keys
}

/// The settings of a tenant.
fn overrides(own: &Overrides) -> Vec<KeyValue> {
    const AS_ELSEWHERE: &str = "as for everyone";
    fn word<T: Word>(key: &str, value: Option<T>) -> KeyValue {
        one(key, value.map_or(AS_ELSEWHERE, Word::word))
    }
    let Overrides {
        rule: countries,
        unknown,
        special_use,
        mode,
        mail,
        services,
        icmp_echo,
    } = own;
    let mut keys = rule(countries.as_ref(), AS_ELSEWHERE);
    keys.extend([
        word("unknown", *unknown),
        word("special-use", *special_use),
        word("mode", *mode),
        word("mail", *mail),
        match services {
            Some(services) => many("services", sorted(services)),
            None => one("services", AS_ELSEWHERE),
        },
        word("icmp-echo", *icmp_echo),
    ]);
    keys
}

/// The keys of the top level that no tenant has.
fn others(config: &Config) -> Vec<KeyValue> {
    let (policy, events) = (&config.policy, &config.events);
    let members = |key: &str, prefixes: &[IpNet], rule: &AsRule| {
        let systems = config.as_mentions.iter().filter(|one| one.rule == *rule);
        let mut members = sorted(prefixes);
        members.extend(systems.map(|one| one.name.to_string()));
        many(key, members)
    };
    vec![
        many("interfaces", config.interfaces.clone()),
        many("inner-interfaces", config.inner_interfaces.clone()),
        one("xdp-mode", config.xdp_mode.word()),
        one("lookup", policy.lookup.word()),
        one("listen", config.listen),
        many("listen-names", config.listen_names.clone()),
        one("web-config", paths(&config.web_config, "none")),
        one("fleet-user", or_none(config.fleet_user.as_ref())),
        one("databases", paths(&config.databases, "the embedded one")),
        many(
            "accept-database-types",
            config.accepted_database_types.clone(),
        ),
        one(
            "cross-check-databases",
            paths(&config.cross_check_databases, "none"),
        ),
        one("cross-check", policy.cross_check.word()),
        one("asn-database", paths(&config.asn_database, "none")),
        one(
            "capacity-mib",
            config
                .image_capacity
                .map_or_else(|| "automatic".to_owned(), |bytes| (bytes >> 20).to_string()),
        ),
        one("instance", config.instance.name()),
        one("mail-dns", policy.mail_dns.word()),
        one("replies", policy.replies.word()),
        one("mta-sts", policy.mta_sts),
        one("mail-flows", config.flows.mail),
        one("dns-flows", config.flows.dns),
        one("other-flows", config.flows.other),
        one("rate-limit", policy.rate_limit.map_or(0, NonZeroU32::get)),
        many("translation-prefixes", sorted(&policy.translation_prefixes)),
        many("management", sorted(&policy.management)),
        members("allow", &policy.allow, &AsRule::Allow),
        members("deny", &policy.deny, &AsRule::Deny),
        one("drop-events", events.drops),
        one("drop-event-rate", events.rate),
        one("event-file", paths(&events.file, "none")),
        one("event-file-mib", events.file_mib),
        one("event-file-count", events.file_count),
        one("event-syslog", or_none(events.syslog.as_ref())),
        one("event-syslog-ca", paths(&events.syslog_ca, "none")),
        one("event-ipfix", or_none(events.ipfix)),
    ]
}

fn exception(spec: ExceptionSpec, until: Option<UnixSeconds>) -> Entry {
    let action = one("action", spec.action());
    let services = if spec.services.is_empty() {
        one("services", "all traffic, except protected ports")
    } else {
        many("services", spec.services)
    };
    Entry {
        table: "exception".into(),
        name: spec.id,
        number: None,
        keys: vec![
            many("from", spec.from),
            many("to", spec.to),
            services,
            action,
            one("owner", spec.owner),
            one("reason", spec.reason),
            one("until", end(until)),
        ],
    }
}

fn geo_override(corrected: &GeoOverride) -> Entry {
    let GeoOverride {
        prefix,
        country,
        reason,
        until,
        replaced: _,
    } = corrected;
    Entry {
        table: "geo-override".into(),
        name: prefix.to_string(),
        number: None,
        keys: vec![
            one("country", country.name()),
            one("reason", reason),
            one("until", end(*until)),
        ],
    }
}

fn end(until: Option<UnixSeconds>) -> String {
    until.map_or_else(|| "it is removed".to_owned(), |until| until.to_string())
}

fn destinations(to: &[Destination], policy: &Policy) -> Vec<String> {
    let name = |destination: &Destination| match destination {
        Destination::Anywhere => "any".to_owned(),
        Destination::Prefix(net) => net.to_string(),
        Destination::Tenant(number) => {
            let tenant = policy.tenant(*number);
            tenant.map_or_else(|| format!("tenant {number}"), |tenant| tenant.name.clone())
        }
    };
    to.iter().map(name).collect()
}

fn list(list: &Definition, report: Option<&ListReport>) -> Entry {
    let (url, file) = match &list.source {
        Source::Url(url) => (hide_secrets(url), "none".to_owned()),
        Source::File(path) => ("none".to_owned(), path.display().to_string()),
    };
    let seconds = |expires: Duration| format!("{} s", expires.as_secs());
    let mut keys = vec![
        one("url", url),
        one("file", file),
        one("format", list.format.word()),
        one("api", list.api.word()),
        one("action", list.action.word()),
        one("direction", list.direction.word()),
        one(
            "expires",
            list.expires.map_or_else(|| "never".to_owned(), seconds),
        ),
        one("special-use", list.special_use.word()),
        one(
            "max-share",
            list.max_share
                .map_or_else(|| "as usual".to_owned(), |percent| format!("{percent} %")),
        ),
    ];
    keys.extend(access(&list.access));
    keys.extend(report.map(|report| one("entries", report.entries)));
    Entry {
        table: "list".into(),
        name: list.name.clone(),
        number: None,
        keys,
    }
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn paths<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, none: &str) -> String {
    let paths = paths.into_iter().map(|path| path.display().to_string());
    let paths: Vec<_> = paths.collect();
    if paths.is_empty() {
        none.to_owned()
    } else {
        paths.join(", ")
    }
}

/// Where the secrets of a request are kept.
fn access(access: &Access) -> Vec<KeyValue> {
    let headers = access.headers.iter();
    let headers = headers.map(|(name, secret)| format!("{name} from {secret}"));
    let (basic, bearer) = match &access.login {
        Some(Login::Basic { user, password }) => (format!("{user} from {password}"), none()),
        Some(Login::Bearer(token)) => (none(), format!("from {token}")),
        None => (none(), none()),
    };
    vec![
        many("header", headers.collect()),
        one("basic", basic),
        one("bearer", bearer),
    ]
}

fn geoip_source(source: &GeoipSource) -> Entry {
    let secret = |place: Option<&SecretSource>| place.map_or_else(none, ToString::to_string);
    let text = |text: Option<&str>| text.map_or_else(none, hide_secrets);
    let nothing = Access::default();
    let (mut account, mut license_key, mut token) = (None, None, None);
    let (mut server, mut url, mut from, mut secrets) = (None, None, none(), &nothing);
    match &source.origin {
        GeoipOrigin::MaxMind {
            server: asked,
            account: number,
            license_key: key,
            ..
        } => (server, account, license_key) = (Some(asked), Some(number), Some(key)),
        GeoipOrigin::DbIp { server: asked, .. } => server = Some(asked),
        GeoipOrigin::IpInfo {
            server: asked,
            token: kept,
            ..
        } => (server, token) = (Some(asked), Some(kept)),
        GeoipOrigin::Url { url: asked, access } => (url, secrets) = (Some(asked), access),
        GeoipOrigin::File(path) => from = path.display().to_string(),
    }
    let edition = source.origin.edition();
    let mut keys = vec![
        one("vendor", source.origin.vendor().word()),
        one("edition", edition.unwrap_or("the free one")),
        one("account", text(account.map(String::as_str))),
        one("license-key", secret(license_key)),
        one("token", secret(token)),
        one("server", text(server.map(String::as_str))),
        one("url", text(url.map(String::as_str))),
        one("from", from),
    ];
    keys.extend(access(secrets));
    Entry {
        table: "geoip-source".into(),
        name: source.file.display().to_string(),
        number: None,
        keys,
    }
}

fn none() -> String {
    "none".to_owned()
}
