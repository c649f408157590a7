//! What an operator should know about the data and the exceptions before they are used.

use super::prepared::Prepared;
use crate::model::units::UnixSeconds;

/// Older data causes a warning: within two months, registries move a noticeable number of prefixes.
pub const DATA_AGE_MAX_DAYS: u64 = 60;

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
                "the GeoIP data is {age} days old; addresses move between countries, so name a newer file with \
                 --database or `databases`, or upgrade geofence"
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
        let expired = policy.exceptions.iter().filter_map(|exception| {
            let until = exception.until.filter(|until| *until <= now)?;
            Some(format!(
                "exception {} expired at {until}; remove it, or set a later `until`",
                exception.id
            ))
        });
        push_some(&mut warnings, expired, "more exceptions have expired");
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
            "more exceptions expire within a week",
        );
        if info.conflicts > 0 {
            warnings.push(format!(
                "the databases disagree about {} networks; the first file named decides",
                info.conflicts
            ));
        }
        warnings
    }
}

/// Adds the first of these warnings and the number of the rest: there may be a hundred thousand.
fn push_some(warnings: &mut Vec<String>, mut all: impl Iterator<Item = String>, rest: &str) {
    const SHOWN: usize = 20;
    warnings.extend(all.by_ref().take(SHOWN));
    let count = all.count();
    if count > 0 {
        warnings.push(format!(
            "{count} {rest}; `geofence exception list` shows them all"
        ));
    }
}
