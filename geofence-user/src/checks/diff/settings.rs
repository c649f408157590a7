//! The settings that differ: those that an image holds, and those that only a configuration holds.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::path::PathBuf;

use geofence_common::country::Country;
use ipnet::Ipv6Net;
use serde::Serialize;

use super::side::Side;
use crate::checks::sanity::data_built;
use crate::config::Config;
use crate::model::policy::Action;
use crate::model::units::UnixSeconds;
use crate::model::word::Word;

/// A setting that differs, by its key in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub key: &'static str,
    pub before: String,
    pub after: String,
}

pub(super) fn changes(old: Side<'_>, new: Side<'_>) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut compare = |key: &'static str, before: String, after: String| {
        if before != after {
            settings.push(Setting { key, before, after });
        }
    };
    for ((key, before), (_, after)) in in_image(old).into_iter().zip(in_image(new)) {
        compare(key, before, after);
    }
    if let (Some(old), Some(new)) = (old.config, new.config) {
        for ((key, before), (_, after)) in in_config(old).into_iter().zip(in_config(new)) {
            compare(key, before, after);
        }
    }
    settings
}

fn in_image(side: Side<'_>) -> [(&'static str, String); 5] {
    let action = |drops: bool| {
        let action = if drops { Action::Drop } else { Action::Pass };
        action.word().to_owned()
    };
    let flags = side.flags();
    let unknown = side
        .classes()
        .find(|class| class.country() == Country::UNKNOWN);
    let built = match data_built(side.words) {
        UnixSeconds(0) => "unknown".to_owned(),
        built => built.date(),
    };
    [
        ("mode", flags.mode().word().to_owned()),
        (
            "unknown",
            action(unknown.is_some_and(|class| class.is_blocked())),
        ),
        ("special-use", action(flags.blocks_special_use())),
        ("icmp-echo", action(!flags.passes_icmp_echo())),
        ("data built", built),
    ]
}

fn in_config(config: &Config) -> [(&'static str, String); 14] {
    let policy = &config.policy;
    [
        ("interfaces", listed(&config.interfaces, "none")),
        ("xdp-mode", config.xdp_mode.word().to_owned()),
        ("lookup", config.policy.lookup.word().to_owned()),
        ("listen", config.listen.to_string()),
        ("databases", paths(&config.databases, "the embedded one")),
        (
            "cross-check-databases",
            paths(&config.cross_check_databases, "none"),
        ),
        ("cross-check", policy.cross_check.word().to_owned()),
        (
            "translation-prefixes",
            listed(&texts(&policy.translation_prefixes), "none"),
        ),
        ("asn-database", paths(&config.asn_database, "none")),
        (
            "capacity-mib",
            (config.image_capacity.unwrap_or(0) >> 20).to_string(),
        ),
        (
            "rate-limit",
            policy.rate_limit.map_or(0, NonZeroU32::get).to_string(),
        ),
        ("tenants", digest(&policy.tenants)),
        ("exceptions", digest(&policy.exceptions)),
        ("protections", digest(&policy.protections)),
    ]
}

/// The number of entries, and a digest that changes when one of them does.
fn digest<T: Debug>(entries: &[T]) -> String {
    let digest = crc32fast::hash(format!("{entries:?}").as_bytes());
    match entries.len() {
        0 => "none".to_owned(),
        count => format!("{count} (digest {digest:08x})"),
    }
}

fn paths<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, none: &str) -> String {
    let paths = paths.into_iter().map(|path| path.display().to_string());
    listed(&paths.collect::<Vec<_>>(), none)
}

fn texts(prefixes: &[Ipv6Net]) -> Vec<String> {
    prefixes.iter().map(Ipv6Net::to_string).collect()
}

fn listed(entries: &[String], none: &str) -> String {
    if entries.is_empty() {
        none.to_owned()
    } else {
        entries.join(", ")
    }
}
