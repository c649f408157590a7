//! Metrics of the active policy: its reloads, its image and its databases.

use std::fmt::Error;

use geofence_common::action::Mode;

use super::families::Families;
use crate::compile::{Disagreement, Extent};
use crate::daemon::facts::{Facts, ImageBytes, Reloads, Snapshot};
use crate::model::shortfall::{Part, Shortfall};

pub(super) fn encode_reloads(
    reloads: &Reloads,
    shortfalls: &[Shortfall],
    families: &mut Families<'_>,
) -> Result<(), Error> {
    let failed: u64 = reloads.failed.values().sum();
    let results = [("ok", reloads.succeeded), ("failed", failed)];
    families.counters(
        "geofence_reloads",
        "Reloads by result",
        results.map(|(result, count)| ([("result", result)], count)),
    )?;
    let causes = reloads.failed.iter();
    families.counters(
        "geofence_reload_failures",
        "Failed reloads by cause; the active policy stayed",
        causes.map(|(cause, count)| ([("reason", cause.name())], *count)),
    )?;
    families.gauge(
        "geofence_config_last_reload_successful",
        "Whether the active policy is the last one requested, by a reload or at the start",
        i64::from(reloads.last_failure.is_none()),
    )?;
    let succeeded = reloads.last_success.unwrap_or_default().0.cast_signed();
    families.gauge(
        "geofence_config_last_reload_success_timestamp_seconds",
        "When the requested policy last became active, in seconds since 1970; 0 for never",
        succeeded,
    )?;
    let took = reloads.last_duration.map_or(0.0, |took| took.as_secs_f64());
    families.gauges(
        "geofence_config_last_reload_duration_seconds",
        "How long the last reload took; 0 if there was none",
        [([("", ""); 0], took)],
    )?;
    families.gauge(
        "geofence_degraded",
        "Whether the active policy is not the last one requested, or a part that was asked for is not in place",
        i64::from(reloads.last_failure.is_some() || !shortfalls.is_empty()),
    )?;
    let count = |part: Part| shortfalls.iter().filter(|one| one.part == part).count();
    families.gauges(
        "geofence_shortfalls",
        "Parts that were asked for and are not in place, by kind",
        Part::ALL.map(|part| ([("part", part.name())], count(part) as i64)),
    )
}

/// The active policy: whether it drops, what it was made from, and its size.
pub(super) fn encode(snapshot: &Snapshot, families: &mut Families<'_>) -> Result<(), Error> {
    let hash = snapshot.policy_hash.as_deref();
    families.gauges(
        "geofence_policy_info",
        "The policy: a hash of what its configuration says, and unknown for the last good image",
        hash.map(|hash| ([("hash", hash)], 1_i64)),
    )?;
    families.gauge(
        "geofence_trial",
        "Whether the policy is on trial and is replaced by the previous one unless it is confirmed",
        i64::from(snapshot.is_on_trial),
    )?;
    let ImageBytes { size, capacity } = snapshot.image_bytes;
    families.gauge(
        "geofence_image_bytes",
        "Size of the policy image in the kernel",
        size.cast_signed(),
    )?;
    families.gauge(
        "geofence_image_capacity_bytes",
        "Size that a policy image may have",
        capacity.cast_signed(),
    )?;
    encode_facts(&snapshot.facts, families)
}

fn encode_facts(facts: &Facts, families: &mut Families<'_>) -> Result<(), Error> {
    families.gauge(
        "geofence_enforcing",
        "Whether drops are carried out (1) or only counted (0)",
        i64::from(facts.mode == Mode::Enforce),
    )?;
    families.gauge(
        "geofence_image_generation",
        "Generation of the policy image in the kernel",
        i64::from(facts.generation),
    )?;
    let names = [
        (
            "geofence_database_build_timestamp_seconds",
            "When the GeoIP database was built, in seconds since 1970",
        ),
        (
            "geofence_database_build_time_seconds",
            "Former name: geofence_database_build_timestamp_seconds",
        ),
    ];
    for (name, help) in names {
        let databases = facts.databases.iter();
        let series =
            databases.map(|(name, built)| ([("database", name.as_str())], built.0.cast_signed()));
        families.gauges(name, help, series)?;
    }
    let prefixes = [("ipv4", facts.prefixes_v4), ("ipv6", facts.prefixes_v6)];
    families.gauges(
        "geofence_database_prefixes",
        "Prefixes in the GeoIP databases",
        prefixes.map(|(family, count)| ([("family", family)], count as i64)),
    )?;
    families.gauge(
        "geofence_geo_overrides",
        "Overrides of the country data that are in force",
        facts.geo_overrides as i64,
    )?;
    if let Some(disagreement) = facts.disagreement {
        encode_disagreement(disagreement, families)?;
    }
    Ok(())
}

fn encode_disagreement(
    disagreement: Disagreement,
    families: &mut Families<'_>,
) -> Result<(), Error> {
    let Disagreement {
        first_alone: first,
        second_alone: second,
    } = disagreement;
    let extents = [
        ("ipv4", "first", first.v4),
        ("ipv4", "second", second.v4),
        ("ipv6", "first", first.v6),
        ("ipv6", "second", second.v6),
    ];
    // The number of IPv6 addresses exceeds the integers of the format.
    type Value = fn(&Extent) -> f64;
    let gauges: [(&str, &str, Value); 2] = [
        (
            "geofence_database_disagreement_addresses",
            "Addresses that only one of the two databases places in a blocked country",
            |extent| extent.addresses as f64,
        ),
        (
            "geofence_database_disagreement_prefixes",
            "The fewest prefixes that cover those addresses",
            |extent| extent.prefixes as f64,
        ),
    ];
    for (name, help, value) in gauges {
        let series = extents.map(|(family, database, extent)| {
            let labels = [("family", family), ("blocked_by", database)];
            (labels, value(&extent))
        });
        families.gauges(name, help, series)?;
    }
    Ok(())
}
