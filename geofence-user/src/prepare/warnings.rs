//! What an operator should know about the data and the exceptions before they are used.

use super::prepared::Prepared;
use crate::model::attention::DATA_AGE_MAX_DAYS;
use crate::model::policy::GeoOverride;
use crate::model::units::UnixSeconds;

impl Prepared {
    /// The warnings, in sentences.
    #[must_use]
    pub fn data_warnings(&self) -> Vec<String> {
        let now = UnixSeconds::now();
        let mut warnings = self.lists.warnings.clone();
        let info = self.database.info();
        let age = info.age_days(now);
        if age > DATA_AGE_MAX_DAYS {
            warnings.push(format!(
                "the GeoIP data is {age} days old, and addresses move between countries; {}",
                self.renewal()
            ));
        }
        for source in self.others.sources() {
            let age = now.days_since(source.built);
            if age > DATA_AGE_MAX_DAYS {
                let name = &source.name;
                warnings.push(format!("{name} is {age} days old; name a newer file"));
            }
        }
        for source in &info.sources {
            if source.foreign_codes.is_empty() {
                continue;
            }
            let codes: Vec<&str> = source.foreign_codes.keys().map(String::as_str).collect();
            warnings.push(format!(
                "{} uses {}, which ISO 3166-1 does not list; {} networks count as unknown",
                source.name,
                codes.join(", "),
                source.foreign_codes.values().sum::<usize>()
            ));
        }
        let policy = &self.config.policy;
        // Bans expire all the time, and the next one takes the old ones away.
        let lasting = policy.exceptions.iter().filter(|one| !one.is_ban);
        let expired = lasting.filter_map(|exception| {
            let until = exception.until.filter(|until| *until <= now)?;
            Some(format!(
                "exception {} expired at {until}; remove it, or set a later `until`",
                exception.id
            ))
        });
        push_some(
            &mut warnings,
            expired,
            "more exceptions have expired; `geofence exception list` shows them all",
        );
        let expiring = policy.expiring_exceptions(now).map(|exception| {
            format!(
                "exception {} expires at {}; its owner is {}",
                exception.id,
                exception.until.unwrap_or_default(),
                exception.owner
            )
        });
        push_some(
            &mut warnings,
            expiring,
            "more exceptions expire within a week; `geofence exception list` shows them all",
        );
        let overrides = policy.geo_overrides.iter();
        let settled = overrides.filter_map(|one| settled_override(one, now));
        push_some(&mut warnings, settled, "more overrides can be removed");
        if info.conflicts > 0 {
            warnings.push(format!(
                "the databases disagree about {} networks; the first file named decides",
                info.conflicts
            ));
        }
        warnings
    }
}

impl Prepared {
    /// How to get current data, within the licences of those who give it.
    fn renewal(&self) -> &'static str {
        if self.config.geoip_sources.is_empty() {
            "get a current database: a `[[geoip-source]]` with vendor = \"db-ip\" is free and needs no account, \
             \"maxmind\" and \"ipinfo\" a free one (docs/geoip.md), and `geofence update` fetches it"
        } else {
            "fetch a current database: `geofence update` (geofence-update.timer runs it every hour)"
        }
    }
}

/// Why an override of the country data can be removed.
fn settled_override(one: &GeoOverride, now: UnixSeconds) -> Option<String> {
    let (prefix, country) = (one.prefix, one.country.name());
    if let Some(until) = one.until.filter(|_| !one.is_in_force(now)) {
        return Some(format!(
            "geo-override {prefix} ({country}) expired at {until}; remove it, or set a later `until`"
        ));
    }
    one.is_agreed().then(|| {
        format!(
            "the database agrees by now that {prefix} is {country}; remove the geo-override ({})",
            one.reason
        )
    })
}

/// Adds the first of these warnings and the number of the rest: there may be a hundred thousand.
fn push_some(warnings: &mut Vec<String>, mut all: impl Iterator<Item = String>, rest: &str) {
    const SHOWN: usize = 20;
    warnings.extend(all.by_ref().take(SHOWN));
    let count = all.count();
    if count > 0 {
        warnings.push(format!("{count} {rest}"));
    }
}
