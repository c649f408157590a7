//! The settings that differ: those an image holds, and those only a configuration does.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::path::PathBuf;

use geofence_common::country::Country;
use serde::Serialize;

use super::Side;
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
    let fate = |drops: bool| if drops { Action::Drop } else { Action::Pass };
    let flags = side.flags();
    let unknown = side
        .classes()
        .find(|class| class.country() == Country::UNKNOWN);
    let built = match side.data_built() {
        0 => "unknown".to_owned(),
        built => UnixSeconds(built).date(),
    };
    [
        ("mode", flags.mode().word().to_owned()),
        (
            "unknown",
            fate(unknown.is_some_and(|class| class.is_blocked()))
                .word()
                .to_owned(),
        ),
        (
            "special-use",
            fate(flags.blocks_special_use()).word().to_owned(),
        ),
        (
            "icmp-echo",
            fate(!flags.passes_icmp_echo()).word().to_owned(),
        ),
        ("data built", built),
    ]
}

fn in_config(config: &Config) -> [(&'static str, String); 13] {
    let policy = &config.policy;
    let paths = |paths: &mut dyn Iterator<Item = &PathBuf>, none: &str| {
        let paths: Vec<_> = paths.map(|path| path.display().to_string()).collect();
        listed(&paths, none)
    };
    [
        ("interfaces", listed(&config.interfaces, "none")),
        ("xdp-mode", config.xdp_mode.word().to_owned()),
        ("lookup", config.policy.lookup.word().to_owned()),
        ("listen", config.listen.to_string()),
        (
            "databases",
            paths(&mut config.databases.iter(), "the embedded one"),
        ),
        (
            "second-opinion",
            paths(&mut config.cross_check_databases.iter(), "none"),
        ),
        ("agreement", policy.cross_check.word().to_owned()),
        (
            "asn-database",
            paths(&mut config.asn_database.iter(), "none"),
        ),
        (
            "capacity-mib",
            (config.image_capacity.unwrap_or(0) >> 20).to_string(),
        ),
        (
            "pressure",
            policy.rate_limit.map_or(0, NonZeroU32::get).to_string(),
        ),
        ("tenants", told(&policy.tenants)),
        ("exceptions", told(&policy.exceptions)),
        ("protections", told(&policy.protections)),
    ]
}

/// How many there are, and a number that is another when one of them is.
fn told<T: Debug>(entries: &[T]) -> String {
    let digest = crc32fast::hash(format!("{entries:?}").as_bytes());
    match entries.len() {
        0 => "none".to_owned(),
        count => format!("{count} (digest {digest:08x})"),
    }
}

fn listed(entries: &[String], none: &str) -> String {
    if entries.is_empty() {
        none.to_owned()
    } else {
        entries.join(", ")
    }
}
